"""What a rule would have done: the same evaluation over what is stored.

Of a long range the rollups tell minute by minute where nothing can change: for comparisons only the frames of the other
minutes are read, and a skipped minute is one reading that says the same. The episodes are those that all frames give.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any as Anything

import numpy as np
from numpy.typing import NDArray

from alerts.composing import words_of
from alerts.evaluation import compiled
from alerts.evaluation.compiled import RuleSet
from alerts.evaluation.engine import advance
from alerts.models import AlertRule
from alerts.rules.building import needs_of
from alerts.rules.conditions import COMPARISONS
from alerts.rules.definition import All, Any, Compare, Node, Operator, Rule
from alerts.rules.episodes import Episode
from alerts.rules.memory import Memory
from alerts.services import check
from alerts.wire import BadCondition, facts_in
from fleet.lib.api import moment_of, written
from telemetry import store
from telemetry.aggregates import MINUTE, Frames
from telemetry.horizons import frames_from, rollups_from
from telemetry.readings import Times
from vehicles.models import Vehicle

DAYS = timedelta(days=7)
LONGEST = timedelta(days=31)
MOST_SHOWN = 500
CHUNK = 43_200_000_000
DENSE = 2 * MINUTE
"""A value that counts for so long outlives the silence between readings of adjacent minutes."""
Minutes = NDArray[np.bool_]


def run(row: AlertRule, vehicle: Vehicle, start: datetime | None, end: datetime | None) -> dict[str, Anything]:
    """The episodes of a rule on a vehicle from ``start`` to ``end`` (the last seven days), as the API shows them.

    Raises:
        BadCondition: the rule cannot be evaluated, or the range is too long.
    """
    check(row)
    if any(facts_in(condition) for condition in (row.condition, row.clear) if condition):
        raise BadCondition("What stands rather than is read has no past to be tried on.")
    to = end or datetime.now(UTC)
    since = start or to - DAYS
    if not timedelta(0) < to - since <= LONGEST:
        raise BadCondition("A backtest covers up to 31 days, from before to.")
    began = time.perf_counter()
    first, last = (round(moment.timestamp() * 1e6) for moment in (since, to))
    first = max(first, frames_from(row.organization))
    row.begins = moment_of(first)
    fences = compiled.fences_of(row.organization)
    rule = compiled.rule_of(row, row.organization, set(fences))
    entry = compiled.Compiled(rule, row)
    rules = RuleSet((entry,), needs_of([rule], fences, compiled.position_signals()))
    episodes, frames = _evaluate(rules, rule, vehicle, first, last)
    shown = [
        {
            "opened_at": written(episode.opened),
            "cleared_at": None if episode.cleared is None else written(episode.cleared),
            "value": value,
        }
        for episode, value in episodes[:MOST_SHOWN]
    ]
    raised = sum((episode.cleared or last) - episode.opened for episode, _ in episodes) / 1e6
    return {
        "from": written(first), "to": written(last), "vehicle": vehicle.pk, "count": len(episodes),
        "seconds_raised": round(raised, 1), "episodes": shown, "frames_read": frames,
        "took_ms": round((time.perf_counter() - began) * 1000),
        "words": _words(len(episodes), to - since, raised),
    }  # fmt: skip


def _words(count: int, span: timedelta, raised: float) -> str:
    days = span / timedelta(days=1)
    length = f"{words_of(round(days, 1))} days" if days >= 2 else f"{words_of(round(days * 24, 1))} hours"
    if not count:
        return f"Would not have fired in the {length}."
    times = "once" if count == 1 else f"{count} times"
    return f"Would have fired {times} in the {length}, for {words_of(round(raised / 60, 1))} min in all."


def _evaluate(
    rules: RuleSet, rule: Rule, vehicle: Vehicle, first: int, last: int
) -> tuple[list[tuple[Episode, float | None]], int]:
    """The episodes with the values that raised them, and how many frames were read: by chunks, to bound the memory."""
    asked = next((leaf.signal for leaf in rule.leaves if isinstance(leaf, Compare)), None)
    begin = first - rule.lookback
    texts = rules.numbers_and_texts[1]
    minutes = None if texts else _minutes(rule, vehicle, begin, last)  # rollups know nothing of texts
    memory, count = Memory(begin - 1), 0
    episodes: dict[int, tuple[Episode, float | None]] = {}
    for after in range(begin - 1, last, CHUNK):
        until = min(last, after + CHUNK)
        frames = _frames(rules, vehicle, after, until, minutes)
        count += sum(len(part.times) for part in frames)
        piece = advance(rules, {}, {vehicle.pk: vehicle}, {vehicle.pk: memory}, frames, {vehicle.pk: until}, until)
        memory = piece.memories.get(vehicle.pk, memory)
        for finding in piece.findings.get((vehicle.pk, rule.id), ()):
            opened = finding.episode.opened  # of one that goes on from the chunk before, the value is known
            value = episodes[opened][1] if opened in episodes else finding.values(rule).get(asked or 0)
            episodes[opened] = finding.episode, value
    return list(episodes.values()), count


def _frames(
    rules: RuleSet, vehicle: Vehicle, after: int, until: int, minutes: tuple[int, Minutes, Frames] | None
) -> list[Frames]:
    numbers, texts = rules.numbers_and_texts

    def scan(starts: Times, ends: Times) -> Frames:
        spans = store.VehicleSpans(np.full(len(starts), vehicle.pk, np.int32), starts, ends)
        return store.scan_signals(spans, numbers, texts, rules.any_frame)

    if minutes is None:
        return [scan(np.array([after], np.int64), np.array([until], np.int64))]
    origin, exact, skipped = minutes
    starts = origin + np.flatnonzero(exact & ~np.append(False, exact[:-1])) * MINUTE - 1
    ends = origin + (np.flatnonzero(exact & ~np.append(exact[1:], False)) + 1) * MINUTE - 1
    chosen = (ends > after) & (starts < until)
    starts, ends = np.maximum(starts[chosen], after), np.minimum(ends[chosen], until)
    rows = (skipped.times > after) & (skipped.times <= until)
    stand_in = Frames(
        skipped.vehicles[rows], skipped.sources[rows], skipped.times[rows], skipped.signals, skipped.values[rows]
    )
    return [scan(starts, ends), stand_in]


def _minutes(rule: Rule, vehicle: Vehicle, begin: int, last: int) -> tuple[int, Minutes, Frames] | None:
    """Which minutes have to be read exactly, and one reading for each of the others; None for all of them.

    A minute is skipped where the conditions say the same throughout it as in the minute before it and in the one after
    it, with readings in all three.
    """
    leaves = [leaf for leaf in rule.leaves if isinstance(leaf, Compare) and not leaf.rate]
    if len(leaves) != len(rule.leaves) or rule.hold < DENSE:
        return None
    organization = vehicle.organization
    wanted = store.Range(
        organization.pk, vehicle.pk, begin // MINUTE * MINUTE, (last // MINUTE + 1) * MINUTE,
        frames_from=0, rolled_from=rollups_from(organization),
    )  # fmt: skip
    signals = sorted({leaf.signal for leaf in leaves})
    history = store.read_history(wanted, signals, [], (wanted.end - wanted.start) // MINUTE)
    if history.width != MINUTE:
        return None
    told = [~np.isnan(history.numbers[signal].minimum) for signal in signals]
    # What was never told is not known in any minute; what was told has to be, in each minute that is skipped.
    constant = np.all([minutes for minutes in told if minutes.any()] or [np.zeros(len(history.times), bool)], axis=0)
    same = np.ones(len(constant), bool)
    for node in (rule.condition, rule.clear):
        if node is not None:
            true, false, unknown = _throughout(node, history, vehicle)
            constant &= true | false | unknown
            again = (true[1:] == true[:-1]) & (unknown[1:] == unknown[:-1])
            same &= np.append(False, again) & np.append(again, False)
    around = np.append(False, constant[:-1]) & np.append(constant[1:], False)
    skip = constant & same & around
    rows = np.flatnonzero(skip)
    values = np.array([history.numbers[signal].minimum[rows] for signal in signals]).T.reshape(len(rows), len(signals))
    skipped = Frames(
        np.full(len(rows), vehicle.pk, np.int32), np.ones(len(rows), np.int32), history.times[rows],
        np.array(signals, np.int32), values,
    )  # fmt: skip
    return int(history.times[0]), ~skip, skipped


def _throughout(node: Node, history: store.History, vehicle: Vehicle) -> tuple[Minutes, Minutes, Minutes]:
    """In which minutes a condition of comparisons is true all the time, false all the time, unknown all the time."""
    if isinstance(node, (All, Any)):
        parts = zip(*(_throughout(part, history, vehicle) for part in node.parts), strict=True)
        trues, falses, unknowns = (np.array(masks) for masks in parts)
        every, one = np.logical_and.reduce, np.logical_or.reduce
        if isinstance(node, All):
            return every(trues), one(falses), every(trues | unknowns) & one(unknowns)
        return one(trues), every(falses), every(falses | unknowns) & one(unknowns)
    assert isinstance(node, Compare)
    series = history.numbers[node.signal]
    never = np.full(len(series.minimum), bool(np.isnan(series.minimum).all()))
    value = node.value
    if node.attribute:
        own = compiled.number_of(vehicle.attributes.get(node.attribute))
        value = node.value if np.isnan(own) else own * node.unit[0] + node.unit[1]
    low, high = (COMPARISONS[node.operator](edge, value) for edge in (series.minimum, series.maximum))
    # Equality may come and go between the extremes.
    crossed = (series.minimum <= value) & (series.maximum >= value) & (series.minimum != series.maximum)
    plain = node.operator not in (Operator.EQUAL, Operator.DIFFERENT) or ~crossed
    return low & high & plain & ~never, ~low & ~high & plain & ~never, never
