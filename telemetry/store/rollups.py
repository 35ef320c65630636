"""Rollups: written by their sink, one row per vehicle, source and hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from telemetry.aggregates import HOUR, Aggregate, HourOfMinutes, Key
from telemetry.readings import Ids
from telemetry.store import wire
from telemetry.store.connections import cursor
from telemetry.store.partitions import ROLLUPS, Partitions

MINUTES_FROM = 600
"""From so many readings of one signal in an hour on, its minutes are kept: fewer are read from the frames as fast."""
_COLUMNS = (
    "signals, counts, minima, maxima, sums, lasts,"
    " minute_counts, minute_minima, minute_maxima, minute_sums, minute_lasts"
)


class Change(NamedTuple):
    """A batch as a sink sees it; times in microseconds since 1970, ``hours`` since then where it spans over two."""

    vehicle_id: int
    version: int
    source_id: int
    first_time: int
    last_time: int
    readings: int
    hours: Ids
    signals: Ids
    """What the batch holds; empty where that was not noted yet."""


def read_changes(done: dict[int, tuple[int, int]], limit: int) -> list[Change]:
    """Batches of some vehicles after one version and up to another, by vehicle and version.

    Args:
        done: vehicle id -> the version that was processed, and the last one wanted.
        limit: of batches per vehicle.
    """
    vehicles = np.array(list(done), np.int32)
    with cursor() as opened:
        rows = opened.execute(
            "SELECT b.* FROM unnest(%s::int4[], %s::int8[], %s::int8[]) AS s (vehicle_id, done, version),"
            " LATERAL (SELECT vehicle_id, version, source_id, first_time, last_time, readings, hours, signals"
            " FROM telemetry_batch b WHERE b.vehicle_id = s.vehicle_id AND b.version > s.done"
            " AND b.version <= s.version"
            " ORDER BY b.version LIMIT %s) AS b ORDER BY b.vehicle_id, b.version",
            [
                wire.int4_array(vehicles), wire.int8_array([a for a, _ in done.values()]),
                wire.int8_array([b for _, b in done.values()]), limit,
            ],
        ).fetchall()  # fmt: skip
    return [Change(*row) for row in rows]


@dataclass
class StoredHour:
    """What is stored of an hour: with its minutes, or without them."""

    minutes: HourOfMinutes | None


def read_hours(keys: Iterable[Key]) -> dict[Key, StoredHour]:
    """The stored rollups of some hours."""
    listed = np.array(list(keys), np.int64).reshape(-1, 3)
    with cursor() as opened:
        rows = opened.execute(
            f"SELECT r.vehicle_id, r.source_id, r.hour, r.minutes, {_COLUMNS}"
            " FROM unnest(%s::int4[], %s::int4[], %s::timestamptz[]) AS k (vehicle_id, source_id, hour)"
            " JOIN telemetry_rollup r ON r.vehicle_id = k.vehicle_id AND r.source_id = k.source_id AND r.hour = k.hour"
            " WHERE r.hour BETWEEN %s AND %s",
            [
                wire.int4_array(listed[:, 0].astype(np.int32)), wire.int4_array(listed[:, 1].astype(np.int32)),
                wire.timestamp_array(listed[:, 2] * HOUR),
                wire.timestamp(int(listed[:, 2].min() * HOUR)), wire.timestamp(int(listed[:, 2].max() * HOUR)),
            ],
        ).fetchall()  # fmt: skip
    found = {}
    for vehicle, source, hour, minutes, signals, *columns in rows:
        stored = None
        if minutes:
            cells = Aggregate.empty(len(signals), 60)
            cells.put(np.s_[:, :minutes], Aggregate(*(c.reshape(len(signals), minutes) for c in columns[5:])))
            stored = HourOfMinutes(signals, cells, np.zeros((len(signals), 60), np.int64))
        found[vehicle, source, hour // HOUR] = StoredHour(stored)
    return found


def make_rollup_partitions(keys: Iterable[Key]) -> None:
    """Make the partitions of some hours where they are missing; outside a transaction.

    Asked anew each time: a partition that was there a while ago may have been dropped since.
    """
    partitions = Partitions(ROLLUPS)
    with cursor() as opened:
        partitions.ensure(opened.connection, partitions.missing_of(hour * HOUR for _, _, hour in keys))


def write_hours(organizations: dict[int, int], hours: dict[Key, HourOfMinutes]) -> None:
    """Store hours, whose partitions exist, in place of what was stored of them.

    Args:
        organizations: vehicle id -> organization id.
    """
    if not hours:
        return
    with cursor() as opened:
        # In the order of the primary key, so that two workers cannot wait for one another.
        ordered = sorted(hours.items(), key=lambda item: (item[0][0], item[0][2]))
        rows = [_row(organizations[key[0]], *key, content) for key, content in ordered]
        opened.executemany(_UPSERT, [row for row in rows if row])


_NAMES = ["organization_id", "vehicle_id", "hour", "source_id", "minutes", *_COLUMNS.replace(" ", "").split(",")]
_UPSERT = (
    f"INSERT INTO telemetry_rollup ({', '.join(_NAMES)}) VALUES ({', '.join(['%s'] * len(_NAMES))})"
    " ON CONFLICT (vehicle_id, hour, source_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[4:])
)


def _row(organization: int, vehicle: int, source: int, hour: int, content: HourOfMinutes) -> list[Any] | None:
    """The columns; None where the hour holds no number."""
    total = content.total()
    some = np.flatnonzero(total.counts)
    if not len(some):
        return None
    minutes = 0
    if total.counts.max(initial=0) >= MINUTES_FROM:
        minutes = int(np.flatnonzero(content.cells.counts.any(axis=0))[-1]) + 1
    row: list[Any] = [organization, vehicle, wire.timestamp(hour * HOUR), source, minutes]
    row.append(wire.int4_array(content.signals[some]))
    for cells in (total.slice(some), content.cells.slice(np.s_[some, :minutes])):
        row.append(wire.int4_array(cells.counts.ravel()))
        row += [wire.float8_array(c.ravel()) for c in (cells.minima, cells.maxima, cells.sums, cells.lasts)]
    return row
