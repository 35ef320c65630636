"""Make tables of frames and of what is remembered, and new memories of tables."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alerts.rules.definition import Compare, NoData, Rule
from alerts.rules.fences import Fence
from alerts.rules.memory import Memories, Memory, Window
from alerts.rules.positions import positions_of
from alerts.rules.table import NEVER, Flags, Places, Table, tail
from telemetry.aggregates import Frames
from telemetry.readings import Times, Values


@dataclass(frozen=True)
class Needs:
    """What a set of rules looks at: signals, windows of changes, fences by id, the position's signals."""

    signals: tuple[int, ...]
    windows: tuple[Window, ...]
    fences: Mapping[int, Fence]
    position: tuple[int, int, int]
    """Ids of longitude, latitude and accuracy."""

    @property
    def carried(self) -> tuple[int, ...]:
        """What is remembered of a vehicle: its signals, and its side of each fence under the fence's id below zero."""
        return (*self.signals, *(-fence for fence in self.fences))

    @property
    def key(self) -> int:
        """Names the set of signals."""
        return zlib.crc32(np.array(self.signals, np.int32).tobytes())


def needs_of(rules: Iterable[Rule], fences: Mapping[int, Fence], position: tuple[int, int, int]) -> Needs:
    """What some rules look at."""
    listed = list(rules)
    leaves = [leaf for rule in listed for leaf in rule.leaves]
    signals = {leaf.signal for leaf in leaves if isinstance(leaf, (Compare, NoData)) and leaf.signal is not None}
    asked = {fence: fences[fence] for rule in listed for fence in rule.fences if fence in fences}
    if asked:
        signals |= set(position)
    windows = {(leaf.signal, leaf.rate) for leaf in leaves if isinstance(leaf, Compare) and leaf.rate}
    return Needs(tuple(sorted(signals)), tuple(sorted(windows)), asked, position)


@dataclass
class _Rows:
    """Rows in the making."""

    group: Places
    times: Times
    past: Flags
    framed: Flags
    frame_told: Times
    columns: dict[int, Values]
    told: dict[int, Times]

    def changed(self, change: Callable[[str, Any], Any]) -> _Rows:
        """The same with every array changed; the function gets the field's name."""
        plain = {name: change(name, getattr(self, name)) for name in ("group", "times", "past", "framed", "frame_told")}
        columns = {signal: change("columns", column) for signal, column in self.columns.items()}
        return _Rows(**plain, columns=columns, told={s: change("told", column) for s, column in self.told.items()})


def build(
    vehicles: Sequence[int],
    frames: Sequence[Frames],
    memories: Memories,
    needs: Needs,
    settled: Mapping[int, int],
    now: int,
) -> Table:
    """A table of some vehicles' frames after what each remembers; vehicles with neither are left out.

    Args:
        settled: by vehicle id, as of when to carry on.
        now: until when to look where nothing newer is known, microseconds since 1970.
    """
    wanted = np.array(sorted(set(vehicles)), np.int64)
    rows = _sorted(_joined(_carried(wanted, memories, needs), _fresh(wanted, frames, needs)))
    present, begins = np.unique(rows.group, return_index=True)
    ends = np.append(begins[1:], len(rows.group))
    ids = wanted[present].tolist()
    last = rows.times[ends - 1] if len(ids) else np.empty(0, np.int64)
    table = Table(
        vehicles=wanted[present].astype(np.int32), begins=begins, ends=ends,
        group=np.searchsorted(present, rows.group).astype(np.int32), times=rows.times,
        past=rows.past, framed=rows.framed, frame_told=rows.frame_told, columns=rows.columns, told=rows.told,
        positions={}, settled=np.array([settled[vehicle] for vehicle in ids], np.int64),
        horizons=np.maximum(last, now),
    )  # fmt: skip
    return _with_positions(table, needs) if needs.fences and ids else table


def _carried(wanted: Times, memories: Memories, needs: Needs) -> _Rows:
    group: list[int] = []
    times: list[int] = []
    newest: list[int] = []
    cells: list[tuple[int, int, float, int]] = []  # signal, row, value, told
    places = {int(vehicle): place for place, vehicle in enumerate(wanted)}
    for vehicle, memory in memories.items():
        place = places.get(vehicle)
        if place is None:
            continue
        for (signal, window), (tail_times, tail_values) in memory.tails.items():
            if (signal, window) in needs.windows:
                for told, value in zip(tail_times.tolist(), tail_values.tolist(), strict=True):
                    cells.append((signal, len(group), value, told))
                    group.append(place)
                    times.append(memory.time)
                    newest.append(memory.newest)
        cells += [
            (signal, len(group), value, told)
            for signal, value, told in zip(
                memory.signals.tolist(), memory.values.tolist(), memory.times.tolist(), strict=True
            )
        ]
        group.append(place)
        times.append(memory.time)
        newest.append(memory.newest)
    count = len(group)
    columns = {signal: np.full(count, np.nan) for signal in needs.carried}
    told_at = {signal: np.full(count, NEVER) for signal in needs.carried}
    for signal, row, value, told in cells:
        if signal in columns:
            columns[signal][row] = value
            told_at[signal][row] = told
    frame_told = np.array(newest, np.int64)
    return _Rows(
        np.array(group, np.intp), np.array(times, np.int64), np.ones(count, bool), frame_told != NEVER, frame_told,
        columns, told_at,
    )  # fmt: skip


def _fresh(wanted: Times, frames: Sequence[Frames], needs: Needs) -> _Rows:
    group = np.concatenate([np.searchsorted(wanted, run.vehicles) for run in frames] or [np.empty(0, np.intp)])
    times = np.concatenate([run.times for run in frames] or [np.empty(0, np.int64)])
    sources = np.concatenate([run.sources for run in frames] or [np.empty(0, np.int32)])
    columns: dict[int, Values] = {}
    for signal in needs.signals:
        parts = []
        for run in frames:
            place = np.flatnonzero(run.signals == signal)
            parts.append(run.values[:, place[0]] if len(place) else np.full(len(run.times), np.nan))
        columns[signal] = np.concatenate(parts or [np.empty(0)])
    for fence in needs.fences:
        columns[-fence] = np.full(len(times), np.nan)
    if len(frames) > 1 or not _ascending(group, times):
        order = np.lexsort((-sources, times, group))
        group, times = group[order], times[order]
        columns = {signal: column[order] for signal, column in columns.items()}
    again = np.append(False, (group[1:] == group[:-1]) & (times[1:] == times[:-1]))
    if again.any():
        # One instant of several sources is one row; of one signal the lower source id counts, which comes last.
        starts = np.flatnonzero(~again)
        lasts = np.append(starts[1:], len(again)) - 1
        every = np.arange(len(again))
        for signal, column in columns.items():
            rows = np.where(np.isnan(column), np.intp(-1), every)
            newest = np.maximum.reduceat(rows, starts)
            columns[signal] = np.where(newest >= starts, column[newest], np.nan)
        group, times = group[lasts], times[lasts]
    count = len(group)
    return _Rows(
        group, times, np.zeros(count, bool), np.ones(count, bool), times, columns, dict.fromkeys(columns, times)
    )


def _ascending(group: Places, times: Times) -> bool:
    later = (group[1:] > group[:-1]) | ((group[1:] == group[:-1]) & (times[1:] > times[:-1]))
    return bool(later.all())


def _joined(carried: _Rows, fresh: _Rows) -> _Rows:
    if not len(carried.group):
        return fresh
    plain = {
        name: np.append(getattr(carried, name), getattr(fresh, name))
        for name in ("group", "times", "past", "framed", "frame_told")
    }
    columns = {signal: np.append(column, fresh.columns[signal]) for signal, column in carried.columns.items()}
    told = {signal: np.append(times, fresh.told[signal]) for signal, times in carried.told.items()}
    return _Rows(**plain, columns=columns, told=told)


def _sorted(rows: _Rows) -> _Rows:
    order = np.lexsort((~rows.past, rows.times, rows.group))
    return rows.changed(lambda _, column: column[order])


def _with_positions(table: Table, needs: Needs) -> Table:
    """The table with sides of fences, and a row just before each position to which the way led through a fence."""
    rows, x, y, accuracies = positions_of(table, needs.position)
    # A carried row tells of an earlier moment.
    longitudes_told = table.told.get(needs.position[0], table.times)[rows]
    times = np.where(table.past[rows], longitudes_told, table.times[rows])
    same = np.append(False, table.group[rows][1:] == table.group[rows][:-1])
    sides: dict[int, Values] = {}
    passes: dict[int, Places] = {}
    for fence_id, fence in needs.fences.items():
        found = fence.sides(x, y, accuracies)
        carried = table.columns[-fence_id][rows]
        found = np.where(np.isnan(carried), found, carried)
        # Too close to the border to tell: the side as it was, and of a vehicle never seen before the one it is on.
        unknown = np.flatnonzero(np.isnan(found) & ~same)
        found[unknown] = fence.inside(x[unknown], y[unknown])
        known = np.maximum.accumulate(np.where(np.isnan(found), 0, np.arange(len(found))))
        found = found[known]
        passed = fence.passed_through(x, y, times, same, found)
        sides[fence_id] = found
        passes[fence_id] = rows[passed & ~table.past[rows]]
    extra = np.unique(np.concatenate(list(passes.values())))
    positions = {fence_id: np.full(len(table.times), np.nan) for fence_id in sides}
    for fence_id, inside in sides.items():
        positions[fence_id][rows] = inside
    if len(extra):
        table = _insert(table, extra)
        moved = np.arange(len(positions[next(iter(positions))])) + np.searchsorted(
            extra, np.arange(len(positions[next(iter(positions))])), "right"
        )
        for fence_id, column in positions.items():
            grown = np.full(len(table.times), np.nan)
            grown[moved] = column
            grown[moved[passes[fence_id]] - 1] = 1.0
            positions[fence_id] = grown
    table.positions = positions
    return table


def _insert(table: Table, before: Places) -> Table:
    """The table with a row that tells nothing, a microsecond before each of some rows."""
    rows = _Rows(table.group.astype(np.intp), table.times, table.past, table.framed, table.frame_told, table.columns,
                 table.told)  # fmt: skip
    puts: dict[str, Any] = {"past": False, "framed": False, "columns": np.nan, "told": NEVER, "frame_told": NEVER,
            "group": table.group[before], "times": table.times[before] - 1}  # fmt: skip
    grown = rows.changed(lambda name, column: np.insert(column, before, puts[name]))
    return replace(
        table,
        begins=table.begins + np.searchsorted(before, table.begins),
        ends=table.ends + np.searchsorted(before, table.ends),
        group=grown.group.astype(np.int32), times=grown.times, past=grown.past, framed=grown.framed,
        frame_told=grown.frame_told, columns=grown.columns, told=grown.told, positions={}, _filled={},
    )  # fmt: skip


def memories_of(table: Table, needs: Needs) -> dict[int, Memory]:
    """What to remember of each vehicle as of its settled time; the rules' states are added by who evaluated them."""
    signals = np.array(needs.carried, np.int32)
    last = table.settled_rows()
    values = np.full((len(table.vehicles), len(signals)), np.nan)
    times = np.full((len(table.vehicles), len(signals)), NEVER)
    for index, signal in enumerate(needs.carried):
        filled, told = table.filled(signal) if signal >= 0 else table.inside(-signal)
        values[:, index], times[:, index] = filled[last], told[last]
    newest = table.any_frame()[last]
    known = ~np.isnan(values) & (last >= 0)[:, None]
    memories, asked = {}, needs.key
    for place, vehicle in enumerate(table.vehicles.tolist()):
        some = known[place]
        kept = (
            (signals, times[place], values[place])
            if some.all()
            else (signals[some], times[place][some], values[place][some])
        )
        frame = int(newest[place]) if last[place] >= 0 else int(NEVER)
        memories[vehicle] = Memory(int(table.settled[place]), frame, kept[0], kept[1], kept[2], asked=asked)
    for signal, window in needs.windows:
        column, told = table.columns[signal], table.told[signal]
        for place, vehicle in enumerate(table.vehicles.tolist()):
            rows = slice(
                int(table.begins[place]), int(last[place]) + 1 if last[place] >= 0 else int(table.begins[place])
            )
            given = ~np.isnan(column[rows])
            memories[vehicle].tails[signal, window] = tail(told[rows][given], column[rows][given], window)
    return memories
