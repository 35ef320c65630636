"""Every signal's newest reading per vehicle: one row of arrays, written by the upsert that also locks the vehicle.

"Newest" is by device time, whatever order the batches arrive in; at equal times the lower source id wins, and of
one source the later write, so that every order of arrival agrees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection, Cursor

from telemetry.readings import Block, Ids, Times, Values
from telemetry.store import wire
from telemetry.store.connections import cursor

# The sub-select runs only one of its branches: the usual batch (the same signals, all newer) replaces the
# arrays as they are, any other is merged signal by signal. Sources break ties downwards; of one source the new row
# wins, which `fresh` orders.
_UPSERT_HEAD = """
INSERT INTO telemetry_latest AS l (vehicle_id, organization_id, version, first_time, frame_time, received_at,
    signals, sources, times, "values", texts) VALUES """
_UPSERT_ROW = (
    "(%s::int4, %s::int4, %s::int8, %s, %s, now(), %s::int4[], %s::int4[], %s::timestamptz[], %s::float8[], %s::text[])"
)
_UPSERT_TAIL = """
ON CONFLICT (vehicle_id) DO UPDATE SET
    version = l.version + excluded.version,
    prior_time = l.frame_time,
    first_time = least(l.first_time, excluded.first_time),
    frame_time = greatest(l.frame_time, excluded.frame_time),
    received_at = excluded.received_at,
    (signals, sources, times, "values", texts) = (
        SELECT excluded.signals, excluded.sources, excluded.times, excluded.values, excluded.texts
        WHERE cardinality(excluded.signals) > 0 AND l.signals = excluded.signals
            AND excluded.first_time > l.frame_time
        UNION ALL
        SELECT l.signals, l.sources, l.times, l.values, l.texts
        WHERE cardinality(excluded.signals) = 0
        UNION ALL
        SELECT array_agg(m.signal ORDER BY m.signal), array_agg(m.source ORDER BY m.signal),
            array_agg(m.time ORDER BY m.signal), array_agg(m.value ORDER BY m.signal),
            array_agg(m.text ORDER BY m.signal)
        FROM (
            SELECT DISTINCT ON (signal) signal, source, time, value, text
            FROM (
                SELECT *, 0 AS fresh FROM unnest(l.signals, l.sources, l.times, l.values, l.texts)
                    AS o (signal, source, time, value, text)
                UNION ALL
                SELECT *, 1 AS fresh
                FROM unnest(excluded.signals, excluded.sources, excluded.times, excluded.values, excluded.texts)
                    AS n (signal, source, time, value, text)
            ) AS both_rows
            ORDER BY signal, time DESC, source, fresh DESC
        ) AS m
        WHERE cardinality(excluded.signals) > 0
            AND NOT coalesce(l.signals = excluded.signals AND excluded.first_time > l.frame_time, false)
        HAVING count(*) > 0
    )
RETURNING vehicle_id, version, prior_time
"""


@dataclass
class LatestRow:
    """One vehicle's newest readings; times in microseconds since 1970, None where nothing was ever stored."""

    vehicle_id: int
    version: int
    last_time: int | None
    received_at: int
    signals: Ids
    sources: Ids
    times: Times
    values: Values
    texts: list[str | None]


def write_latest(connection: Connection[Any], by_vehicle: dict[int, list[Block]]) -> dict[int, tuple[int, int | None]]:
    """Lock the vehicles in order, merge the blocks' newest readings, and advance each version by its blocks.

    Returns:
        for each vehicle its version now, and the newest frame time that it had before (None for none).
    """
    parameters: list[Any] = []
    for vehicle_id, blocks in by_vehicle.items():
        signals, sources, times, values, texts = _newest(blocks)
        parameters += (
            vehicle_id, blocks[0].organization_id, len(blocks),
            wire.timestamp(min(int(block.times[0]) for block in blocks)),
            wire.timestamp(max(int(block.times[-1]) for block in blocks)),
            wire.int4_array(signals), wire.int4_array(sources), wire.timestamp_array(times),
            wire.float8_array(values), wire.text_array(texts),
        )  # fmt: skip
    query = _UPSERT_HEAD + ", ".join([_UPSERT_ROW] * len(by_vehicle)) + _UPSERT_TAIL
    rows = connection.execute(query, parameters, prepare=len(by_vehicle) <= 32, binary=True).fetchall()
    return {vehicle_id: (version, prior) for vehicle_id, version, prior in rows}


def _newest(blocks: list[Block]) -> tuple[Ids, Ids, Times, Values, list[str | None]]:
    """The newest reading of every signal in the blocks, signals ascending."""
    parts = [part for block in blocks for part in _newest_of(block)]
    if len(parts) == 1:
        signals, source, times, values, texts = parts[0]
        return signals, np.full(len(signals), source, np.int32), times, values, texts
    if not parts:
        empty = np.empty(0, np.int32)
        return empty, empty, np.empty(0, np.int64), np.empty(0), []
    signals = np.concatenate([part[0] for part in parts])
    sources = np.concatenate([np.full(len(part[0]), part[1], np.int32) for part in parts])
    times = np.concatenate([part[2] for part in parts])
    values = np.concatenate([part[3] for part in parts])
    texts = [text for part in parts for text in part[4]]
    order = np.lexsort((np.arange(len(signals)), -sources, times, signals))
    last = np.append(signals[order][1:] != signals[order][:-1], True)
    chosen = order[last]
    return signals[chosen], sources[chosen], times[chosen], values[chosen], [texts[i] for i in chosen]


def _newest_of(block: Block) -> Iterable[tuple[Ids, int, Times, Values, list[str | None]]]:
    count = block.live
    if not count:
        return
    values = block.values[:count]
    if values.shape[1]:
        given = ~np.isnan(values)
        if given[-1].all():
            yield (
                block.signals, block.source_id, np.full(len(block.signals), block.times[count - 1]),
                values[-1], [None] * len(block.signals),
            )  # fmt: skip
        else:
            last = count - 1 - np.argmax(given[::-1], axis=0)
            some = given.any(axis=0)
            signals, last = block.signals[some], last[some]
            if len(signals):
                columns = np.flatnonzero(some)
                yield signals, block.source_id, block.times[last], values[last, columns], [None] * len(signals)
    if block.texts is not None:
        for column, signal in enumerate(block.text_signals):
            rows = np.flatnonzero(block.texts[:count, column] != None)  # noqa: E711  (elementwise)
            if len(rows):
                row = rows[-1]
                one = np.array([signal], np.int32)
                yield one, block.source_id, block.times[row : row + 1], np.array([np.nan]), [block.texts[row, column]]


_COLUMNS = 'vehicle_id, version, frame_time, received_at, signals, sources, times, "values", texts'


def read_latest(organization_id: int, vehicle_ids: Iterable[int] | None = None) -> dict[int, LatestRow]:
    """The newest readings of an organization's vehicles, all of them or those named."""
    with cursor() as opened:
        return _read(opened, organization_id, vehicle_ids)


def newest_frames(organization_id: int, vehicle_ids: Iterable[int] | None = None) -> dict[int, int]:
    """The newest frame's time of an organization's vehicles, all of them or those named, that have any."""
    where, parameters = _of(organization_id, vehicle_ids)
    query = f"SELECT vehicle_id, frame_time FROM telemetry_latest {where} AND frame_time IS NOT NULL"
    with cursor() as opened:
        return dict(opened.execute(query, parameters).fetchall())


def _read(opened: Cursor[Any], organization_id: int, vehicle_ids: Iterable[int] | None) -> dict[int, LatestRow]:
    where, parameters = _of(organization_id, vehicle_ids)
    rows = opened.execute(f"SELECT {_COLUMNS} FROM telemetry_latest {where}", parameters)
    return {row[0]: LatestRow(*row) for row in rows}


def _of(organization_id: int, vehicle_ids: Iterable[int] | None) -> tuple[str, list[Any]]:
    """A condition that chooses an organization's vehicles, all of them or those named, and its parameters."""
    if vehicle_ids is None:
        return "WHERE organization_id = %s", [organization_id]
    named = wire.int4_array(np.fromiter(vehicle_ids, np.int32))
    return "WHERE organization_id = %s AND vehicle_id = ANY(%s)", [organization_id, named]
