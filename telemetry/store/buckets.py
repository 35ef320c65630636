"""Readings summed up in buckets: whole hours and minutes from the rollups, and what they lack from the frames.

A range is cut into layers: frames up to its first whole minute, stored minutes up to its first whole hour, stored
hours, then minutes and frames again. Rollups count only as far as no batch waits for their sink, so the answer is
what the frames alone would give, whatever the sink still has to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor, sql

from telemetry.aggregates import HOUR, MINUTE
from telemetry.readings import Values
from telemetry.store import wire
from telemetry.store.connections import planned
from telemetry.store.frames import Range, frames_of, moment, number

SINK = "rollups"
ROLLED_FROM = 4 * HOUR
"""Shorter ranges are read from the frames, in buckets of any width."""
SIGNALS_PER_QUERY = 100
"""PostgreSQL returns at most 1,664 columns."""


class Grid(NamedTuple):
    """Some ``buckets`` of ``width`` microseconds from ``origin`` on."""

    origin: int
    width: int
    buckets: int


@dataclass
class Cells:
    """Signals x buckets; minima and maxima are NaN where there is no reading."""

    counts: NDArray[np.int64]
    minima: Values
    maxima: Values
    sums: Values

    @classmethod
    def empty(cls, signals: int, buckets: int) -> Cells:
        """Nothing read yet."""
        shape = signals, buckets
        return cls(np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape))

    def add(self, signal: int, places: Any, counts: Any, minima: Any, maxima: Any, sums: Any) -> None:
        """Merge readings of one signal into the buckets at ``places``, which may repeat."""
        np.add.at(self.counts[signal], places, counts)
        np.fmin.at(self.minima[signal], places, minima)
        np.fmax.at(self.maxima[signal], places, maxima)
        np.add.at(self.sums[signal], places, sums)


def grid_of(wanted: Range, points: int) -> Grid:
    """At most ``points`` buckets over the range; whole minutes or hours where rollups help, so that they fit."""
    width = -(-(wanted.end - wanted.start) // points)
    unit = 1
    if uses_rollups(wanted) and (width >= MINUTE or wanted.start < wanted.frames_from):
        unit = HOUR if width >= HOUR else MINUTE
    origin = wanted.start // unit * unit
    width = -(-(wanted.end - origin) // points)
    width = -(-width // unit) * unit
    return Grid(origin, width, -(-(wanted.end - origin) // width))


def uses_rollups(wanted: Range) -> bool:
    """Whether the range is long, or begins where the frames are gone."""
    if wanted.rolled_from is None:
        return False
    return wanted.end - wanted.start >= ROLLED_FROM or wanted.start < wanted.frames_from


def read_cells(opened: Cursor[Any], wanted: Range, numbers: list[int], grid: Grid) -> Cells:
    """Numeric signals in buckets.

    Args:
        grid: covers the range; its edges lie on whole minutes, or on whole hours where its width is one or more,
            for rollups to be of use.
    """
    cells = Cells.empty(len(numbers), grid.buckets)
    rest = [wanted]
    if numbers and uses_rollups(wanted) and grid.width % MINUTE == 0 and grid.origin % MINUTE == 0:
        rest = _rolled(opened, wanted, numbers, grid, cells)
    with planned(opened, "enable_sort", "enable_nestloop"):
        for part in rest:
            for first in range(0, len(numbers), SIGNALS_PER_QUERY):
                _from_frames(opened, part, numbers[first : first + SIGNALS_PER_QUERY], grid, cells, first)
    return cells


def _rolled(opened: Cursor[Any], wanted: Range, numbers: list[int], grid: Grid, cells: Cells) -> list[Range]:
    """Add what the rollups hold; returns what is left to be read from the frames."""
    # Where the frames are gone there is nothing better than the rollups.
    end = min(wanted.end, max(_processed_until(opened, wanted), wanted.frames_from))
    first = -(-max(wanted.start, wanted.rolled_from or 0) // MINUTE) * MINUTE
    last = end // MINUTE * MINUTE
    if first >= last:
        return [wanted]
    rest = [replace(wanted, end=first), replace(wanted, start=last)]
    minutes = [replace(wanted, start=first, end=last)]
    if grid.width % HOUR == 0 and grid.origin % HOUR == 0:
        begin, stop = -(-first // HOUR) * HOUR, last // HOUR * HOUR
        if begin < stop:
            _from_hours(opened, replace(wanted, start=begin, end=stop), numbers, grid, cells)
            minutes = [replace(wanted, start=first, end=begin), replace(wanted, start=stop, end=last)]
    for part in minutes:
        if part.start < part.end:
            rest += _from_minutes(opened, part, numbers, grid, cells)
    return [part for part in rest if part.start < part.end]


def _processed_until(opened: Cursor[Any], wanted: Range) -> int:
    """The first time that a batch touches which the sink has not processed."""
    row = opened.execute(
        "SELECT min(first_time) FROM telemetry_batch WHERE vehicle_id = %s AND organization_id = %s"
        " AND version > coalesce("
        "(SELECT version FROM telemetry_sinkprogress WHERE sink = %s AND vehicle_id = %s), 0)",
        [wanted.vehicle_id, wanted.organization_id, SINK, wanted.vehicle_id],
    ).fetchone()
    assert row is not None
    return wanted.end if row[0] is None else int(row[0])


_ROLLUPS = (
    " WHERE r.vehicle_id = %(vehicle)s AND r.organization_id = %(organization)s"
    " AND r.hour >= %(start)s AND r.hour < %(end)s AND (%(source)s::int4 IS NULL OR r.source_id = %(source)s)"
)


def _parameters(wanted: Range, numbers: list[int]) -> dict[str, Any]:
    return {
        "vehicle": wanted.vehicle_id, "organization": wanted.organization_id, "source": wanted.source_id,
        "start": wire.timestamp(wanted.start // HOUR * HOUR), "end": wire.timestamp(wanted.end),
        "signals": wire.int4_array(np.array(numbers, np.int32)),
    }  # fmt: skip


def _from_hours(opened: Cursor[Any], wanted: Range, numbers: list[int], grid: Grid, cells: Cells) -> None:
    rows = opened.execute(
        "SELECT u.signal, array_agg(r.hour), array_agg(u.n), array_agg(u.low), array_agg(u.high), array_agg(u.total)"
        " FROM telemetry_rollup r, unnest(r.signals, r.counts, r.minima, r.maxima, r.sums)"
        f" AS u (signal, n, low, high, total){_ROLLUPS} AND u.signal = ANY(%(signals)s) GROUP BY 1",
        _parameters(wanted, numbers),
    )
    for signal, hours, *columns in rows:
        cells.add(numbers.index(signal), (hours - grid.origin) // grid.width, *columns)


def _from_minutes(opened: Cursor[Any], wanted: Range, numbers: list[int], grid: Grid, cells: Cells) -> list[Range]:
    """Add stored minutes; returns the hours whose minutes are not stored, to be read from the frames.

    Where the frames are gone too, such an hour counts where it begins.
    """
    sparse: list[Range] = []
    slices = ", ".join(
        f"minute_{name}[(p - 1) * r.minutes + 1 : p * r.minutes]" for name in ("counts", "minima", "maxima", "sums")
    )
    rows = opened.execute(
        f"SELECT r.hour, r.source_id, r.minutes, w.place, counts[p], minima[p], maxima[p], sums[p], {slices}"
        " FROM telemetry_rollup r CROSS JOIN unnest(%(signals)s) WITH ORDINALITY AS w (signal, place)"
        f" CROSS JOIN LATERAL (SELECT array_position(r.signals, w.signal) AS p OFFSET 0) AS q{_ROLLUPS}"
        " AND (p IS NOT NULL OR r.minutes = 0) ORDER BY r.source_id, r.hour",
        _parameters(wanted, numbers),
    )
    for hour, source, minutes, place, *found in rows:
        start, end = max(wanted.start, hour), min(wanted.end, hour + HOUR)
        if not minutes and hour >= wanted.frames_from:
            if sparse and sparse[-1].source_id == source and sparse[-1].end >= start:
                sparse[-1] = replace(sparse[-1], end=end)
            else:
                sparse.append(replace(wanted, start=start, end=end, source_id=source))
        elif not minutes:
            if found[0] and hour >= wanted.start:
                cells.add(place - 1, [(hour - grid.origin) // grid.width], *([value] for value in found[:4]))
        else:
            times = hour + MINUTE * np.arange(minutes)
            some = (times >= start) & (times < end) & (found[4] > 0)
            cells.add(place - 1, (times[some] - grid.origin) // grid.width, *(column[some] for column in found[4:]))
    return sparse


def _from_frames(opened: Cursor[Any], wanted: Range, numbers: list[int], grid: Grid, cells: Cells, first: int) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("count({v}), min({v}), max({v}), sum({v})").format(v=number(index)) for index in range(len(numbers))
    )
    bucket = sql.SQL("date_bin({}, f.time, {})").format(
        sql.SQL("{}::interval").format(sql.Literal(f"{grid.width} microseconds")), moment(grid.origin)
    )
    inner = sql.SQL("SELECT {} AS bucket, {}{} GROUP BY 1").format(bucket, columns, frames_of(wanted, numbers))
    for time, *found in opened.execute(inner):
        place = [(time - grid.origin) // grid.width]
        for index in range(len(numbers)):
            if found[4 * index]:
                cells.add(first + index, place, *([value] for value in found[4 * index : 4 * index + 4]))
