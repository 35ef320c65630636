"""How the store and its sinks are doing, in figures for metrics and the staff's page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection


@dataclass(frozen=True)
class SinkHealth:
    """One sink: vehicles that wait for it, the age of the oldest batch that waits, and its dead list's length."""

    name: str
    waiting: int
    oldest_s: float
    dead: int


def sink_health(names: list[str]) -> list[SinkHealth]:
    """The state of each sink."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.name, count(*) FILTER (WHERE l.version > coalesce(p.version, 0) AND p.dead_at IS NULL),"
            " coalesce(extract(epoch FROM now() - min(b.created_at) FILTER (WHERE p.dead_at IS NULL)), 0)::float8,"
            " count(p.dead_at)"
            " FROM unnest(%s::text[]) AS s (name) CROSS JOIN telemetry_latest l"
            " LEFT JOIN telemetry_sinkprogress p ON p.sink = s.name AND p.vehicle_id = l.vehicle_id"
            " LEFT JOIN LATERAL (SELECT created_at FROM telemetry_batch b WHERE b.vehicle_id = l.vehicle_id"
            "  AND b.version > coalesce(p.version, 0) ORDER BY b.version LIMIT 1) AS b"
            "  ON l.version > coalesce(p.version, 0) GROUP BY 1",
            [names],
        )
        found = {row[0]: SinkHealth(*row) for row in cursor.fetchall()}
    return [found.get(name, SinkHealth(name, 0, 0.0, 0)) for name in names]


def dead_list(limit: int = 100) -> list[tuple[str, int, datetime, int, str]]:
    """What sinks gave up: sink, vehicle id, since when, attempts, error."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sink, vehicle_id, dead_at, attempts, error FROM telemetry_sinkprogress"
            " WHERE dead_at IS NOT NULL ORDER BY dead_at DESC LIMIT %s",
            [limit],
        )
        return list(cursor.fetchall())


def sizes() -> dict[str, Any]:
    """Partitions, and bytes of frames, rollups and all there is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE parent = 'telemetry_frame'),"
            " coalesce(sum(size) FILTER (WHERE parent = 'telemetry_frame'), 0),"
            " coalesce(sum(size) FILTER (WHERE parent = 'telemetry_rollup'), 0),"
            " pg_database_size(current_database())"
            " FROM (SELECT inhparent::regclass::text AS parent, pg_total_relation_size(inhrelid) AS size"
            "  FROM pg_inherits) AS p"
        )
        partitions, frames, rollups, database = cursor.fetchone()
    return {"partitions": partitions, "frames": int(frames), "rollups": int(rollups), "database": int(database)}
