"""Read frames back: raw, in buckets, and summed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Cursor, sql

from telemetry.aggregates import HOUR
from telemetry.readings import Ids, Times, Values
from telemetry.store.buckets import Grid, grid_of, read_cells
from telemetry.store.connections import cursor, planned
from telemetry.store.frames import Range, frames_of, moment, number


@dataclass
class Series:
    """One signal over the times of its `History`; NaN or None where nothing was read."""

    minimum: Values
    maximum: Values
    average: Values


@dataclass
class History:
    """``times`` are bucket starts, or the frames' own where ``width`` is None; texts are the last of each bucket."""

    times: Times
    width: int | None
    numbers: dict[int, Series] = field(default_factory=dict)
    texts: dict[int, list[str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """One signal over a range; first and last are None where only rollups are left."""

    count: int
    minimum: float
    maximum: float
    mean: float
    first: float | None
    last: float | None


def read_history(wanted: Range, numbers: list[int], texts: list[int], points: int) -> History:
    """Signals over a range: the frames themselves where there are fewer than ``points``, else buckets.

    Args:
        numbers: ids of numeric signals; texts: ids of text signals.
        points: buckets over the range.
    """
    with cursor() as opened:
        if wanted.start >= wanted.frames_from and _fewer_than(opened, wanted, points):
            return _raw(opened, wanted, numbers, texts)
        return _buckets(opened, wanted, numbers, texts, points)


def read_bounds(organization_id: int, vehicle_id: int) -> tuple[int, int] | None:
    """First and last time of a vehicle's frames, None for no frames."""
    with cursor() as opened:
        row = opened.execute(
            "SELECT first_time, frame_time FROM telemetry_latest WHERE vehicle_id = %s AND organization_id = %s",
            [vehicle_id, organization_id],
        ).fetchone()
    return row if row and row[0] is not None else None


def read_summary(wanted: Range, numbers: list[int]) -> dict[int, Summary]:
    """Count, extremes, mean, first and last of numeric signals; signals without a reading are left out."""
    origin = wanted.start // HOUR * HOUR
    grid = Grid(origin, -(-(wanted.end - origin) // HOUR) * HOUR, 1)
    result = {}
    with cursor() as opened:
        cells = read_cells(opened, wanted, numbers, grid)
        for index, signal in enumerate(numbers):
            count = int(cells.counts[index, 0])
            if count:
                first, last = (_edge(opened, wanted, signal, order) for order in ("ASC", "DESC"))
                low, high, total = (float(column[index, 0]) for column in (cells.minima, cells.maxima, cells.sums))
                result[signal] = Summary(count, low, high, total / count, first, last)
    return result


def read_frames(wanted: Range, limit: int) -> list[tuple[int, int, Ids, Values, dict[str, str] | None]]:
    """Frames as stored, oldest first: time, source, signal ids, values, texts by signal id."""
    with cursor() as opened:
        query = sql.SQL(
            "SELECT f.time, f.source_id, s.signals, array_replace(f.values, NULL, 'NaN'), f.texts"
        ) + frames_of(wanted, None, sql.SQL("JOIN telemetry_signalset s ON s.id = f.signal_set_id"))
        return opened.execute(query + sql.SQL(" ORDER BY f.time, f.source_id LIMIT ") + sql.Literal(limit)).fetchall()


def _text(signal: int) -> sql.Composable:
    return sql.SQL("f.texts ->> {}").format(sql.Literal(str(signal)))


def _fewer_than(opened: Cursor[Any], wanted: Range, points: int) -> bool:
    query = sql.SQL("SELECT count(*) FROM (SELECT 1{} ORDER BY f.time LIMIT {}) AS few").format(
        frames_of(wanted, None), sql.Literal(points)
    )
    # Along the index, to stop early: a bitmap or a sort would collect all frames of the range first.
    with planned(opened, "enable_bitmapscan", "enable_sort"):
        row = opened.execute(query).fetchone()
    assert row is not None
    return int(row[0]) < points


def _edge(opened: Cursor[Any], wanted: Range, signal: int, order: str) -> float | None:
    query = sql.SQL("SELECT {v}{source} AND {v} IS NOT NULL ORDER BY f.time {order}, f.source_id LIMIT 1").format(
        v=number(0), source=frames_of(wanted, [signal]), order=sql.SQL(order)
    )
    row = opened.execute(query).fetchone()
    return None if row is None else float(row[0])


def _raw(opened: Cursor[Any], wanted: Range, numbers: list[int], texts: list[int]) -> History:
    by_time: dict[int, dict[int, Any]] = {}
    for signals, column in ((numbers, number), (texts, None)):
        if not signals:
            continue
        columns = [number(i) if column else _text(s) for i, s in enumerate(signals)]
        source = frames_of(wanted, numbers if column else None)
        query = sql.SQL("SELECT f.time, {}{} ORDER BY f.time, f.source_id").format(sql.SQL(", ").join(columns), source)
        for time, *values in opened.execute(query):
            row = by_time.setdefault(time, {})
            for signal, value in zip(signals, values, strict=True):
                if value is not None:
                    row.setdefault(signal, value)
    times = np.array([time for time, row in sorted(by_time.items()) if row], np.int64)
    rows = [by_time[int(time)] for time in times]
    history = History(times, None, texts={s: [row.get(s) for row in rows] for s in texts})
    for signal in numbers:
        values = np.array([row.get(signal, np.nan) for row in rows], float)
        history.numbers[signal] = Series(values, values, values)
    return history


def _buckets(opened: Cursor[Any], wanted: Range, numbers: list[int], texts: list[int], points: int) -> History:
    grid = grid_of(wanted, points)
    history = History(grid.origin + grid.width * np.arange(grid.buckets, dtype=np.int64), grid.width)
    cells = read_cells(opened, wanted, numbers, grid)
    for index, signal in enumerate(numbers):
        counts = cells.counts[index]
        average = np.divide(cells.sums[index], counts, out=np.full(grid.buckets, np.nan), where=counts > 0)
        history.numbers[signal] = Series(cells.minima[index], cells.maxima[index], average)
    for signal in texts:
        inner = sql.SQL(
            "SELECT DISTINCT ON (bucket) date_bin({width}, f.time, {origin}) AS bucket, {t} AS value{source}"
            " AND f.texts ? {key} ORDER BY bucket, f.time DESC"
        ).format(
            width=sql.SQL("{}::interval").format(sql.Literal(f"{grid.width} microseconds")),
            origin=moment(grid.origin), t=_text(signal), key=sql.Literal(str(signal)), source=frames_of(wanted, None),
        )  # fmt: skip
        column_of_texts: list[str | None] = [None] * grid.buckets
        for time, value in opened.execute(inner):
            column_of_texts[(time - grid.origin) // grid.width] = value
        history.texts[signal] = column_of_texts
    return history
