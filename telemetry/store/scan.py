"""Frames of many vehicles as arrays, through COPY in binary form: what rollups are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from telemetry.aggregates import Frames
from telemetry.readings import Ids, Times
from telemetry.store import wire
from telemetry.store.connections import cursor, planned
from telemetry.store.dictionaries import SIGNAL_SETS
from telemetry.store.rows import COPY_HEADER

_PREFIX = [
    ("fields", ">i2"), ("vehicle_length", ">i4"), ("vehicle", ">i4"), ("source_length", ">i4"), ("source", ">i4"),
    ("time_length", ">i4"), ("time", ">i8"), ("set_length", ">i4"), ("set", ">i4"), ("length", ">i4"),
]  # fmt: skip
_PREFIX_TYPE = np.dtype(_PREFIX)
_TRAILER = b"\xff\xff"


@dataclass(frozen=True)
class Spans:
    """What to read: ``start <= time < end`` (microseconds since 1970) of each vehicle and source."""

    vehicles: Ids
    sources: Ids
    starts: Times
    ends: Times


def scan_frames(spans: Spans) -> Iterator[Frames]:
    """The frames of all spans in runs of equal signals; NaN for missing values.

    One query for any number of spans; about a microsecond per frame of 16 signals.
    """
    if not len(spans.vehicles):
        return
    # array_replace makes the rows of one signal set equally wide, and the order puts them together.
    query = (
        "COPY (SELECT f.vehicle_id, f.source_id, f.time, f.signal_set_id, array_replace(f.values, NULL, 'NaN')"
        " FROM unnest(%s::int4[], %s::int4[], %s::timestamptz[], %s::timestamptz[])"
        ' AS s (vehicle_id, source_id, start, "end") JOIN telemetry_frame f ON f.vehicle_id = s.vehicle_id'
        ' AND f.source_id = s.source_id AND f.time >= s.start AND f.time < s."end"'
        " WHERE f.time >= %s AND f.time < %s ORDER BY f.signal_set_id) TO STDOUT (FORMAT BINARY)"
    )
    starts, ends = _written(spans.starts), _written(spans.ends)
    lists = [f"{{{','.join(values)}}}" for values in (map(str, spans.vehicles), map(str, spans.sources), starts, ends)]
    # Span by span along the index, whatever the planner believes of the table's size.
    with cursor() as opened, planned(opened, "enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
        opened.execute("SELECT set_config('work_mem', '64MB', true)")
        with opened.copy(query, [*lists, min(starts), max(ends)]) as copy:
            data = b"".join(bytes(part) for part in copy)
        yield from _runs(opened, data)


def _written(times: Times) -> list[str]:
    """COPY takes no parameters, so they are written into it."""
    return [f"{moment}Z" for moment in np.datetime_as_string(times.astype("datetime64[us]"))]


def _runs(opened: Any, data: bytes) -> Iterator[Frames]:
    place, end = len(COPY_HEADER), len(data)
    while place < end and data[place : place + 2] != _TRAILER:
        head = np.frombuffer(data, _PREFIX_TYPE, 1, place)[0]
        width = _PREFIX_TYPE.itemsize + int(head["length"])
        rows = (end - place) // width
        step = np.ndarray(rows, ">i4", data, place + _PREFIX_TYPE.itemsize - 4, (width,))
        sets = np.ndarray(rows, ">i4", data, place + _PREFIX_TYPE.itemsize - 8, (width,))
        same = (step == head["length"]) & (sets == head["set"])
        # Past the end of a run the stride meets other bytes, which may agree by chance: only the first break counts.
        count = rows if same.all() else int(np.argmin(same))
        yield _frames(opened, data, place, count, width)
        place += count * width


def _frames(opened: Any, data: bytes, place: int, count: int, width: int) -> Frames:
    def column(offset: int, kind: str) -> Any:
        return np.ndarray(count, kind, data, place + offset, (width,)).astype(kind[1:])

    set_id = int(column(34, ">i4")[0])
    signals = SIGNAL_SETS.signals_of(opened, [set_id])[set_id]
    values = np.ndarray(
        (count, len(signals)), ">f8", data, place + _PREFIX_TYPE.itemsize + 24, (width, 12)
    ).astype(np.float64) if len(signals) else np.empty((count, 0))  # fmt: skip
    return Frames(column(6, ">i4"), column(14, ">i4"), column(22, ">i8") + wire.EPOCH_2000, signals, values)
