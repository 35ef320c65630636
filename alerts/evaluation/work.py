"""One transaction's work: vehicles of one organization whose rows are locked, evaluated, and written."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from alerts.evaluation import checkpoints, compiled, progress, reconcile
from alerts.evaluation.compiled import RuleSet
from alerts.evaluation.engine import Evaluated, advance, replay
from alerts.evaluation.progress import GRACE, Progress
from alerts.evaluation.spans import read as read_spans
from alerts.rules.memory import Memory
from alerts.telling import Told
from fleet.accounts.models import Organization
from telemetry import store
from telemetry.aggregates import Frames
from telemetry.readings import CLOCK_TOLERANCE_US
from vehicles.models import Vehicle

SECOND = 1_000_000
LAG = 5 * SECOND
"""What is younger is evaluated again with the next batch: sources of one vehicle come a little out of step."""
LONGEST_LOOKBACK = 86_400 * SECOND
OLDEST = 7 * 86_400 * SECOND
"""Data that is later than this no longer changes what alerts say."""


@dataclass
class Work:
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
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By vehicle: between which times nothing came that a rule asks for, so that it need not be read."""
    slots: dict[int, dict[int, checkpoints.Slots]] = field(default_factory=dict)


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


def begin(organization: Organization, rules: RuleSet, vehicle_ids: list[int]) -> Work:
    """Lock the rows of those vehicles that exist, and the rules; inside the caller's transaction."""
    rules = compiled.load(organization, held=True) or RuleSet((), rules.needs)
    work = Work(organization, rules, now())
    work.vehicles, work.chosen = compiled.whom(rules, vehicle_ids)
    work.rows = progress.lock(organization.pk, work.vehicles)
    return work


def until(work: Work, row: Progress) -> int:
    """The time up to which a vehicle's frames are looked at."""
    return min(row.newest or 0, work.now + CLOCK_TOLERANCE_US)


def settle(work: Work, row: Progress) -> int:
    """As of when a vehicle's next memory is: some seconds before its newest frame, or before now."""
    assert row.memory is not None
    return max(row.memory.time, min(row.newest or 0, work.now) - LAG)


def run(work: Work, settled: dict[int, int]) -> None:
    """Evaluate on from each vehicle's memory, which then is as of the settled time."""
    ids = sorted(settled)
    memories = {vehicle_id: memory for vehicle_id in ids if (memory := work.rows[vehicle_id].memory) is not None}
    for vehicle_id, memory in memories.items():
        memories[vehicle_id] = _informed(work, vehicle_id, memory)
    spans: list[tuple[int, int, int]] = []
    for vehicle_id in ids:
        start, end = memories[vehicle_id].time, until(work, work.rows[vehicle_id])
        silent = work.gaps.get(vehicle_id)
        if silent is not None and start < silent[0]:
            spans.append((vehicle_id, start, silent[0]))
        spans.append((vehicle_id, start if silent is None else silent[1], end))
    frames = _scan(work.rules, spans)
    standing = read_spans(work.rules.facts, ids, min(memory.time for memory in memories.values()))
    evaluated = advance(work.rules, work.chosen, work.vehicles, memories, [frames], settled, work.now - GRACE, standing)
    for vehicle_id, memory in evaluated.memories.items():
        work.since[vehicle_id] = memories[vehicle_id].time
        work.rows[vehicle_id].memory = memory
    work.result.absorb(evaluated)


def replay_from(work: Work, row: Progress, base: Memory, first: int, levels: dict[int, checkpoints.Slots]) -> None:
    """Evaluate a vehicle anew from an older memory, and remake the memories that data from ``first`` on spoilt."""
    assert row.memory is not None
    assert row.newest is not None
    last = settle(work, row)
    moments = [moment for moment in checkpoints.times_from(levels, first) if moment < last]
    vehicle = work.vehicles[row.vehicle_id]

    def scan(after: int, to: int) -> Frames:
        return _scan(work.rules, [(vehicle.pk, after, to)])

    total, stops = replay(
        work.rules,
        work.chosen,
        vehicle,
        _informed(work, vehicle.pk, base),
        scan,
        [*moments, last],
        until(work, row),
        work.now - GRACE,
        read_spans(work.rules.facts, [vehicle.pk], base.time),
    )
    anew = {memory.time: memory for memory in stops}
    remade = checkpoints.replaced(levels, anew)
    work.slots[row.vehicle_id] = {**remade, **checkpoints.promoted(remade, stops[-1])}
    work.since[row.vehicle_id] = base.time
    row.memory = stops[-1]
    work.result.absorb(total)


def _informed(work: Work, vehicle_id: int, memory: Memory) -> Memory:
    """The memory with what was told lately of signals that no rule asked for when it was made."""
    needs = work.rules.needs
    missing = [signal for signal in needs.signals if signal not in set(memory.signals.tolist())]
    if memory.asked == needs.key or not missing or not work.rules.rules:
        return memory
    lookback = min(max(entry.rule.lookback for entry in work.rules.rules), LONGEST_LOOKBACK)
    frames = _scan(work.rules, [(vehicle_id, memory.time - lookback, memory.time)])
    order = np.lexsort((-frames.sources, frames.times))
    known = (memory.signals.tolist(), memory.times.tolist(), memory.values.tolist())
    found = list(zip(*known, strict=True))
    for signal in missing:
        values = frames.values[order, int(np.flatnonzero(frames.signals == signal)[0])]
        told = np.flatnonzero(~np.isnan(values))
        if len(told):
            found.append((signal, int(frames.times[order][told[-1]]), float(values[told[-1]])))
    found.sort()
    signals, times, values = zip(*found, strict=True) if found else ((), (), ())
    newest = max(memory.newest, int(frames.times.max())) if len(frames.times) else memory.newest
    return replace(
        memory, newest=newest, signals=np.array(signals, np.int32), times=np.array(times, np.int64),
        values=np.array(values, float), asked=needs.key,
    )  # fmt: skip


def _scan(rules: RuleSet, spans: list[tuple[int, int, int]]) -> Frames:
    """The frames of vehicles after a time and up to another."""
    numbers, texts = rules.numbers_and_texts
    table = np.array(spans, np.int64)
    wanted = store.VehicleSpans(table[:, 0].astype(np.int32), table[:, 1], table[:, 2])
    return store.scan_signals(wanted, numbers, texts, rules.any_frame)


def finish(work: Work) -> Told:
    """Write what came of it: alerts, progress, checkpoints."""
    told = reconcile.reconcile(work.rules, work.vehicles, work.rows, work.result, work.since, work.now)
    changed: dict[int, dict[int, checkpoints.Slots]] = dict(work.slots)
    aged = [v for v in work.result.memories if v not in changed and _aged(work, v)]
    known = checkpoints.read(aged) if aged else {}
    for vehicle_id, memory in work.result.memories.items():
        row = work.rows[vehicle_id]
        again = work.result.look_again.get(vehicle_id)
        row.look_again = None if again is None else again + GRACE
        if (row.newest or 0) > until(work, row):
            row.look_again = min(row.look_again or row.newest or 0, row.newest or 0)
        if vehicle_id in known or vehicle_id in aged:
            changed[vehicle_id] = checkpoints.promoted(known.get(vehicle_id, {}), memory)
    progress.write(list(work.rows.values()))
    checkpoints.write(changed)
    return told


def _aged(work: Work, vehicle_id: int) -> bool:
    """Whether a shortest period has begun since the last evaluation: only then may a checkpoint be due."""
    period = checkpoints.PERIODS[0]
    after = work.result.memories[vehicle_id].time
    return (
        vehicle_id in work.fresh
        or work.since[vehicle_id] // period != after // period
        or after - work.since[vehicle_id] >= period
    )
