"""A few signals of many vehicles as one matrix, through COPY in binary form: what rules look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql

from telemetry.aggregates import Frames
from telemetry.readings import Ids, Times
from telemetry.store import wire
from telemetry.store.connections import cursor, planned
from telemetry.store.frames import moment
from telemetry.store.rows import COPY_HEADER

_TEXT_CODE = sql.SQL("('x' || substr(md5(f.texts ->> {key}), 1, 13))::bit(52)::int8::float8")
"""As `alerts.rules.texts.code_of`."""


@dataclass(frozen=True)
class VehicleSpans:
    """What to read: ``start < time <= end`` (microseconds since 1970) of each vehicle, of all its sources."""

    vehicles: Ids
    starts: Times
    ends: Times


def scan_signals(spans: VehicleSpans, numbers: list[int], texts: list[int], every: bool) -> Frames:
    """The frames of all spans with some signals' values; a text is the number that its MD5 begins with.

    Args:
        every: also frames that hold none of them.

    Cost: one query, about a microsecond per frame.
    """
    signals = np.array([*numbers, *texts], np.int32)
    if not len(spans.vehicles):
        empty = np.empty(0, np.int32)
        return Frames(empty, empty, np.empty(0, np.int64), signals, np.empty((0, len(signals))))
    columns = [sql.SQL("coalesce(f.values[p.{}], 'NaN')").format(sql.Identifier(f"i{i}")) for i in range(len(numbers))]
    columns += [
        sql.SQL("coalesce({}, 'NaN')").format(_TEXT_CODE.format(key=sql.Literal(str(signal)))) for signal in texts
    ]
    places = [
        sql.SQL("array_position(signals, {}) AS {}").format(sql.Literal(signal), sql.Identifier(f"i{i}"))
        for i, signal in enumerate(numbers)
    ]
    wanted = sql.SQL("WHERE signals && {}::int4[]").format(sql.Literal(numbers)) if not every else sql.SQL("")
    sets = sql.SQL(" {} JOIN (SELECT {} FROM telemetry_signalset {} OFFSET 0) p ON p.id = f.signal_set_id").format(
        sql.SQL("LEFT" if texts else ""), sql.SQL(", ").join([sql.SQL("id"), *places]), wanted
    )
    some_text: sql.Composable = sql.SQL("")
    if texts and not every:
        keys = sql.Literal([str(signal) for signal in texts])
        some_text = sql.SQL(" AND (p.id IS NOT NULL OR f.texts ?| {})").format(keys)
    lists = [
        sql.Literal(f"{{{','.join(values)}}}")
        for values in (map(str, spans.vehicles.tolist()), _written(spans.starts), _written(spans.ends))
    ]
    query = sql.SQL(
        "COPY (SELECT {columns} FROM unnest({vehicles}::int4[], {starts}::timestamptz[], {ends}::timestamptz[])"
        ' AS s (vehicle_id, start, "end") JOIN telemetry_frame f ON f.vehicle_id = s.vehicle_id'
        ' AND f.time > s.start AND f.time <= s."end"{sets} WHERE f.time > {first} AND f.time <= {last}{some_text})'
        " TO STDOUT (FORMAT BINARY)"
    ).format(
        columns=sql.SQL(", ").join([sql.SQL("f.vehicle_id, f.source_id, f.time"), *columns]),
        vehicles=lists[0], starts=lists[1], ends=lists[2], sets=sets, some_text=some_text,
        first=moment(int(spans.starts.min())), last=moment(int(spans.ends.max())),
    )  # fmt: skip
    with (
        cursor() as opened,
        planned(opened, "enable_hashjoin", "enable_mergejoin", "enable_seqscan"),
        opened.copy(query) as copy,
    ):
        data = b"".join(bytes(part) for part in copy)
    return _frames(data, signals)


def _frames(data: bytes, signals: Ids) -> Frames:
    fields: list[tuple[Any, ...]] = [("fields", ">i2")]
    for name, kind in (("vehicle", ">i4"), ("source", ">i4"), ("time", ">i8")):
        fields += [(f"{name}_length", ">i4"), (name, kind)]
    fields.append(("values", [("length", ">i4"), ("value", ">f8")], (len(signals),)))
    layout = np.dtype(fields)
    rows = np.frombuffer(data, layout, (len(data) - len(COPY_HEADER) - 2) // layout.itemsize, len(COPY_HEADER))
    return Frames(
        rows["vehicle"].astype(np.int32), rows["source"].astype(np.int32),
        rows["time"].astype(np.int64) + wire.EPOCH_2000, signals,
        rows["values"]["value"].astype(np.float64).reshape(len(rows), len(signals)),
    )  # fmt: skip


def _written(times: Times) -> list[str]:
    """COPY takes no parameters, so they are written into it."""
    return [f'"{instant}Z"' for instant in np.datetime_as_string(times.astype("datetime64[us]"))]
