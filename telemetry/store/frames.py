"""What queries on frames are composed of. Every one has both time bounds as constants, for PostgreSQL to prune by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from psycopg import sql

_FROM = sql.SQL(" FROM telemetry_frame f {joins} WHERE f.vehicle_id = {vehicle} AND f.organization_id = {organization}")
_BOUNDS = sql.SQL(" AND f.time >= {start} AND f.time < {end}")


@dataclass(frozen=True)
class Range:
    """Which frames: one vehicle's, ``start <= time < end`` in microseconds since 1970, of one source or all.

    ``frames_from``: what is older has been deleted by the organization's retention, and only rollups are left.
    ``rolled_from``: from where on there are rollups; None for none.
    """

    organization_id: int
    vehicle_id: int
    start: int
    end: int
    source_id: int | None = None
    frames_from: int = 0
    rolled_from: int | None = 0


def number(index: int) -> sql.Composable:
    """A frame's value of the signal that stands at ``index`` in `frames_of`."""
    return sql.SQL('f."values"[{}]').format(sql.Identifier("p", f"i{index}"))


def moment(time: int) -> sql.Composable:
    """A time in microseconds since 1970."""
    return sql.SQL("{}::timestamptz").format(sql.Literal(str(np.datetime64(time, "us")) + "Z"))


def frames_of(wanted: Range, numbers: list[int] | None, joins: sql.Composable | None = None) -> sql.Composable:
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
    ) + _BOUNDS.format(start=moment(wanted.start), end=moment(wanted.end))
    if wanted.source_id is not None:
        query += sql.SQL(" AND f.source_id = ") + sql.Literal(wanted.source_id)
    return query
