"""Bring the catalog and the common sources into the database; run after each migration."""

from __future__ import annotations

from telemetry.catalog import CATALOG
from telemetry.models import Signal, Source

COMMON_SOURCES = (
    "api",
    "obd",
    "can",
    "gps",
    "simulator",
    "replay",
    "collector",
    "screen",
    "bridge",
    "dht11",
    "smartcar",
    "mqtt",
    "torque",
    "osmand",
    "influx",
)


def sync_catalog() -> None:
    """Add new signals and sources, refresh the words and bounds of known ones; nothing is ever renamed."""
    columns = ("unit", "kind", "minimum", "maximum", "description", "obd_pid")
    Signal.objects.bulk_create(
        [
            Signal(organization=None, name=signal.name, **{column: getattr(signal, column) for column in columns})
            for signal in CATALOG
        ],
        update_conflicts=True,
        unique_fields=["organization", "name"],
        update_fields=list(columns),
    )
    Source.objects.bulk_create([Source(organization=None, name=name) for name in COMMON_SOURCES], ignore_conflicts=True)
