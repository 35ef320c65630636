"""Conditions over a table: at each instant true, false, or not known (Kleene's three values)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alerts.rules.definition import All, Any, AtFence, Compare, FenceEvent, Leaf, NoData, Node, Operator, Rule, Stands
from alerts.rules.table import NEVER, Flags, Places, Table
from telemetry.readings import Times, Values

Thresholds = Mapping[str, Values]
"""By attribute: V values, one per vehicle of the table; NaN where a vehicle has none."""
COMPARISONS = {
    Operator.GREATER: np.greater,
    Operator.GREATER_EQUAL: np.greater_equal,
    Operator.LESS: np.less,
    Operator.LESS_EQUAL: np.less_equal,
    Operator.EQUAL: np.equal,
    Operator.DIFFERENT: np.not_equal,
}


class Truth(NamedTuple):
    """Where a condition is true, and where it is false; where neither, it is not known."""

    true: Flags
    false: Flags


@dataclass(frozen=True)
class Instants:
    """The instants at which a rule's truth may change: a table's rows, and times between them.

    ``row``: the table's row that is the newest at each; ``exact``: whether it is that row itself.
    """

    row: Places
    times: Times
    exact: Flags


def instants_of(rule: Rule, table: Table) -> Instants:
    """The table's rows, and where by time alone a value ends, data is missing, or a fact or a schedule turns."""
    following = np.append(table.times[1:], 0)
    following[table.ends - 1] = np.maximum(table.horizons, table.times[table.ends - 1]) + 1
    rows: list[Places] = []
    times: list[Times] = []

    def add(row: Places, time: Times) -> None:
        between = (time > table.times[row]) & (time < following[row])
        rows.append(row[between])
        times.append(time[between])

    every = np.arange(len(table.times))
    for leaf in rule.leaves:
        if isinstance(leaf, Stands):
            for place, spans in table.standing.get(leaf.fact, {}).items():
                begin, end = table.begins[place], table.ends[place]
                edges = np.concatenate(spans)
                before = begin - 1 + np.searchsorted(table.times[begin:end], edges, "right")
                add(before[before >= begin], edges[before >= begin])
            continue
        told = _told(leaf, table)
        if told is None:
            continue
        after = leaf.lasting if isinstance(leaf, NoData) else rule.hold
        # Rows after which nothing follows for so long: few, and none while data flows.
        quiet = np.flatnonzero((told != NEVER) & (told + after < following))
        add(quiet, told[quiet] + after)
    if rule.begins > int(table.times.min()):
        add(every, np.full(len(every), rule.begins, np.int64))
    if rule.schedule is not None:
        for start, end in rule.schedule.spans(int(table.times.min()), int(table.horizons.max())):
            for edge in (start, end):
                add(every, np.full(len(every), edge, np.int64))
    if not sum(map(len, rows)):
        return Instants(every, table.times, np.ones(len(every), bool))
    row = np.concatenate([every, *rows])
    time = np.concatenate([table.times, *times])
    exact = np.arange(len(row)) < len(every)
    order = np.lexsort((~exact, time, row))
    row, time, exact = row[order], time[order], exact[order]
    once = np.append(True, (row[1:] != row[:-1]) | (time[1:] != time[:-1]))
    return Instants(row[once], time[once], exact[once])


def _told(leaf: Leaf, table: Table) -> Times | None:
    match leaf:
        case Compare(rate=0):
            return table.filled(leaf.signal)[1]
        case Compare():
            return table.changes(leaf.signal, leaf.rate)[1]
        case NoData():
            return table.any_frame() if leaf.signal is None else table.filled(leaf.signal)[1]
        case AtFence() | Stands():
            return None  # a vehicle is where it was last seen


def truth_of(
    node: Node, rule: Rule, table: Table, at: Instants, thresholds: Thresholds, crossed: Mapping[int, Flags]
) -> Truth:
    """Where a condition is true and where false.

    Args:
        crossed: by fence, V flags: the vehicle's last known change of side began the state that it is in.
    """
    match node:
        case All():
            parts = [truth_of(part, rule, table, at, thresholds, crossed) for part in node.parts]
            return Truth(
                np.logical_and.reduce([part.true for part in parts]),
                np.logical_or.reduce([part.false for part in parts]),
            )
        case Any():
            parts = [truth_of(part, rule, table, at, thresholds, crossed) for part in node.parts]
            return Truth(
                np.logical_or.reduce([part.true for part in parts]),
                np.logical_and.reduce([part.false for part in parts]),
            )
        case Compare():
            return _compare(node, rule, table, at, thresholds)
        case NoData():
            told = _told(node, table)
            assert told is not None
            told = told[at.row]
            silent = at.times >= told + node.lasting
            return Truth(silent & (told != NEVER), ~silent & (told != NEVER))
        case AtFence():
            return _at_fence(node, table, at, crossed)
        case Stands():
            stood = np.zeros(len(at.times), bool)
            for place, spans in table.standing.get(node.fact, {}).items():
                rows = slice(*np.searchsorted(at.row, (table.begins[place], table.ends[place])))
                stood[rows] = spans.hold(at.times[rows])
            seen = (table.any_frame() != NEVER)[at.row]  # nothing is known of a vehicle that never told anything
            return Truth(stood & seen, ~stood & seen)


def _compare(leaf: Compare, rule: Rule, table: Table, at: Instants, thresholds: Thresholds) -> Truth:
    values, told = table.changes(leaf.signal, leaf.rate) if leaf.rate else table.filled(leaf.signal)
    values = values[at.row]
    known = ~np.isnan(values) & (at.times < told[at.row] + rule.hold)
    threshold: float | Values = leaf.value
    if leaf.attribute and leaf.attribute in thresholds:
        own = thresholds[leaf.attribute] * leaf.unit[0] + leaf.unit[1]
        threshold = np.where(np.isnan(own), leaf.value, own)[table.group[at.row]]
        known &= ~np.isnan(threshold)
    holds = COMPARISONS[leaf.operator](values, threshold)
    return Truth(known & holds, known & ~holds)


def _at_fence(leaf: AtFence, table: Table, at: Instants, crossed: Mapping[int, Flags]) -> Truth:
    inside, _ = table.inside(leaf.fence)
    wanted = 1.0 if leaf.event in (FenceEvent.INSIDE, FenceEvent.ENTER) else 0.0
    if leaf.event in (FenceEvent.ENTER, FenceEvent.EXIT):
        there = came_by_crossing(leaf.fence, table, crossed) & (inside == wanted)
        return Truth(there[at.row], (~there & ~np.isnan(inside))[at.row])
    inside = inside[at.row]
    return Truth(inside == wanted, ~np.isnan(inside) & (inside != wanted))


def came_by_crossing(fence: int, table: Table, crossed: Mapping[int, Flags]) -> Flags:
    """Whether the side of the fence on which the vehicle is, at each row, was come to by crossing it."""
    inside, _ = table.inside(fence)
    rows = len(inside)
    before = np.append(np.nan, inside[:-1])
    before[table.begins] = np.nan
    turned = ~np.isnan(before) & ~np.isnan(inside) & (before != inside)
    # From a vehicle's first row on: as it was known before, until it crosses.
    start = crossed.get(fence)
    since = np.where(turned, np.arange(rows), table.begins[table.group])
    np.maximum.accumulate(since, out=since)
    known_before = np.zeros(rows, bool) if start is None else start[table.group]
    return np.where(turned[since], True, known_before)
