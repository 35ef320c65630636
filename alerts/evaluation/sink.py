"""The sink that evaluates rules: each committed batch counts once, whoever is killed and whatever comes twice.

A vehicle's row (`alerts.models.Evaluation`) is locked while it is evaluated, and its progress, the alerts and the
messages that they cause are written in the same transaction. Each evaluation starts from a memory some seconds before
the newest frame, so sources that lag behind one another cost nothing; what is later than that is evaluated anew from
an older memory: at once where that is near, else by `correct`, once it stopped coming.

Cost of a claim of many vehicles: a fixed number of queries, and array operations per rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from django.db import transaction

from alerts.evaluation import checkpoints, compiled, progress, reconcile
from alerts.evaluation.compiled import RuleSet
from alerts.evaluation.engine import Evaluated, advance, replay
from alerts.evaluation.progress import Progress
from alerts.rules.memory import Memory
from alerts.telling import Told
from fleet.accounts.models import Organization
from telemetry import store
from telemetry.aggregates import Frames
from telemetry.readings import Times
from telemetry.sinks import Claim
from vehicles.models import Vehicle

SECOND = 1_000_000
LAG = 5 * SECOND
"""What is younger is evaluated again with the next batch: sources of one vehicle come a little out of step."""
GRACE = 3 * SECOND
"""So long a reading may be on its way before its absence counts."""
AHEAD = 300 * SECOND
NEAR = 300 * SECOND
DEBOUNCE = 10 * SECOND
OLDEST = 7 * 86_400 * SECOND
"""Data that is later than this no longer changes what alerts say."""
BATCHES = 2_000
MOST_DUE = 1_000

log = structlog.get_logger(__name__)


@dataclass
class _New:
    """What a vehicle's batches brought: from when to when, and up to which version."""

    first: int
    last: int
    version: int


@dataclass
class _Work:
    """Vehicles of one organization in one transaction."""

    organization: Organization
    rules: RuleSet
    now: int
    vehicles: dict[int, Vehicle] = field(default_factory=dict)
    chosen: dict[int, set[int]] = field(default_factory=dict)
    rows: dict[int, Progress] = field(default_factory=dict)
    result: Evaluated = field(default_factory=Evaluated)
    since: dict[int, int] = field(default_factory=dict)
    """By vehicle: later episodes than this were found anew."""
    fresh: set[int] = field(default_factory=set)
    """Vehicles that were never evaluated before."""
    slots: dict[int, dict[int, checkpoints.Slots]] = field(default_factory=dict)


def evaluate_batches(claims: Sequence[Claim]) -> dict[int, int]:
    """Evaluate the claimed vehicles' new batches; returns how far it came, by vehicle id."""
    by_organization: dict[int, list[Claim]] = {}
    for claim in claims:
        by_organization.setdefault(claim.organization_id, []).append(claim)
    reached: dict[int, int] = {}
    for organization in Organization.objects.filter(pk__in=by_organization):
        rules = compiled.load(organization)
        if rules is not None:
            reached |= _evaluate(organization, rules, by_organization[organization.pk])
    return reached


def look_again() -> int:
    """Evaluate the vehicles for which the passing of time alone may have changed something; returns how many."""
    return _each_due("look_again", _look)


def correct() -> int:
    """Evaluate anew the vehicles that got data of long ago; returns how many."""
    return _each_due("correct_after", _correct_each)


def _each_due(column: str, work: Callable[[Organization, RuleSet, list[int]], None]) -> int:
    due = progress.due(column, _now(), MOST_DUE)
    for organization in Organization.objects.filter(pk__in=due):
        rules = compiled.load(organization)
        if rules is None:
            with transaction.atomic():
                rows = progress.lock(organization.pk, due[organization.pk])
                for row in rows.values():
                    row.correct_from = row.correct_after = row.look_again = None
                progress.write(list(rows.values()))
            continue
        work(organization, rules, due[organization.pk])
    return sum(map(len, due.values()))


def _now() -> int:
    return time.time_ns() // 1_000


def _evaluate(organization: Organization, rules: RuleSet, claims: Sequence[Claim]) -> dict[int, int]:
    wanted = {claim.vehicle_id: (claim.done, claim.version) for claim in claims}
    found, reached = _new_data(rules, wanted)
    if found:
        with transaction.atomic():
            work = _begin(organization, rules, list(found))
            found = {v: new for v, new in found.items() if v in work.rows and new.version > work.rows[v].version}
            _advance(work, found)
            told = _finish(work)
        told.after_commit()
    return reached


def _new_data(rules: RuleSet, wanted: dict[int, tuple[int, int]]) -> tuple[dict[int, _New], dict[int, int]]:
    """What batches with ruled signals brought, by vehicle."""
    found: dict[int, _New] = {}
    counts: dict[int, int] = {}
    reached: dict[int, int] = {}
    ruled: dict[bytes, bool] = {}
    for change in store.read_changes(wanted, BATCHES):
        counts[change.vehicle_id] = counts.get(change.vehicle_id, 0) + 1
        if counts[change.vehicle_id] == BATCHES:
            reached[change.vehicle_id] = change.version
        key = change.signals.tobytes()
        if key not in ruled:
            ruled[key] = not key or rules.any_frame or not rules.signals.isdisjoint(change.signals.tolist())
        if not ruled[key]:
            continue
        new = found.get(change.vehicle_id)
        if new is None:
            found[change.vehicle_id] = _New(change.first_time, change.last_time, change.version)
        else:
            new.first, new.last = min(new.first, change.first_time), max(new.last, change.last_time)
            new.version = change.version
    return found, reached


def _begin(organization: Organization, rules: RuleSet, vehicle_ids: list[int]) -> _Work:
    work = _Work(organization, rules, _now())
    work.vehicles, work.chosen = compiled.whom(rules, vehicle_ids)
    work.rows = progress.lock(organization.pk, work.vehicles)
    return work


def _advance(work: _Work, found: dict[int, _New]) -> None:
    """Evaluate on from each vehicle's memory; what came late from before it, where that is near."""
    late: dict[int, _New] = {}
    settled: dict[int, int] = {}
    for vehicle_id, new in found.items():
        row = work.rows[vehicle_id]
        row.version = new.version
        last = min(new.last, work.now + AHEAD)
        if last <= max(work.now - OLDEST, work.rules.since):
            continue
        row.newest = max(row.newest or last, last)
        if row.memory is None:
            begin = max(new.first, work.rules.since, work.now - OLDEST)
            row.memory = Memory(begin - 1)
            work.fresh.add(vehicle_id)
        elif new.first <= row.memory.time:
            late[vehicle_id] = new
            continue
        settled[vehicle_id] = max(row.memory.time, row.newest - LAG)
    if late:
        settled |= _late(work, late)
    if settled:
        _run(work, settled)


def _late(work: _Work, late: dict[int, _New]) -> dict[int, int]:
    """Replay the vehicles whose older memory is near; the rest is noted for `correct`, and goes on as if on time."""
    known = checkpoints.read(list(late))
    onward: dict[int, int] = {}
    for vehicle_id, new in late.items():
        row = work.rows[vehicle_id]
        assert row.memory is not None
        assert row.newest is not None
        first = max(new.first, work.now - OLDEST)
        base = checkpoints.before(known.get(vehicle_id, {}), first)
        if base is not None and row.memory.time - base.time <= NEAR:
            _replay(work, row, base, first, known.get(vehicle_id, {}))
        else:
            row.correct_from = min(row.correct_from or first, first)
            row.correct_after = work.now + DEBOUNCE
            onward[vehicle_id] = max(row.memory.time, row.newest - LAG)
    return onward


def _run(work: _Work, settled: dict[int, int]) -> None:
    ids = sorted(settled)
    memories = {vehicle_id: memory for vehicle_id in ids if (memory := work.rows[vehicle_id].memory) is not None}
    frames = _scan(work.rules, ids, [memories[i].time for i in ids], [work.rows[i].newest or 0 for i in ids])
    evaluated = advance(work.rules, work.chosen, work.vehicles, memories, [frames], settled, work.now - GRACE)
    for vehicle_id, memory in evaluated.memories.items():
        work.since[vehicle_id] = memories[vehicle_id].time
        work.rows[vehicle_id].memory = memory
    work.result.absorb(evaluated)


def _replay(work: _Work, row: Progress, base: Memory, first: int, levels: dict[int, checkpoints.Slots]) -> None:
    assert row.memory is not None
    assert row.newest is not None
    settle = max(row.memory.time, row.newest - LAG)
    moments = [moment for moment in checkpoints.times_from(levels, first) if moment < settle]
    frames = _scan(work.rules, [row.vehicle_id], [base.time], [row.newest])
    vehicle = work.vehicles[row.vehicle_id]
    total, stops = replay(work.rules, work.chosen, vehicle, base, frames, [*moments, settle], work.now - GRACE)
    anew = {memory.time: memory for memory in stops}
    work.slots[row.vehicle_id] = checkpoints.replaced(levels, anew)
    work.since[row.vehicle_id] = base.time
    row.memory = stops[-1]
    work.result.absorb(total)


def _scan(rules: RuleSet, ids: list[int], starts: list[int], ends: list[int]) -> Frames:
    numbers, texts = rules.numbers_and_texts

    def column(values: list[int]) -> Times:
        return np.array(values, np.int64)

    spans = store.VehicleSpans(np.array(ids, np.int32), column(starts), column(ends))
    return store.scan_signals(spans, numbers, texts, rules.any_frame)


def _finish(work: _Work) -> Told:
    """Write what came of it: alerts, progress, checkpoints."""
    told = reconcile.reconcile(work.rules, work.vehicles, work.rows, work.result, work.since, work.now)
    changed: dict[int, dict[int, checkpoints.Slots]] = dict(work.slots)
    aged = [v for v in work.result.memories if v not in changed and _aged(work, v)]
    known = checkpoints.read(aged) if aged else {}
    for vehicle_id, memory in work.result.memories.items():
        row = work.rows[vehicle_id]
        again = work.result.look_again.get(vehicle_id)
        row.look_again = None if again is None else again + GRACE
        if vehicle_id in known or vehicle_id in aged:
            changed[vehicle_id] = checkpoints.promoted(known.get(vehicle_id, {}), memory)
    progress.write(list(work.rows.values()))
    checkpoints.write(changed)
    return told


def _aged(work: _Work, vehicle_id: int) -> bool:
    """Whether a shortest period has begun since the last evaluation: only then may a checkpoint be due."""
    period = checkpoints.PERIODS[0]
    after = work.result.memories[vehicle_id].time
    return (
        vehicle_id in work.fresh
        or work.since[vehicle_id] // period != after // period
        or after - work.since[vehicle_id] >= period
    )


def _look(organization: Organization, rules: RuleSet, ids: list[int]) -> None:
    with transaction.atomic():
        work = _begin(organization, rules, ids)
        settled = {v: row.memory.time for v, row in work.rows.items() if row.memory is not None}
        if settled:
            _run(work, settled)
        told = _finish(work)
    told.after_commit()


def _correct_each(organization: Organization, rules: RuleSet, ids: list[int]) -> None:
    for vehicle_id in ids:
        _correct(organization, rules, vehicle_id)


def _correct(organization: Organization, rules: RuleSet, vehicle_id: int) -> None:
    with transaction.atomic():
        work = _begin(organization, rules, [vehicle_id])
        row = work.rows.get(vehicle_id)
        if row is None or row.memory is None or row.correct_from is None or row.newest is None:
            return
        first, row.correct_from, row.correct_after = row.correct_from, None, None
        levels = checkpoints.read([vehicle_id]).get(vehicle_id, {})
        begin = max(min(first, max(rules.since, first - _lookback(rules))), work.now - OLDEST - _lookback(rules))
        base = checkpoints.before(levels, first) or Memory(begin - 1)
        _replay(work, row, base, first, levels)
        told = _finish(work)
    told.after_commit()
    log.info("alerts.corrected", vehicle=vehicle_id, seconds=round((row.newest - first) / SECOND))


def _lookback(rules: RuleSet) -> int:
    return max(entry.rule.lookback for entry in rules.rules)
