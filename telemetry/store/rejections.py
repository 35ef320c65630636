"""Rejected readings: counted per day, device, reason and signal; the first of each day are kept with their value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection as django_connection
from psycopg import Connection

from telemetry.readings import Rejection

KEPT_A_DAY = 500
"""Of one device, reason and signal; the others are only counted."""
REJECTED_DAYS = 30
MOST_ROWS = 50_000
"""Kept of one organization; the oldest go first."""
SLICE = 10_000
Reason = tuple[str, str]
"""Code and signal (empty where a whole frame or block was rejected)."""


def write_rejections(
    connection: Connection[Any],
    organization_id: int,
    device_id: int,
    batch: str,
    counts: Mapping[Reason, int],
    kept: Sequence[Rejection],
) -> None:
    """Count rejected readings and keep the first ones, inside the caller's transaction: two round trips.

    Args:
        device_id: 0 for what the portal fetched itself.
        counts: how many were rejected, by reason.
        kept: the first of them with their place and value.
    """
    codes, signals = zip(*counts, strict=True) if counts else ((), ())
    rows = connection.execute(
        "INSERT INTO telemetry_rejectioncount AS c (organization_id, device_id, day, code, signal, count, last_at)"
        " SELECT %s, %s, (now() AT TIME ZONE 'UTC')::date, code, signal, count, now()"
        " FROM unnest(%s::text[], %s::text[], %s::int8[]) AS u (code, signal, count) ORDER BY code, signal"
        " ON CONFLICT (organization_id, device_id, day, code, signal)"
        " DO UPDATE SET count = c.count + excluded.count, last_at = now()"
        " RETURNING code, signal, count",
        [organization_id, device_id, list(codes), list(signals), list(counts.values())],
    ).fetchall()
    # How many of each are still kept today.
    room = {(code, signal): KEPT_A_DAY - (count - counts[code, signal]) for code, signal, count in rows}
    used: Counter[Reason] = Counter()
    chosen = []
    for entry in kept:
        reason = reason_of(entry)
        used[reason] += 1
        if used[reason] <= room.get(reason, 0):
            chosen.append(entry)
    if chosen:
        _copy(connection, organization_id, device_id, batch, chosen)


def reason_of(entry: Rejection) -> Reason:
    """What an entry is counted under."""
    return entry.code, (entry.signal or "")[:100]


def _copy(connection: Connection[Any], organization_id: int, device_id: int, batch: str, kept: list[Rejection]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY telemetry_rejectedreading (organization_id, device_id, batch, received_at, vehicle, source, signal,"
            ' "time", value, code, detail) FROM STDIN'
        ) as copy,
    ):
        now = np.datetime64("now", "us").astype(str) + "Z"
        for entry in kept:
            time = None
            if entry.time is not None and 0 < entry.time < 32_503_680_000:
                time = str(np.datetime64(int(entry.time * 1e6), "us")) + "Z"
            copy.write_row(
                (
                    organization_id, device_id, batch, now, entry.vehicle[:100], entry.source[:64],
                    (entry.signal or "")[:100], time, entry.value[:100], entry.code, entry.detail[:300],
                )
            )  # fmt: skip


def trim_rejected(before: datetime) -> int:
    """Delete kept readings and counts from before a time, and an organization's oldest beyond `MOST_ROWS`.

    In slices, so that no statement holds many locks; returns how many kept readings went.
    """
    deleted: int = 0
    with django_connection.cursor() as cursor:
        cursor.execute("DELETE FROM telemetry_rejectioncount WHERE day < %s", [before.date()])
        while True:
            cursor.execute(
                "DELETE FROM telemetry_rejectedreading WHERE id IN"
                " (SELECT id FROM telemetry_rejectedreading WHERE received_at < %s ORDER BY received_at LIMIT %s)",
                [before, SLICE],
            )
            deleted += int(cursor.rowcount)
            if cursor.rowcount < SLICE:
                break
        cursor.execute("SELECT DISTINCT organization_id FROM telemetry_rejectioncount")
        for (organization_id,) in cursor.fetchall():
            deleted += _trim_organization(cursor, organization_id)
    return int(deleted)


def _trim_organization(cursor: Any, organization_id: int) -> int:
    cursor.execute(
        "SELECT id FROM telemetry_rejectedreading WHERE organization_id = %s ORDER BY id DESC OFFSET %s LIMIT 1",
        [organization_id, MOST_ROWS],
    )
    row = cursor.fetchone()
    if row is None:
        return 0
    cursor.execute(
        "DELETE FROM telemetry_rejectedreading WHERE organization_id = %s AND id <= %s", [organization_id, row[0]]
    )
    return int(cursor.rowcount)
