"""Let old data go: whole partitions where nobody keeps them, else the frames of one vehicle after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg
import structlog
from django.db import connection
from psycopg import Connection, sql

from telemetry.aggregates import HOUR
from telemetry.store import wire
from telemetry.store.connections import cursor, open_connection
from telemetry.store.dictionaries import delete_unused
from telemetry.store.partitions import FRAMES, Partitioned, attach

SLICE = 6 * HOUR
"""Frames deleted in one statement; 216,000 at 10 Hz."""
VEHICLES_PER_STATEMENT = 500

log = structlog.get_logger(__name__)


class Partition(NamedTuple):
    """An existing partition: its range in microseconds since 1970, and whether a detach was interrupted."""

    name: str
    start: int
    end: int
    detaching: bool


def list_partitions(kind: Partitioned = FRAMES) -> list[Partition]:
    """The table's partitions, the oldest first."""
    with cursor() as opened:
        rows = opened.execute(
            "SELECT c.relname, (regexp_match(bound, $$FROM \\('([^']+)'$$))[1]::timestamptz,"
            " (regexp_match(bound, $$TO \\('([^']+)'$$))[1]::timestamptz, i.inhdetachpending"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,"
            " LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound"
            " WHERE i.inhparent = to_regclass(%s) ORDER BY 3",
            [kind.table],
        ).fetchall()
    return [Partition(*row) for row in rows]


def drop_partitions(kind: Partitioned, horizons: Mapping[int, int]) -> list[str]:
    """Drop the partitions that hold nothing but what is past its organization's horizon; returns their names.

    Neither writers nor readers wait: the partition is detached concurrently. What cannot be had within a second is
    left for the next time.

    Args:
        horizons: organization id -> the time before which it keeps nothing; the others keep everything.
    """
    dropped: list[str] = []
    with open_connection() as opened:
        opened.execute("SELECT set_config('statement_timeout', '60s', false), set_config('lock_timeout', '1s', false)")
        _finish(opened, kind)
        for partition in list_partitions(kind):
            expired = [organization for organization, horizon in horizons.items() if horizon >= partition.end]
            if not expired or not _holds_only(opened, partition, expired):
                continue
            try:
                _drop(opened, kind, partition, expired)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
                log.warning("partition.busy", partition=partition.name, error=str(error).strip()[:200])
            else:
                dropped.append(partition.name)
                log.info("partition.dropped", partition=partition.name)
    return dropped


def _holds_only(opened: Connection[Any], partition: Partition, organizations: list[int]) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE organization_id <> ALL(%s::int4[]))")
    row = opened.execute(query.format(sql.Identifier(partition.name)), [organizations]).fetchone()
    return row is not None and not row[0]


def _drop(opened: Connection[Any], kind: Partitioned, partition: Partition, organizations: list[int]) -> None:
    table, name = sql.Identifier(kind.table), sql.Identifier(partition.name)
    opened.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {} CONCURRENTLY").format(table, name))
    if _holds_only(opened, partition, organizations):
        opened.execute(sql.SQL("DROP TABLE {}").format(name))
    else:  # somebody who keeps it wrote meanwhile
        attach(opened, kind, partition.name)


def _finish(opened: Connection[Any], kind: Partitioned) -> None:
    """Attach again what an interruption left detached, or half so."""
    for partition in list_partitions(kind):
        if partition.detaching:
            table, name = sql.Identifier(kind.table), sql.Identifier(partition.name)
            opened.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {} FINALIZE").format(table, name))
    rows = opened.execute(
        "SELECT relname FROM pg_class WHERE relname ~ %s AND relkind = 'r' AND NOT relispartition",
        [f"^{kind.table}_[0-9]{{8}}$"],
    ).fetchall()
    for (name,) in rows:
        attach(opened, kind, name)
        log.warning("partition.attached_again", partition=name)


def delete_frames(organization_id: int, before: int, deadline: float) -> int:
    """Delete an organization's frames before a time, vehicle by vehicle; returns how many there were.

    Args:
        deadline: of `time.monotonic`; what is left then is left for the next time.
    """
    deleted = 0
    with cursor() as opened:
        vehicles = opened.execute(
            "SELECT vehicle_id, first_time FROM telemetry_latest"
            " WHERE organization_id = %s AND first_time < %s ORDER BY vehicle_id",
            [organization_id, wire.timestamp(before)],
        ).fetchall()
        for vehicle_id, first_time in vehicles:
            start = first_time
            while True:
                found = opened.execute(
                    "SELECT min(time) FROM telemetry_frame WHERE vehicle_id = %s AND organization_id = %s"
                    " AND time >= %s AND time < %s",
                    [vehicle_id, organization_id, wire.timestamp(start), wire.timestamp(before)],
                ).fetchone()
                if found is None or found[0] is None or time.monotonic() > deadline:
                    break
                (start,) = found
                gone = opened.execute(
                    "DELETE FROM telemetry_frame WHERE vehicle_id = %s AND organization_id = %s"
                    " AND time >= %s AND time < %s",
                    [vehicle_id, organization_id, wire.timestamp(start), wire.timestamp(min(before, start + SLICE))],
                )
                deleted += gone.rowcount
    return deleted


def delete_rollups(organization_id: int, before: int) -> int:
    """Delete an organization's rollups before a time; returns how many hours there were."""
    with cursor() as opened:
        found = opened.execute(
            "DELETE FROM telemetry_rollup WHERE hour < %s AND organization_id = %s AND vehicle_id IN"
            " (SELECT vehicle_id FROM telemetry_latest WHERE organization_id = %s)",
            [wire.timestamp(before), organization_id, organization_id],
        )
        return found.rowcount


def trim_batches(sinks: Iterable[str], before: int) -> int:
    """Delete batch rows older than ``before`` that every sink has processed; returns how many."""
    deleted, last, names = 0, 0, list(sinks)
    with connection.cursor() as plain:
        while True:
            plain.execute(
                "SELECT vehicle_id FROM telemetry_latest WHERE vehicle_id > %s ORDER BY 1 LIMIT %s",
                [last, VEHICLES_PER_STATEMENT],
            )
            vehicles = [row[0] for row in plain.fetchall()]
            if not vehicles:
                return deleted
            plain.execute(
                "DELETE FROM telemetry_batch b USING (SELECT v, min(coalesce(p.version, 0)) AS version"
                " FROM unnest(%s::int4[]) AS v CROSS JOIN unnest(%s::text[]) AS s"
                " LEFT JOIN telemetry_sinkprogress p ON p.vehicle_id = v AND p.sink = s GROUP BY v) AS done"
                " WHERE b.vehicle_id = done.v AND b.version <= done.version"
                " AND b.created_at < to_timestamp(%s::float8)",
                [vehicles, names, before / 1e6],
            )
            deleted += plain.rowcount
            last = vehicles[-1]


def forget_progress(organization_id: int, sink: str) -> None:
    """Let a sink begin again with all of an organization's batches that are still known."""
    with connection.cursor() as plain:
        plain.execute(
            "UPDATE telemetry_sinkprogress p SET version = 0 FROM telemetry_latest l"
            " WHERE l.vehicle_id = p.vehicle_id AND l.organization_id = %s AND p.sink = %s",
            [organization_id, sink],
        )


def delete_unused_signal_sets() -> int:
    """Delete the signal sets that no frame can have any more; returns how many."""
    partitions = list_partitions(FRAMES)
    with open_connection() as opened:
        return delete_unused(opened, partitions[0].start if partitions else None)
