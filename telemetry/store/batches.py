"""Read the outbox: which batches a vehicle got after a version."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import connection

from telemetry.store.connections import cursor


class BatchRow(NamedTuple):
    """One batch; times in microseconds since 1970."""

    version: int
    source_id: int
    first_time: int
    last_time: int
    frames: int


def read_batches(organization_id: int, vehicle_id: int, after: int, limit: int) -> list[BatchRow]:
    """A vehicle's batches after a version, in order."""
    with cursor() as opened:
        rows = opened.execute(
            "SELECT version, source_id, first_time, last_time, frames FROM telemetry_batch"
            " WHERE vehicle_id = %s AND organization_id = %s AND version > %s ORDER BY version LIMIT %s",
            [vehicle_id, organization_id, after, limit],
        ).fetchall()
    return [BatchRow(*row) for row in rows]


def clocks_ahead(organization_id: int, since: datetime) -> list[tuple[int, datetime]]:
    """Vehicles with a batch from ahead of the clock among their newest few since then, and when that came first."""
    with connection.cursor() as opened:
        opened.execute(
            "SELECT l.vehicle_id, min(b.created_at) FROM telemetry_latest l, LATERAL (SELECT created_at, ahead"
            " FROM telemetry_batch WHERE vehicle_id = l.vehicle_id ORDER BY version DESC LIMIT 20) b"
            " WHERE l.organization_id = %s AND b.ahead > 0 AND b.created_at >= %s GROUP BY l.vehicle_id",
            [organization_id, since],
        )
        return list(opened.fetchall())
