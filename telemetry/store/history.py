"""Read frames back: raw, in buckets, and summed up. Every query has both time bounds as parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Cursor, sql

from telemetry.readings import Ids, Times, Values
from telemetry.store.connections import cursor

SIGNALS_PER_QUERY = 100
"""PostgreSQL returns at most 1,664 columns."""


@dataclass(frozen=True)
class Range:
    """Which frames: one vehicle's, ``start <= time < end`` in microseconds since 1970, of one source or all."""

    organization_id: int
    vehicle_id: int
    start: int
    end: int
    source_id: int | None = None


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
    """One signal over a range."""

    count: int
    minimum: float
    maximum: float
    mean: float
    first: float
    last: float


_FROM = sql.SQL(" FROM telemetry_frame f {joins} WHERE f.vehicle_id = {vehicle} AND f.organization_id = {organization}")
_BOUNDS = sql.SQL(" AND f.time >= {start} AND f.time < {end}")


def read_history(wanted: Range, numbers: list[int], texts: list[int], points: int) -> History:
    """Signals over a range: the frames themselves where there are fewer than ``points``, else buckets.

    Args:
        numbers: ids of numeric signals; texts: ids of text signals.
        points: buckets over the range.
    """
    with cursor() as opened:
        if _fewer_than(opened, wanted, points):
            return _raw(opened, wanted, numbers, texts)
        with _planned_for_many(opened):
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
    result: dict[int, Summary] = {}
    for first in range(0, len(numbers), SIGNALS_PER_QUERY):
        result |= _summary(wanted, numbers[first : first + SIGNALS_PER_QUERY])
    return result


def _summary(wanted: Range, numbers: list[int]) -> dict[int, Summary]:
    columns = sql.SQL(", ").join(
        sql.SQL("count({v}), min({v}), max({v}), sum({v})").format(v=_number(index)) for index in range(len(numbers))
    )
    result = {}
    with cursor() as opened, _planned_for_many(opened):
        row = opened.execute(sql.SQL("SELECT ") + columns + _source(wanted, numbers)).fetchone()
        assert row is not None
        for index, signal in enumerate(numbers):
            count, low, high, total = row[index * 4 : index * 4 + 4]
            if count:
                first, last = (_edge(opened, wanted, signal, order) for order in ("ASC", "DESC"))
                result[signal] = Summary(count, low, high, total / count, first, last)
    return result


def read_frames(wanted: Range, limit: int) -> list[tuple[int, int, Ids, Values, dict[str, str] | None]]:
    """Frames as stored, oldest first: time, source, signal ids, values, texts by signal id."""
    with cursor() as opened:
        query = sql.SQL(
            "SELECT f.time, f.source_id, s.signals, array_replace(f.values, NULL, 'NaN'), f.texts"
        ) + _source(wanted, None, sql.SQL("JOIN telemetry_signalset s ON s.id = f.signal_set_id"))
        return opened.execute(query + sql.SQL(" ORDER BY f.time, f.source_id LIMIT ") + sql.Literal(limit)).fetchall()


@contextmanager
def _planned_for_many(opened: Cursor[Any]) -> Iterator[None]:
    """A transaction in which the planner joins and groups by hashing.

    A partition that was filled a moment ago has no statistics yet; believing in one row, the planner would sort
    all frames on disk and look the signal set up for each of them: four times as slow.
    """
    with opened.connection.transaction():
        opened.execute("SELECT set_config('enable_sort', 'off', true), set_config('enable_nestloop', 'off', true)")
        yield


def _number(index: int) -> sql.Composable:
    return sql.SQL('f."values"[{}]').format(sql.Identifier("p", f"i{index}"))


def _text(signal: int) -> sql.Composable:
    return sql.SQL("f.texts ->> {}").format(sql.Literal(str(signal)))


def _source(wanted: Range, numbers: list[int] | None, joins: sql.Composable | None = None) -> sql.Composable:
    """The frames of the range, beside each the places that the signals have in its signal set."""
    if numbers:
        places = sql.SQL(", ").join(
            sql.SQL("array_position(signals, {}) AS {}").format(sql.Literal(signal), sql.Identifier(f"i{index}"))
            for index, signal in enumerate(numbers)
        )
        ids = sql.Literal(numbers)
        joins = sql.SQL(
            "JOIN (SELECT id, {places} FROM telemetry_signalset WHERE signals && {ids}::int4[] OFFSET 0) p"
            " ON p.id = f.signal_set_id"
        ).format(places=places, ids=ids)
    query = _FROM.format(
        joins=joins or sql.SQL(""),
        vehicle=sql.Literal(wanted.vehicle_id),
        organization=sql.Literal(wanted.organization_id),
    ) + _BOUNDS.format(start=_time(wanted.start), end=_time(wanted.end))
    if wanted.source_id is not None:
        query += sql.SQL(" AND f.source_id = ") + sql.Literal(wanted.source_id)
    return query


def _time(time: int) -> sql.Composable:
    return sql.SQL("{}::timestamptz").format(sql.Literal(str(np.datetime64(time, "us")) + "Z"))


def _fewer_than(opened: Cursor[Any], wanted: Range, points: int) -> bool:
    query = sql.SQL("SELECT count(*) FROM (SELECT 1{} LIMIT {}) AS few").format(
        _source(wanted, None), sql.Literal(points)
    )
    row = opened.execute(query).fetchone()
    assert row is not None
    return int(row[0]) < points


def _edge(opened: Cursor[Any], wanted: Range, signal: int, order: str) -> float:
    query = sql.SQL("SELECT {v}{source} AND {v} IS NOT NULL ORDER BY f.time {order}, f.source_id LIMIT 1").format(
        v=_number(0), source=_source(wanted, [signal]), order=sql.SQL(order)
    )
    row = opened.execute(query).fetchone()
    assert row is not None
    return float(row[0])


def _raw(opened: Cursor[Any], wanted: Range, numbers: list[int], texts: list[int]) -> History:
    by_time: dict[int, dict[int, Any]] = {}
    for signals, column in ((numbers, _number), (texts, None)):
        if not signals:
            continue
        columns = [_number(i) if column else _text(s) for i, s in enumerate(signals)]
        source = _source(wanted, numbers if column else None)
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
    width = -(-(wanted.end - wanted.start) // points)
    count = -(-(wanted.end - wanted.start) // width)
    history = History(wanted.start + width * np.arange(count, dtype=np.int64), width)
    bucket = sql.SQL("date_bin({}, f.time, {}) AS bucket").format(
        sql.SQL("{}::interval").format(sql.Literal(f"{width} microseconds")), _time(wanted.start)
    )
    for signal in numbers:
        inner = sql.SQL(
            "SELECT {bucket}, min({v}) AS low, max({v}) AS high, sum({v}) AS total, count({v}) AS n{source} GROUP BY 1"
        ).format(bucket=bucket, v=_number(0), source=_source(wanted, [signal]))
        row = opened.execute(
            sql.SQL(
                "SELECT coalesce(array_agg(bucket), '{{}}'), array_agg(low), array_agg(high), array_agg(total / n)"
                " FROM ({}) AS b WHERE n > 0"
            ).format(inner)
        ).fetchone()
        assert row is not None
        places = (row[0] - wanted.start) // width
        columns = [np.full(count, np.nan) for _ in range(3)]
        if len(places):
            for column, values in zip(columns, row[1:], strict=True):
                column[places] = values
        history.numbers[signal] = Series(*columns)
    for signal in texts:
        inner = sql.SQL(
            "SELECT DISTINCT ON (bucket) {bucket}, {t} AS value{source} AND f.texts ? {key}"
            " ORDER BY bucket, f.time DESC"
        ).format(bucket=bucket, t=_text(signal), key=sql.Literal(str(signal)), source=_source(wanted, None))
        column_of_texts: list[str | None] = [None] * count
        for time, value in opened.execute(inner):
            column_of_texts[(time - wanted.start) // width] = value
        history.texts[signal] = column_of_texts
    return history
