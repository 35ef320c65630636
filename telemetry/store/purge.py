"""Remove what is stored of vehicles."""

from __future__ import annotations

from django.db import connection, transaction

_TABLES = ("telemetry_rollup", "telemetry_batch", "telemetry_sinkprogress", "telemetry_latest")


@transaction.atomic
def purge_vehicle(organization_id: int, vehicle_id: int) -> int:
    """Delete all telemetry of a vehicle; returns how many frames there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT first_time, frame_time FROM telemetry_latest"
            " WHERE vehicle_id = %s AND organization_id = %s FOR UPDATE",
            [vehicle_id, organization_id],
        )
        row = cursor.fetchone()
        if row is None:
            return 0
        frames = 0
        if row[0] is not None:
            cursor.execute(
                "DELETE FROM telemetry_frame WHERE vehicle_id = %s AND organization_id = %s"
                " AND time >= %s AND time <= %s",
                [vehicle_id, organization_id, *row],
            )
            frames = cursor.rowcount
        for table in _TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE vehicle_id = %s", [vehicle_id])
    return frames


def orphans(limit: int = 100) -> list[tuple[int, int]]:
    """Organization and vehicle ids that have telemetry and no vehicle any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.organization_id, l.vehicle_id FROM telemetry_latest l"
            " WHERE NOT EXISTS (SELECT 1 FROM vehicles_vehicle v WHERE v.id = l.vehicle_id) LIMIT %s",
            [limit],
        )
        return list(cursor.fetchall())
