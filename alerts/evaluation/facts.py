"""Rules on what stands rather than on readings: trouble codes, states, sources. Looked at every few seconds.

A fact is true of a vehicle since a time; while it is, one alert stands. Looking twice changes nothing. What other rules
combine with readings is only noted here (`alerts.evaluation.spans`), and evaluated with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from alerts import wire
from alerts.evaluation import progress, spans
from alerts.evaluation.compiled import Scope
from alerts.evaluation.evidence import freeze_frames
from alerts.models import Alert, AlertEvent, AlertRule, EventKind
from alerts.telling import Told, announce, choose
from fleet.accounts.models import Organization
from telemetry.models import TroubleCode, VehicleState


@dataclass(frozen=True)
class Fact:
    """Something that is so, of one vehicle."""

    vehicle_id: int
    since: datetime
    words: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


Look = Callable[[Organization, Any], Sequence[Fact]]
"""What is so of an organization's vehicles, given what the condition asks for."""
FACTS = {
    "state": "alerts.evaluation.standing.in_state",
    "dtc": "alerts.evaluation.standing.trouble_codes",
    "agent": "alerts.evaluation.standing.silent_agents",
    "clock": "alerts.evaluation.standing.wrong_clocks",
    "token": "integrations.sources.smartcar.selectors.broken_connections",
}


log = structlog.get_logger(__name__)


RECENTLY = timedelta(seconds=20)


def look_at_changed() -> int:
    """Look at the rules of the organizations in which a state, a trouble code or a rule changed just now."""
    since = timezone.now() - RECENTLY
    changed = set(VehicleState.objects.filter(since__gte=since).values_list("organization_id", flat=True))
    codes = TroubleCode.objects.filter(Q(last_seen__gte=since) | Q(cleared_at__gte=since))
    changed |= set(codes.values_list("organization_id", flat=True))
    changed |= set(AlertRule.objects.filter(updated_at__gte=since).values_list("organization_id", flat=True))
    return look(changed) if changed else 0


def look(organizations: set[int] | None = None) -> int:
    """Raise and clear the alerts of rules on facts, of some organizations or of all; returns how many rules there are.

    Cost: some queries per rule; all are looked at once a minute, those of organizations where something changed every
    few seconds.
    """
    mine = {} if organizations is None else {"organization_id__in": organizations}
    rules = list(AlertRule.objects.filter(enabled=True, condition__has_any_keys=list(wire.FACTS), **mine))
    for rule in rules:
        try:
            with transaction.atomic():
                told = Told()
                if _only_one("alerts.fact", rule.pk) and (current := _held(rule.pk)) is not None:
                    told = _look(current)
        except Exception:  # one rule's fault stops no other
            log.exception("alerts.fact_failed", rule=rule.pk)
        else:
            told.after_commit()
    combining = AlertRule.objects.combining_facts().filter(**mine)
    for organization in Organization.objects.filter(alert_rules__in=combining).distinct():
        try:
            _note(organization)
        except Exception:
            log.exception("alerts.facts_not_noted", organization=organization.pk)
    return len(rules)


def _held(rule_id: int) -> AlertRule | None:
    """The rule as it is now, which nobody changes meanwhile; None where it is gone or asks for no fact any more."""
    rows = AlertRule.objects.filter(pk=rule_id, enabled=True, condition__has_any_keys=list(wire.FACTS))
    rows = rows.select_related("organization").prefetch_related("vehicles", "groups")
    return rows.select_for_update(of=("self",), no_key=True).first()


@transaction.atomic
def _note(organization: Organization) -> None:
    """Note what stands of what rules combine with readings, and have the vehicles evaluated where that changed."""
    if not _only_one("alerts.facts", organization.pk):
        return
    asked = organization.alert_rules.combining_facts().values_list("facts", flat=True)
    now = timezone.now()
    changed: set[int] = set()
    for fact in sorted({name for names in asked for name in names}):
        try:
            with transaction.atomic():
                standing = {found.vehicle_id for found in _facts(organization, fact)}
                changed |= spans.note(organization, fact, standing, now)
        except Exception:  # one fact's fault stops no other
            log.exception("alerts.fact_not_noted", organization=organization.pk, fact=fact)
    if changed:
        progress.look_soon(organization.pk, changed)


def _facts(organization: Organization, fact: str) -> Sequence[Fact]:
    name, asked = wire.asked_of(fact)
    found: Look = import_string(FACTS[asked if name == "source" else name])
    return found(organization, asked)


def _only_one(what: str, key: int) -> bool:
    """Whether nobody else looks at it just now; until the transaction ends nobody will."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), %s)", [what, key])
        row = cursor.fetchone()
    return bool(row and row[0])


def _look(rule: AlertRule) -> Told:
    now = timezone.now()
    asked = wire.fact_of(rule.condition)
    name, _ = wire.asked_of(asked)
    found = _facts(rule.organization, asked)
    scope = Scope.of(rule)
    rows = rule.organization.vehicles.filter(pk__in={fact.vehicle_id for fact in found}, archived_at=None)
    vehicles = {vehicle.pk: vehicle for vehicle in rows.prefetch_related("groups") if scope.holds(vehicle)}
    lasting = max(rule.lasting, timedelta(0))
    holds: dict[int, Fact] = {}
    for fact in found:
        begun = max(fact.since, rule.begins)
        if fact.vehicle_id in vehicles and now - begun >= lasting:
            known = holds.get(fact.vehicle_id)
            if known is None or fact.since > known.since:
                holds[fact.vehicle_id] = fact
    standing = {alert.vehicle_id: alert for alert in _standing(rule)}
    # Another code, another silent device: that is an alert of its own.
    newer = {
        vehicle_id
        for vehicle_id, alert in standing.items()
        if name != "state" and vehicle_id in holds and holds[vehicle_id].since + lasting > alert.opened_at
    }
    resolved = _resolved(rule, holds)
    events: list[AlertEvent] = []
    made = []
    frames = freeze_frames(set(holds)) if name == "dtc" else {}
    for vehicle_id, fact in holds.items():
        begun = max(fact.since, rule.begins) + lasting
        if (vehicle_id in standing and vehicle_id not in newer) or begun <= resolved.get(
            vehicle_id, rule.begins - timedelta(1)
        ):
            continue
        evidence = {"words": fact.words, **fact.evidence}
        if vehicle_id in frames:
            evidence["freeze_frame"] = frames[vehicle_id]
        made.append(
            Alert(
                organization=rule.organization, rule=rule, rule_name=rule.name, vehicle=vehicles[vehicle_id],
                severity=rule.severity, opened_at=begun, known_at=now, value=fact.words or None, evidence=evidence,
            )
        )  # fmt: skip
    gone = [alert for vehicle_id, alert in standing.items() if vehicle_id not in holds or vehicle_id in newer]
    for alert in gone:
        alert.cleared_at, alert.tell_at, alert.escalate_at = now, None, None
        events.append(AlertEvent(alert=alert, kind=EventKind.CLEARED, at=now))
    for vehicle_id, alert in standing.items():
        words = holds[vehicle_id].words if vehicle_id in holds and vehicle_id not in newer else ""
        if words and words != alert.evidence.get("words"):
            alert.evidence = {**alert.evidence, **holds[vehicle_id].evidence, "words": words}
            alert.value = words
            events.append(AlertEvent(alert=alert, kind=EventKind.CORRECTED, words=words, at=now))
            Alert.objects.filter(pk=alert.pk).update(evidence=alert.evidence, value=words)
    chosen = choose(made, now)
    Alert.objects.write_times(gone)
    Alert.objects.bulk_create(made, batch_size=1_000)
    events += [AlertEvent(alert=alert, kind=EventKind.OPENED, at=alert.opened_at) for alert in made]
    AlertEvent.objects.bulk_create(events, batch_size=1_000)
    # Where another one has taken its place, nothing is over.
    told = announce(chosen, [alert for alert in gone if alert.vehicle_id not in newer], now)
    told.news = [*made, *gone]
    return told


def _standing(rule: AlertRule) -> list[Alert]:
    """The rule's open alerts, locked, so that nobody resolves one meanwhile."""
    rows = Alert.objects.open().filter(rule=rule).select_related("vehicle")
    return list(rows.order_by("pk").select_for_update(of=("self",)))


def _resolved(rule: AlertRule, holds: dict[int, Fact]) -> dict[int, datetime]:
    """By vehicle: the newest opening of an alert that somebody resolved, although the fact still stood."""
    rows = Alert.objects.filter(rule=rule, vehicle_id__in=list(holds), resolved_at__isnull=False)
    return dict(rows.order_by("opened_at").values_list("vehicle_id", "opened_at"))
