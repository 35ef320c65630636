"""How long an organization keeps what: readings and rollups for days, or only a buffer of the last seconds."""

from __future__ import annotations

import time

from fleet.accounts.models import Organization
from telemetry import store
from telemetry.sinks import SINKS

DAY = 86_400_000_000
BATCH_DAYS = 1
"""The outbox is kept so long after all sinks have processed it, for clients that resume their streams."""


def frames_from(organization: Organization) -> int:
    """The time, in microseconds since 1970, before which the organization keeps no readings; 0 for all of them."""
    now = time.time_ns() // 1_000
    limits = []
    if organization.frame_days:
        limits.append(now - organization.frame_days * DAY)
    if organization.buffer_seconds:
        limits.append(now - organization.buffer_seconds * 1_000_000)
    return max(limits, default=0)


def rollups_from(organization: Organization) -> int | None:
    """The time before which the organization keeps no rollups; 0 for all of them, None for no rollups at all."""
    if organization.buffer_seconds:
        return None
    return time.time_ns() // 1_000 - organization.rollup_days * DAY if organization.rollup_days else 0


def apply() -> None:
    """Let go what is past its time: whole partitions first, then vehicle by vehicle."""
    organizations = list(Organization.objects.all())
    frames = {organization.pk: frames_from(organization) for organization in organizations}
    frames = {pk: horizon for pk, horizon in frames.items() if horizon}
    rollups = {organization.pk: rollups_from(organization) for organization in organizations}
    rolled = {pk: _now() if horizon is None else horizon for pk, horizon in rollups.items() if horizon != 0}
    store.drop_partitions(store.FRAMES, frames)
    store.drop_partitions(store.ROLLUPS, rolled)
    for pk, horizon in frames.items():
        store.delete_frames(pk, horizon)
    for pk, horizon in rolled.items():
        store.delete_rollups(pk, horizon)
    store.trim_batches(SINKS, _now() - BATCH_DAYS * DAY)


def trim_buffers() -> None:
    """Delete what is older than the buffers of the organizations that keep only that."""
    for organization in Organization.objects.filter(buffer_seconds__isnull=False):
        store.delete_frames(organization.pk, frames_from(organization))


def _now() -> int:
    return time.time_ns() // 1_000
