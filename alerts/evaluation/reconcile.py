"""Make the alerts say what was found: new episodes, cleared ones, and what late data changed or took back.

Each alert is told once, when its episode reaches into the last minutes: nobody is paged for what is over. Within a
rule's cool-down a further alert of the same vehicle waits, and is told only where it still stands afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from alerts.evaluation import evidence
from alerts.evaluation.compiled import Compiled, RuleSet
from alerts.evaluation.engine import Evaluated, Finding, Key
from alerts.evaluation.progress import Progress
from alerts.models import Alert, AlertEvent, EventKind
from alerts.telling import Told, announce, choose, take_back
from fleet.lib.api import moment_of
from telemetry import store
from telemetry.store import wire
from vehicles.models import Vehicle

STALE = timedelta(minutes=15)
_STANDING = (
    "SELECT a.id FROM unnest(%s::int4[], %s::timestamptz[]) AS s (vehicle_id, since)"
    " JOIN alerts_alert a ON a.vehicle_id = s.vehicle_id AND a.withdrawn_at IS NULL AND a.rule_id = ANY(%s)"
    " AND (a.cleared_at IS NULL OR a.cleared_at > s.since OR a.opened_at > s.since)"
    " JOIN alerts_alertrule r ON r.id = a.rule_id AND r.revision = a.revision"
)


@dataclass
class _Changes:
    """What is to be written, and told."""

    now: datetime
    made: list[tuple[Alert, Compiled, Finding]] = field(default_factory=list)
    changed: list[Alert] = field(default_factory=list)
    ended: list[Alert] = field(default_factory=list)
    reopened: list[Alert] = field(default_factory=list)
    events: list[AlertEvent] = field(default_factory=list)

    def note(self, alert: Alert, kind: EventKind, words: str = "", at: datetime | None = None) -> None:
        """A line of the timeline."""
        self.events.append(AlertEvent(alert=alert, kind=kind, words=words, at=at or self.now))


def reconcile(
    rules: RuleSet,
    vehicles: Mapping[int, Vehicle],
    rows: Mapping[int, Progress],
    result: Evaluated,
    since: Mapping[int, int],
    now: int,
) -> Told:
    """Bring the alerts of the evaluated vehicles in line with the findings, inside the caller's transaction.

    Args:
        since: by vehicle; what was found covers everything later.
    """
    changes = _Changes(moment_of(now))
    found: dict[Key, list[Finding]] = result.findings
    concerned = {vehicle for vehicle, _ in found} | {v for v in result.memories if rows[v].recent}
    standing = _standing(concerned, since, list(rules.by_id)) if concerned else {}
    for key in found.keys() | standing.keys():
        vehicle_id, rule_id = key
        _match(
            changes, rules.by_id[rule_id], vehicles[vehicle_id], standing.get(key, []), found.get(key, []),
            moment_of(since[vehicle_id]),
        )  # fmt: skip
    for vehicle_id, memory in result.memories.items():
        rows[vehicle_id].recent = False
        for rule_id in rules.by_id:
            for finding in found.get((vehicle_id, rule_id), ()) if found else ():
                end = finding.episode.cleared
                rows[vehicle_id].recent |= finding.episode.opened > memory.time or end is None or end > memory.time
    return _write(changes, rules, rows)


def _standing(vehicles: set[int], since: Mapping[int, int], rules: list[int]) -> dict[Key, list[Alert]]:
    """The alerts that last beyond what was found anew, by vehicle and rule, in order."""
    listed = sorted(vehicles)
    with store.cursor() as opened:
        ids = [
            row[0]
            for row in opened.execute(
                _STANDING,
                [
                    wire.int4_array(np.array(listed, np.int32)),
                    wire.timestamp_array(np.array([since[v] for v in listed], np.int64)),
                    wire.int4_array(np.array(rules, np.int32)),
                ],
            )
        ]
    found: dict[Key, list[Alert]] = {}
    # Locked, so that nobody resolves one of them meanwhile.
    rows = Alert.objects.filter(pk__in=ids).select_related("vehicle").order_by("pk").select_for_update(of=("self",))
    for alert in sorted(rows, key=lambda row: row.opened_at) if ids else ():
        assert alert.rule_id is not None
        found.setdefault((alert.vehicle_id, alert.rule_id), []).append(alert)
    return found


def _match(
    changes: _Changes,
    compiled: Compiled,
    vehicle: Vehicle,
    standing: Sequence[Alert],
    findings: Sequence[Finding],
    since: datetime,
) -> None:
    left = list(standing)
    for finding in findings:
        opened = moment_of(finding.episode.opened)
        cleared = None if finding.episode.cleared is None else moment_of(finding.episode.cleared)
        alert = next((a for a in left if a.opened_at == opened), None) or next(
            (a for a in left if _overlap(a, opened, cleared)), None
        )
        if alert is not None:
            left.remove(alert)
            _adjust(changes, alert, opened, cleared)
        elif opened > since:
            alert = Alert(
                organization_id=vehicle.organization_id, rule=compiled.row, revision=compiled.rule.revision,
                rule_name=compiled.row.name,
                vehicle=vehicle, severity=compiled.row.severity, opened_at=opened, cleared_at=cleared,
                known_at=changes.now,
            )  # fmt: skip
            changes.made.append((alert, compiled, finding))
    for alert in left:
        if alert.opened_at > since:
            if alert.cleared_at is None:
                changes.ended.append(alert)
            alert.withdrawn_at = changes.now
            changes.note(alert, EventKind.WITHDRAWN, "Late readings show that the condition did not hold.")
        elif alert.cleared_at is None:
            alert.cleared_at = changes.now
            changes.ended.append(alert)
            changes.note(alert, EventKind.CLEARED, "The rule is no longer for this vehicle.")
        else:
            continue
        changes.changed.append(alert)


def _overlap(alert: Alert, opened: datetime, cleared: datetime | None) -> bool:
    return (cleared is None or alert.opened_at < cleared) and (alert.cleared_at is None or opened < alert.cleared_at)


def _adjust(changes: _Changes, alert: Alert, opened: datetime, cleared: datetime | None) -> None:
    before = alert.opened_at, alert.cleared_at
    alert.opened_at = opened
    if alert.resolved_at is None:
        alert.cleared_at = cleared
    if (alert.opened_at, alert.cleared_at) == before:
        if alert.cleared_at is None and alert.told_at is None and alert.tell_at is None:
            changes.changed.append(alert)  # told, once the data has come to the present
        return
    if before[1] is None and alert.cleared_at is not None:
        changes.ended.append(alert)
    if before[1] is not None and alert.cleared_at is None:
        changes.reopened.append(alert)
    if before == (opened, None):
        changes.note(alert, EventKind.CLEARED, at=alert.cleared_at)
    else:
        changes.note(alert, EventKind.CORRECTED, "Late readings moved its beginning or its end.")
    changes.changed.append(alert)


def _write(changes: _Changes, rules: RuleSet, rows: Mapping[int, Progress]) -> Told:
    made = [alert for alert, _, _ in changes.made]
    evidence.add(changes.made)
    fresh: list[Alert] = []
    for alert in [*made, *changes.changed]:
        newest = rows[alert.vehicle_id].newest
        end = alert.cleared_at or max(moment_of(newest or 0), alert.opened_at)
        if alert.cleared_at is None and rules.by_id[alert.rule_id or 0].rule.silent:
            end = changes.now  # silence is known to last
        untold = alert.told_at is None and alert.tell_at is None and alert.withdrawn_at is None
        if untold and alert.acknowledged_at is None and changes.now - end <= STALE:
            fresh.append(alert)
        if alert.cleared_at is not None or alert.withdrawn_at is not None:
            alert.tell_at = alert.escalate_at = None
    take_back(changes.reopened, changes.now)
    chosen = choose(fresh, changes.now)
    # What ends first makes room for what begins: one open alert per rule and vehicle.
    for still_open in (False, True):
        Alert.objects.write_times(
            [a for a in changes.changed if (a.cleared_at is None and a.withdrawn_at is None) is still_open]
        )
    Alert.objects.bulk_create(made, batch_size=1_000)
    for alert in made:
        changes.note(alert, EventKind.OPENED, at=alert.opened_at)
        if alert.cleared_at is not None:
            changes.note(alert, EventKind.CLEARED, at=alert.cleared_at)
    AlertEvent.objects.bulk_create(changes.events, batch_size=1_000)
    told = announce(chosen, changes.ended, changes.now)
    told.news = [*made, *changes.changed]
    return told
