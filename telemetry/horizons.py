"""How far back an organization keeps what."""

from __future__ import annotations

import time

from fleet.accounts.models import Organization

HOUR = 3_600_000_000
DAY = 24 * HOUR


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
    """The time before which the organization has no rollups; 0 where it has all, None for no rollups at all."""
    if organization.buffer_seconds:
        return None
    since = organization.rollups_since
    return max(_kept_from(organization), 0 if since is None else int(since.timestamp() * 1e6) // HOUR * HOUR + HOUR)


def kept_rollups_from(organization: Organization) -> int | None:
    """The time before which rollups are to be deleted; 0 for none, None for all."""
    return None if organization.buffer_seconds else _kept_from(organization)


def _kept_from(organization: Organization) -> int:
    return time.time_ns() // 1_000 - organization.rollup_days * DAY if organization.rollup_days else 0
