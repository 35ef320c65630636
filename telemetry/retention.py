"""How long an organization keeps what: readings and rollups for days, or only a buffer of the last seconds."""

from __future__ import annotations

import time

import structlog
from django.db import DatabaseError

from fleet.accounts.models import Organization
from telemetry import store
from telemetry.horizons import DAY, frames_from, kept_rollups_from
from telemetry.sinks import SINKS

BATCH_DAYS = 1
"""The outbox is kept so long after all sinks have processed it, for clients that resume their streams."""

log = structlog.get_logger(__name__)


def apply(seconds: float = 90) -> None:
    """Let go what is past its time: whole partitions first, then vehicle by vehicle.

    Args:
        seconds: after so long the rest is left for the next time.
    """
    deadline = time.monotonic() + seconds
    organizations = list(Organization.objects.order_by("?"))  # so that nobody is last each time
    frames = {organization.pk: frames_from(organization) for organization in organizations}
    frames = {pk: horizon for pk, horizon in frames.items() if horizon}
    rollups = {organization.pk: kept_rollups_from(organization) for organization in organizations}
    rolled = {pk: _now() if horizon is None else horizon for pk, horizon in rollups.items() if horizon != 0}
    store.drop_partitions(store.FRAMES, frames)
    store.drop_partitions(store.ROLLUPS, rolled)
    store.trim_batches(SINKS, _now() - BATCH_DAYS * DAY)
    store.delete_unused_signal_sets()
    for pk, horizon in rolled.items():
        try:
            store.delete_rollups(pk, horizon)
        except DatabaseError as error:
            log.warning("retention.failed", organization=pk, error=str(error).strip()[:200])
    for pk, horizon in frames.items():
        try:
            store.delete_frames(pk, horizon, deadline)
        except DatabaseError as error:
            log.warning("retention.failed", organization=pk, error=str(error).strip()[:200])


def trim_buffers() -> None:
    """Delete what is older than the buffers of the organizations that keep only that."""
    for organization in Organization.objects.filter(buffer_seconds__isnull=False):
        try:
            store.delete_frames(organization.pk, frames_from(organization), time.monotonic() + 60)
        except DatabaseError as error:
            log.warning("retention.failed", organization=organization.pk, error=str(error).strip()[:200])


def _now() -> int:
    return time.time_ns() // 1_000
