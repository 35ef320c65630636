"""From truth to episodes: when a rule was raised and cleared, vehicle by vehicle, and what to carry on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alerts.rules.conditions import Instants, Thresholds, Truth, came_by_crossing, instants_of, truth_of
from alerts.rules.definition import AtFence, FenceEvent, NoData, Rule, Stands
from alerts.rules.table import ALWAYS, NEVER, Flags, Table
from telemetry.readings import Times

MOST_EPISODES = 10_000
"""Of one rule and vehicle in one evaluation; what comes after them is left out."""


@dataclass(frozen=True)
class Episode:
    """From when to when; ``cleared`` is None while it lasts. Microseconds since 1970."""

    opened: int
    cleared: int | None


@dataclass(frozen=True)
class State:
    """What a rule carries of a vehicle from one evaluation to the next: nothing in it is the usual case.

    ``raising`` and ``clearing``: since when the condition holds. ``open``: since when it is raised.
    ``raisings``: the last instants, where it counts them. ``crossed``: fences whose side was come to by crossing.
    """

    raising: int | None = None
    clearing: int | None = None
    open: int | None = None
    raisings: tuple[int, ...] = ()
    crossed: tuple[int, ...] = ()


NOTHING = State()


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found for one vehicle.

    ``episodes`` begin after what was processed before, or are the one that was open then. ``state`` is as of the
    time that the table calls settled. ``look_again``: when time alone may change something.
    """

    state: State
    episodes: tuple[Episode, ...] = ()
    look_again: int | None = None


@dataclass
class _Found:
    raised: Truth
    cleared: Flags
    at: Instants
    unscheduled: Flags | None = None
    crossed: Mapping[int, Flags] = field(default_factory=dict)


def evaluate(
    rule: Rule, table: Table, states: Mapping[int, State], thresholds: Thresholds, wanted: Flags | None = None
) -> dict[int, Outcome]:
    """Evaluate a rule over a table.

    Args:
        states: by place of the vehicle in the table; those with nothing to carry are left out.
        thresholds: the vehicles' own.
        wanted: V flags of the vehicles that the rule is for; None for all.

    Returns:
        outcomes by place, of those vehicles where anything is to be said or carried.
    """
    count = len(table.vehicles)
    if not len(table.times):
        return {}
    crossed = _crossed(rule, states, count)
    found = _truth(rule, table, thresholds, crossed)
    fresh = ~table.past[found.at.row] | ~found.at.exact
    begins = np.searchsorted(found.at.row, table.begins)
    active = np.logical_or.reduceat(found.raised.true & fresh, begins)
    for place in states:
        active[place] = True
    for fence in {leaf.fence for leaf in rule.leaves if isinstance(leaf, AtFence) and _by_crossing(leaf)}:
        rows = table.settled_rows()
        now = (rows >= 0) & came_by_crossing(fence, table, crossed)[rows]
        active |= now
        found.crossed = {**found.crossed, fence: now}
    if wanted is not None:
        active &= wanted
    again = _coming(rule, table, wanted)
    outcomes: dict[int, Outcome] = {}
    ends = np.append(begins[1:], len(found.at.row))
    for place in np.flatnonzero(active).tolist():
        span = slice(int(begins[place]), int(ends[place]))
        outcomes[place] = _vehicle(rule, table, found, fresh[span], place, span, states.get(place, NOTHING))
    for place, moment in again.items():
        known = outcomes.get(place, Outcome(NOTHING))
        outcomes[place] = replace(known, look_again=min(known.look_again or moment, moment))
    return outcomes


def _by_crossing(leaf: AtFence) -> bool:
    return leaf.event in (FenceEvent.ENTER, FenceEvent.EXIT)


def _crossed(rule: Rule, states: Mapping[int, State], count: int) -> dict[int, Flags]:
    flags: dict[int, Flags] = {}
    for leaf in rule.leaves:
        if isinstance(leaf, AtFence) and _by_crossing(leaf):
            flags[leaf.fence] = np.zeros(count, bool)
            for place, state in states.items():
                flags[leaf.fence][place] = leaf.fence in state.crossed
    return flags


def _truth(rule: Rule, table: Table, thresholds: Thresholds, crossed: Mapping[int, Flags]) -> _Found:
    at = instants_of(rule, table)
    raised = truth_of(rule.condition, rule, table, at, thresholds, crossed)
    cleared = raised.false
    if rule.clear is not None:
        cleared = truth_of(rule.clear, rule, table, at, thresholds, crossed).true & ~raised.true
    counted = raised.true & (at.times >= rule.begins)
    unscheduled = None
    if rule.schedule is not None:
        within = np.zeros(len(at.times), bool)
        for start, end in rule.schedule.spans(int(at.times.min()), int(at.times.max())):
            within |= (at.times >= start) & (at.times < end)
        unscheduled = counted & ~within
        counted &= within
    return _Found(Truth(counted, raised.false), cleared, at, unscheduled)


def _coming(rule: Rule, table: Table, wanted: Flags | None) -> dict[int, int]:
    """When silence that has not lasted long enough yet will have, or a fact turns that was noticed just now."""
    moments: dict[int, int] = {}
    for leaf in rule.leaves:
        if isinstance(leaf, Stands):
            for place, spans in table.standing.get(leaf.fact, {}).items():
                edges = np.concatenate(spans)
                edges = edges[(edges > table.horizons[place]) & (edges < ALWAYS)]
                if len(edges) and (wanted is None or wanted[place]):
                    moments[place] = min(moments.get(place, int(edges.min())), int(edges.min()))
        if isinstance(leaf, NoData):
            told = (table.any_frame() if leaf.signal is None else table.filled(leaf.signal)[1])[table.ends - 1]
            due = told + leaf.lasting
            coming = (told != NEVER) & (due > table.horizons)
            if wanted is not None:
                coming &= wanted
            for place in np.flatnonzero(coming).tolist():
                moments[place] = min(moments.get(place, int(due[place])), int(due[place]))
    return moments


def _vehicle(rule: Rule, table: Table, found: _Found, fresh: Flags, place: int, span: slice, state: State) -> Outcome:
    times = found.at.times[span][fresh]
    raised, cleared = found.raised.true[span][fresh], found.cleared[span][fresh]
    settled, horizon = int(table.settled[place]), int(table.horizons[place])
    raise_runs = _runs(times, raised, state.raising)
    clear_runs = _runs(times, cleared, state.clearing)
    start = int(table.times[table.begins[place]]) if table.past[table.begins[place]] else -(2**62)
    instants = _instants(raise_runs, rule.lasting, horizon, start)
    openings, raisings = _counted(rule, instants, state.raisings, settled)
    clearings = _instants(clear_runs, rule.clear_lasting, horizon, start)
    episodes = _latch(openings, clearings, state.open)
    kept = [episode for episode in episodes if episode.opened <= settled]
    still = next((e.opened for e in kept if e.cleared is None or e.cleared > settled), None)
    crossed = tuple(fence for fence, flags in found.crossed.items() if flags[place])
    carried = State(
        raising=_since(raise_runs, settled),
        clearing=_since(clear_runs, settled) if still is not None else None,
        open=still,
        raisings=raisings,
        crossed=crossed,
    )
    again = _due(raise_runs, rule.lasting, horizon)
    if episodes and episodes[-1].cleared is None:
        again = _earlier(again, _due(clear_runs, rule.clear_lasting, horizon))
    if rule.schedule is not None and found.unscheduled is not None and found.unscheduled[span][-1]:
        again = _earlier(again, rule.schedule.next_start(horizon))
    return Outcome(carried, tuple(episodes), again)


def _runs(times: Times, flags: Flags, since: int | None) -> tuple[Times, Times]:
    """Starts and ends of the runs of true; the last end is `NEVER` where it goes on. ``since``: one was going on."""
    if not len(times):
        ongoing = [] if since is None else [since]
        return np.array(ongoing, np.int64), np.array([NEVER] * len(ongoing), np.int64)
    before = np.append(since is not None, flags[:-1])
    starts = times[flags & ~before]
    ends = times[~flags & before]
    if since is not None:
        starts = np.append(np.int64(since), starts)
    if len(ends) < len(starts):
        ends = np.append(ends, NEVER)
    return starts, ends


def _instants(runs: tuple[Times, Times], lasting: int, horizon: int, after: int) -> Times:
    """When runs had lasted long enough, later than ``after``: earlier ones were seen to before."""
    starts, ends = runs
    due = starts + lasting
    reached = np.where(ends == NEVER, due <= horizon, due < ends)
    chosen: Times = due[reached & (due > after)]
    return chosen


def _counted(rule: Rule, instants: Times, before: Sequence[int], settled: int) -> tuple[Times, tuple[int, ...]]:
    """The instants at which the rule is raised, and those to carry where it counts."""
    if rule.times <= 1:
        return instants, ()
    every = np.append(np.array(before, np.int64), instants)
    earlier = np.arange(len(every)) - (rule.times - 1)
    enough = (earlier >= 0) & (every - every[np.maximum(earlier, 0)] <= rule.within)
    enough[: len(before)] = False
    kept = every[every <= settled][-(rule.times - 1) :]
    return every[enough], tuple(kept.tolist())


def _latch(openings: Times, clearings: Times, since: int | None) -> list[Episode]:
    """Open at the first opening, closed by the first clearing after it, and so on."""
    episodes: list[Episode] = []
    opened = since
    if opened is None and len(openings):
        opened = int(openings[0])
    while opened is not None and len(episodes) < MOST_EPISODES:
        place = int(np.searchsorted(clearings, opened, "right"))
        if place == len(clearings):
            episodes.append(Episode(opened, None))
            break
        cleared = int(clearings[place])
        episodes.append(Episode(opened, cleared))
        place = int(np.searchsorted(openings, cleared, "left"))
        opened = int(openings[place]) if place < len(openings) else None
    return episodes


def _since(runs: tuple[Times, Times], moment: int) -> int | None:
    """Since when the run goes on that holds at a moment."""
    starts, ends = runs
    holds = (starts <= moment) & ((ends == NEVER) | (ends > moment))
    return int(starts[holds][-1]) if holds.any() else None


def _due(runs: tuple[Times, Times], lasting: int, horizon: int) -> int | None:
    starts, ends = runs
    if len(starts) and ends[-1] == NEVER and starts[-1] + lasting > horizon:
        return int(starts[-1]) + lasting
    return None


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
