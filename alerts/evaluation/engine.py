"""Evaluate an organization's rules over frames and memories: whole batches of vehicles at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alerts.evaluation.compiled import RuleSet, flags_for, thresholds_for
from alerts.evaluation.spans import Standing
from alerts.rules.building import build, memories_of
from alerts.rules.definition import Compare, Rule
from alerts.rules.episodes import Episode, State, evaluate
from alerts.rules.memory import Memory
from alerts.rules.table import Table
from telemetry.aggregates import Frames
from vehicles.models import Vehicle

STRETCH = 6 * 3_600_000_000
Key = tuple[int, int]
"""Vehicle and rule."""


@dataclass(frozen=True)
class Finding:
    """An episode, and the table in which it was found."""

    episode: Episode
    table: Table
    place: int

    def values(self, rule: Rule) -> dict[int, float]:
        """What was known of the rule's signals when it was raised."""
        rows = slice(int(self.table.begins[self.place]), int(self.table.ends[self.place]))
        row = rows.start + int(np.searchsorted(self.table.times[rows], self.episode.opened, "right")) - 1
        signals = [leaf.signal for leaf in rule.leaves if isinstance(leaf, Compare)]
        found = {}
        for signal in signals:
            value = float(self.table.filled(signal)[0][max(row, rows.start)])
            if not np.isnan(value):
                found[signal] = value
        return found


@dataclass
class Evaluated:
    """What came of an evaluation: new memories, findings by vehicle and rule, and when to look again by vehicle."""

    memories: dict[int, Memory] = field(default_factory=dict)
    findings: dict[Key, list[Finding]] = field(default_factory=dict)
    look_again: dict[int, int] = field(default_factory=dict)

    def absorb(self, later: Evaluated) -> None:
        """Add what a later piece of time brought; an episode that it tells of again is as it says."""
        self.memories |= later.memories
        for vehicle in later.memories:
            self.look_again.pop(vehicle, None)
        self.look_again |= later.look_again
        for key, found in later.findings.items():
            first = {finding.episode.opened for finding in found}
            before = [f for f in self.findings.get(key, []) if f.episode.opened not in first]
            self.findings[key] = before + found


def advance(
    rules: RuleSet,
    chosen: dict[int, set[int]],
    vehicles: Mapping[int, Vehicle],
    memories: Mapping[int, Memory],
    frames: Sequence[Frames],
    settled: Mapping[int, int],
    now: int,
    standing: Standing | None = None,
) -> Evaluated:
    """Evaluate all rules from each vehicle's memory over the frames after it.

    Args:
        chosen: by rule, for which vehicles it is, where not for all.
        settled: by vehicle, as of when its new memory is; ``now``: until when to look (microseconds since 1970).
        standing: when the facts stood that rules ask for.
    """
    table = build(list(settled), frames, memories, rules.needs, settled, now)
    listed = table.vehicles.tolist()
    if not listed:
        return Evaluated()
    places = {vehicle: place for place, vehicle in enumerate(listed)}
    table.standing = {
        fact: {places[vehicle]: spans for vehicle, spans in vehicles.items() if vehicle in places}
        for fact, vehicles in (standing or {}).items()
    }
    result = Evaluated(memories_of(table, rules.needs))
    states: dict[int, dict[int, State]] = {}
    for place, vehicle in enumerate(listed):
        memory = memories.get(vehicle)
        for rule_id, (revision, state) in memory.states.items() if memory else ():
            if rules.revisions.get(rule_id) == revision:
                states.setdefault(rule_id, {})[place] = state
    rows = [vehicles[vehicle] for vehicle in listed]
    for compiled in rules.rules:
        rule = compiled.rule
        outcomes = evaluate(
            rule, table, states.get(rule.id, {}), thresholds_for(rule, rows), flags_for(rule, chosen, listed)
        )
        for place, outcome in outcomes.items():
            vehicle = listed[place]
            if outcome.state != State():
                result.memories[vehicle].states[rule.id] = (rule.revision, outcome.state)
            if outcome.episodes:
                result.findings[vehicle, rule.id] = [Finding(e, table, place) for e in outcome.episodes]
            if outcome.look_again is not None:
                again = result.look_again.get(vehicle, outcome.look_again)
                result.look_again[vehicle] = min(again, outcome.look_again)
    return result


def replay(
    rules: RuleSet,
    chosen: dict[int, set[int]],
    vehicle: Vehicle,
    base: Memory,
    scan: Callable[[int, int], Frames],
    moments: Sequence[int],
    end: int,
    now: int,
    standing: Standing | None = None,
) -> tuple[Evaluated, list[Memory]]:
    """Evaluate one vehicle anew from an older memory, stopping at some moments; returns also the memories there.

    Args:
        scan: the frames after a time and up to another; asked for a stretch at a time, so that memory stays bounded.
        end: of the frames; the last moment may be before it.
    """
    total = Evaluated()
    memory, stops = base, []
    last = max(moments)
    stretches = range(base.time + STRETCH, last, STRETCH)
    for moment in sorted({*moments, *stretches}):
        # The last piece also holds what is not settled yet.
        part = scan(memory.time, max(end, moment) if moment == last else moment)
        horizon = now if moment == last else moment
        piece = advance(
            rules, chosen, {vehicle.pk: vehicle}, {vehicle.pk: memory}, [part], {vehicle.pk: moment}, horizon, standing
        )
        total.absorb(piece)
        memory = piece.memories[vehicle.pk]
        stops.append(memory)
    return total, stops
