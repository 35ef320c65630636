"""A few signals of many vehicles as one matrix: what rules look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from psycopg import sql

from telemetry.aggregates import Frames
from telemetry.readings import Ids, Times
from telemetry.store import wire
from telemetry.store.connections import cursor, planned
from telemetry.store.frames import moment

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

    Cost: one query, a third of a microsecond per frame. PostgreSQL puts all into one value: a row of its own per frame
    would cost twice that.
    """
    signals = np.array([*numbers, *texts], np.int32)
    if not len(spans.vehicles):
        return _frames(b"", signals)
    fields: list[sql.Composable] = [
        sql.SQL("int4send(f.vehicle_id) || int4send(f.source_id) || timestamptz_send(f.time)")
    ]
    fields += [sql.SQL("float8send(coalesce(f.values[p.{}], 'NaN'))").format(_place(i)) for i in range(len(numbers))]
    fields += [
        sql.SQL("float8send(coalesce({}, 'NaN'))").format(_TEXT_CODE.format(key=sql.Literal(str(signal))))
        for signal in texts
    ]
    places = [
        sql.SQL("array_position(signals, {}) AS {}").format(sql.Literal(signal), _place(i))
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
    query = sql.SQL(
        "SELECT string_agg({fields}, '') FROM unnest(%s, %s, %s) AS s (vehicle_id, start, \"end\")"
        " JOIN telemetry_frame f ON f.vehicle_id = s.vehicle_id AND f.time > s.start AND f.time <= s.\"end\"{sets}"
        " WHERE f.time > {first} AND f.time <= {last}{some_text}"
    ).format(
        fields=sql.SQL(" || ").join(fields), sets=sets, some_text=some_text,
        first=moment(int(spans.starts.min())), last=moment(int(spans.ends.max())),
    )  # fmt: skip
    given = [
        wire.int4_array(spans.vehicles), wire.timestamp_array(spans.starts), wire.timestamp_array(spans.ends),
    ]  # fmt: skip
    with cursor() as opened, planned(opened, "enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
        # Planned anew each time: which partitions are read follows from the times.
        row = opened.execute(query, given, prepare=False).fetchone()
    return _frames(row[0] or b"" if row else b"", signals)


def _place(number: int) -> sql.Identifier:
    return sql.Identifier(f"i{number}")


def _frames(data: bytes, signals: Ids) -> Frames:
    layout = np.dtype([("vehicle", ">i4"), ("source", ">i4"), ("time", ">i8"), ("values", ">f8", (len(signals),))])
    rows = np.frombuffer(data, layout)
    return Frames(
        rows["vehicle"].astype(np.int32), rows["source"].astype(np.int32),
        rows["time"].astype(np.int64) + wire.EPOCH_2000, signals, rows["values"].astype(np.float64),
    )  # fmt: skip
