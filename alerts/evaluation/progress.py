"""The rows under whose locks vehicles are evaluated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from django.utils import timezone

from alerts.rules.memory import Memory, pack, unpack
from telemetry import store
from telemetry.store import wire

GRACE = 3_000_000
"""So many microseconds a reading may be on its way before its absence counts."""
_COLUMNS = "vehicle_id, organization_id, version, memory, newest, recent, correct_from, look_again, correct_after"


@dataclass
class Progress:
    """How far a vehicle is; times in microseconds since 1970."""

    vehicle_id: int
    organization_id: int
    version: int
    memory: Memory | None
    newest: int | None
    recent: bool
    correct_from: int | None
    look_again: int | None = None
    correct_after: int | None = None


def lock(organization_id: int, vehicle_ids: Iterable[int]) -> dict[int, Progress]:
    """Lock the rows of some existing vehicles, made where they are missing, until the transaction ends."""
    wanted = wire.int4_array(np.array(sorted(vehicle_ids), np.int32))
    query = f"SELECT {_COLUMNS} FROM alerts_evaluation WHERE vehicle_id = ANY(%s) ORDER BY vehicle_id FOR UPDATE"
    with store.cursor() as opened:
        rows = opened.execute(query, [wanted]).fetchall()
        if len(rows) < len(set(vehicle_ids)):
            opened.execute(
                "INSERT INTO alerts_evaluation (vehicle_id, organization_id, version, recent)"
                " SELECT id, organization_id, 0, false FROM vehicles_vehicle"
                " WHERE id = ANY(%s) AND organization_id = %s ORDER BY id ON CONFLICT DO NOTHING",
                [wanted, organization_id],
            )
            rows = opened.execute(query, [wanted]).fetchall()
    return {row[0]: _progress(row) for row in rows}


def _progress(row: Sequence[Any]) -> Progress:
    vehicle_id, organization_id, version, memory, *rest = row
    return Progress(vehicle_id, organization_id, version, None if memory is None else unpack(memory), *rest)


def due(column: str, now: int, limit: int) -> dict[int, list[int]]:
    """The vehicles whose ``look_again`` or ``correct_after`` has come, by organization."""
    found: dict[int, list[int]] = {}
    with store.cursor() as opened:
        rows = opened.execute(
            f"SELECT organization_id, vehicle_id FROM alerts_evaluation WHERE {column} <= %s"
            f" ORDER BY {column} LIMIT %s",
            [wire.timestamp(now), limit],
        )
        for organization_id, vehicle_id in rows:
            found.setdefault(organization_id, []).append(vehicle_id)
    return found


def forget(organization_id: int, vehicle_ids: Iterable[int]) -> None:
    """Expect nothing more of vehicles that are not evaluated any longer."""
    with store.cursor() as opened:
        opened.execute(
            "UPDATE alerts_evaluation SET look_again = NULL, correct_from = NULL, correct_after = NULL"
            " WHERE organization_id = %s AND vehicle_id = ANY(%s)",
            [organization_id, wire.int4_array(np.array(sorted(vehicle_ids), np.int32))],
        )


def look_soon(organization_id: int, vehicle_ids: Collection[int] | None = None) -> None:
    """Look at some of an organization's vehicles, or all, once what is so now counts; also at those without a row."""
    some = None if vehicle_ids is None else wire.int4_array(np.array(sorted(vehicle_ids), np.int32))
    newest = sorted(store.newest_frames(organization_id, vehicle_ids).items())
    moment = timezone.now() + timedelta(microseconds=GRACE)
    with store.cursor() as opened:
        opened.execute(
            "INSERT INTO alerts_evaluation (vehicle_id, organization_id, version, recent, newest)"
            " SELECT v.id, v.organization_id, 0, false, n.newest FROM unnest(%s, %s) AS n (vehicle_id, newest)"
            " JOIN vehicles_vehicle v ON v.id = n.vehicle_id AND v.organization_id = %s ORDER BY v.id"
            " ON CONFLICT DO NOTHING",
            [
                wire.int4_array(np.array([vehicle for vehicle, _ in newest], np.int32)),
                wire.timestamp_array(np.array([time for _, time in newest], np.int64)), organization_id,
            ],
        )  # fmt: skip
        opened.execute(
            # Locked in the order in which evaluations lock them.
            "WITH held AS (SELECT vehicle_id FROM alerts_evaluation WHERE organization_id = %s"
            " AND (%s::int4[] IS NULL OR vehicle_id = ANY(%s)) ORDER BY vehicle_id FOR UPDATE)"
            " UPDATE alerts_evaluation e SET look_again = least(e.look_again, %s)"
            " FROM held WHERE e.vehicle_id = held.vehicle_id",
            [organization_id, some, some, moment],
        )


def put_off(vehicle_id: int, until: int) -> None:
    """Look at a vehicle that failed no sooner than that."""
    with store.cursor() as opened:
        opened.execute(
            "UPDATE alerts_evaluation SET look_again = CASE WHEN look_again IS NOT NULL THEN %s END,"
            " correct_after = CASE WHEN correct_after IS NOT NULL THEN %s END WHERE vehicle_id = %s",
            [wire.timestamp(until), wire.timestamp(until), vehicle_id],
        )


def write(rows: Sequence[Progress]) -> None:
    """Write the progress of vehicles whose rows are locked: one statement."""
    if not rows:
        return

    def times(values: Iterable[int | None]) -> list[Any]:
        return [None if value is None else wire.timestamp(value) for value in values]

    parameters: list[Any] = []
    for row in rows:
        parameters += [
            row.vehicle_id, row.version, None if row.memory is None else pack(row.memory), row.recent,
            *times([row.newest, row.look_again, row.correct_from, row.correct_after]),
        ]  # fmt: skip
    values = ", ".join(["(%s::int4, %s::int8, %s::bytea, %s::bool" + ", %s::timestamptz" * 4 + ")"] * len(rows))
    with store.cursor() as opened:
        opened.execute(
            "UPDATE alerts_evaluation e SET version = v.version, memory = v.memory, recent = v.recent,"
            " newest = v.newest, look_again = v.look_again, correct_from = v.correct_from,"
            f" correct_after = v.correct_after FROM (VALUES {values})"
            " AS v (vehicle_id, version, memory, recent, newest, look_again, correct_from, correct_after)"
            " WHERE e.vehicle_id = v.vehicle_id",
            parameters,
        )
