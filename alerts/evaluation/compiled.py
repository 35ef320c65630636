"""An organization's rules, compiled once per revision and remembered per process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import structlog
from django.db import connection

from alerts import durations, wire
from alerts.models import AlertRule, Geofence
from alerts.rules.building import Needs, needs_of
from alerts.rules.conditions import Thresholds
from alerts.rules.definition import Compare, Rule
from alerts.rules.fences import Fence, NoFence, fence_of
from alerts.rules.table import Flags
from fleet.accounts.models import Organization
from telemetry import directory
from telemetry.selectors import signal_ids
from vehicles.models import Vehicle

MOST_REMEMBERED = 20_000
"""Rules, and fences, per process."""

log = structlog.get_logger(__name__)
_rules: dict[int, tuple[tuple[int, str], Compiled | None]] = {}
_fences: dict[int, tuple[object, Fence]] = {}


@dataclass(frozen=True)
class Scope:
    """Whom a rule is for: all vehicles, or those that it names by id, group or tag."""

    everyone: bool = True
    vehicles: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: AlertRule) -> Scope:
        """A saved rule's."""
        vehicles = frozenset(vehicle.pk for vehicle in row.vehicles.all())
        groups = frozenset(group.pk for group in row.groups.all())
        return cls(row.all_vehicles, vehicles, groups, frozenset(row.tags))

    def holds(self, vehicle: Vehicle) -> bool:
        """Whether a vehicle is among them; asks for its groups, which are to be fetched before, where that matters."""
        if self.everyone or vehicle.pk in self.vehicles or self.tags.intersection(vehicle.tags):
            return True
        return bool(self.groups) and not self.groups.isdisjoint(group.pk for group in vehicle.groups.all())


@dataclass(frozen=True)
class Compiled:
    """A rule with its row and whom it is for."""

    rule: Rule
    row: AlertRule
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True)
class RuleSet:
    """The rules of an organization that readings are evaluated by."""

    rules: tuple[Compiled, ...]
    needs: Needs

    @cached_property
    def any_frame(self) -> bool:
        """Whether some rule wants every frame."""
        return any(compiled.rule.any_frame for compiled in self.rules)

    @cached_property
    def revisions(self) -> dict[int, int]:
        """By rule id."""
        return {compiled.rule.id: compiled.rule.revision for compiled in self.rules}

    @cached_property
    def by_id(self) -> dict[int, Compiled]:
        """The rules by their id."""
        return {compiled.rule.id: compiled for compiled in self.rules}

    @cached_property
    def facts(self) -> frozenset[str]:
        """What they combine with readings."""
        return frozenset().union(*(compiled.rule.facts for compiled in self.rules))

    @cached_property
    def since(self) -> int:
        """From when on readings matter: what is still known when the first rule begins."""
        return min(compiled.rule.begins - compiled.rule.lookback for compiled in self.rules)

    @cached_property
    def signals(self) -> frozenset[int]:
        """All signals that they look at."""
        return frozenset(self.needs.signals)

    @cached_property
    def numbers_and_texts(self) -> tuple[list[int], list[int]]:
        """The ids of the numeric and of the text signals."""
        infos = directory.signals(self.needs.signals)
        texts = [signal for signal in self.needs.signals if signal in infos and infos[signal].kind in wire.TEXTS]
        return [signal for signal in self.needs.signals if signal not in texts], texts


def load(organization: Organization, *, held: bool = False) -> RuleSet | None:
    """The enabled rules; None where there is none. Cheap queries while nothing changes.

    Args:
        held: nobody changes them before the transaction ends.
    """
    with connection.cursor() as cursor:
        query = "SELECT id, revision, name, severity FROM alerts_alertrule WHERE organization_id = %s AND enabled"
        cursor.execute(f"{query} ORDER BY id{' FOR SHARE' if held else ''}", [organization.pk])
        words = {pk: (revision, name, severity) for pk, revision, name, severity in cursor.fetchall()}
    if not words:
        return None
    known = {pk: revision for pk, (revision, _, _) in words.items()}
    zone = organization.time_zone
    stale = [pk for pk, revision in known.items() if _rules.get(pk, (None,))[0] != (revision, zone)]
    fences = fences_of(organization)
    if stale:
        rows = organization.alert_rules.filter(pk__in=stale).prefetch_related("vehicles", "groups")
        for row in rows:
            if len(_rules) > MOST_REMEMBERED:
                _rules.clear()
            _rules[row.pk] = ((row.revision, zone), _compile(row, organization, set(fences)))
    for pk, (_, name, severity) in words.items():
        entry = _rules[pk][1] if pk in _rules else None
        if entry is not None:  # they change without a new revision, since what is evaluated stays the same
            entry.row.name, entry.row.severity = name, severity
    rules = tuple(c for pk in sorted(known) if (c := _rules[pk][1] if pk in _rules else None) is not None)
    if not rules:
        return None
    return RuleSet(rules, needs_of([c.rule for c in rules], fences, position_signals()))


def _compile(row: AlertRule, organization: Organization, fences: set[int]) -> Compiled | None:
    if wire.is_fact(row.condition):
        return None
    try:
        rule = rule_of(row, organization, fences)
    except wire.BadCondition as error:  # a fence or a signal that it named is gone
        log.warning("alerts.rule_unusable", rule=row.pk, error=error.detail)
        return None
    return Compiled(rule, row, Scope.of(row))


def rule_of(row: AlertRule, organization: Organization, fences: set[int]) -> Rule:
    """A row as a rule; raises `BadCondition`."""
    names = wire.signal_names(row.condition) | (wire.signal_names(row.clear) if row.clear else set())
    signals = signal_ids(organization, names)
    lasting, within = durations.microseconds(row.lasting), durations.microseconds(row.within)
    clear_lasting = durations.microseconds(row.clear_lasting)
    if row.times > 1 and not row.clear and not clear_lasting:
        clear_lasting = within  # a single quiet moment between two of many does not clear it
    return Rule(
        id=row.pk or 0, revision=row.revision,
        condition=wire.compile_condition(row.condition, signals, fences),
        clear=wire.compile_condition(row.clear, signals, fences) if row.clear else None,
        lasting=lasting, clear_lasting=clear_lasting, times=row.times, within=within,
        hold=durations.microseconds(row.hold), begins=round(row.begins.timestamp() * 1e6),
        schedule=wire.compile_schedule(row.schedule, organization.time_zone),
    )  # fmt: skip


def fences_of(organization: Organization) -> dict[int, Fence]:
    """The organization's fences, prepared."""
    current = dict(organization.geofences.values_list("pk", "updated_at"))
    changed = [pk for pk, updated_at in current.items() if _fences.get(pk, (None,))[0] != updated_at]
    if changed:
        if len(_fences) > MOST_REMEMBERED:
            _fences.clear()
            changed = list(current)
        for row in Geofence.objects.filter(pk__in=changed):
            try:
                _fences[row.pk] = (current[row.pk], fence_of(row.geometry, row.radius))
            except NoFence as error:  # it was saved under other bounds
                log.warning("alerts.fence_unusable", fence=row.pk, error=str(error))
    return {pk: _fences[pk][1] for pk in current if pk in _fences}


def position_signals() -> tuple[int, int, int]:
    """The ids of longitude, latitude and accuracy."""
    catalog = directory.catalog()
    return tuple(catalog[f"location.{part}"][0] for part in ("longitude", "latitude", "accuracy"))  # type: ignore[return-value]


def whom(rules: RuleSet, vehicle_ids: Sequence[int]) -> tuple[dict[int, Vehicle], dict[int, set[int]]]:
    """The vehicles that exist and are not archived, and by rule id those that it is for."""
    scopes = {compiled.rule.id: compiled.scope for compiled in rules.rules}
    rows = Vehicle.objects.filter(pk__in=list(vehicle_ids), archived_at=None)
    if any(scope.groups for scope in scopes.values()):
        rows = rows.prefetch_related("groups")
    vehicles = {vehicle.pk: vehicle for vehicle in rows}
    chosen = {
        rule_id: {vehicle.pk for vehicle in vehicles.values() if scope.holds(vehicle)}
        for rule_id, scope in scopes.items()
        if not scope.everyone
    }
    return vehicles, chosen


def flags_for(rule: Rule, chosen: dict[int, set[int]], vehicles: Iterable[int]) -> Flags | None:
    """Which of a table's vehicles a rule is for; None for all."""
    if rule.id not in chosen:
        return None
    return np.array([vehicle in chosen[rule.id] for vehicle in vehicles], bool)


def thresholds_for(rule: Rule, vehicles: Sequence[Vehicle]) -> Thresholds:
    """The vehicles' own thresholds that a rule asks for."""
    names = {leaf.attribute for leaf in rule.leaves if isinstance(leaf, Compare) and leaf.attribute}
    return {name: np.array([number_of(vehicle.attributes.get(name)) for vehicle in vehicles], float) for name in names}


def number_of(value: object) -> float:
    """A vehicle's attribute as a number; NaN where it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
