"""The sink that keeps rollups: it recomputes from the frames what a batch touched, so repeating it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fleet.accounts.models import Organization
from telemetry import store
from telemetry.aggregates import HOUR, MINUTE, HourOfMinutes, Key, by_hour
from telemetry.horizons import frames_from
from telemetry.sinks import Claim, held

SINK = "rollups"
BATCHES_PER_VEHICLE = 2_000
MINUTES_PER_SLICE = 720
READINGS_PER_RUN = 4_000_000
"""Bounds memory: about 16 bytes each."""
_Minutes = tuple[int, int]
"""Minutes of an hour: the first, and the one after the last."""


def roll_up(claims: Sequence[Claim]) -> dict[int, int]:
    """Bring the rollups of the claimed vehicles up to date; returns how far it came, by vehicle id."""
    organizations = {
        organization.pk: organization
        for organization in Organization.objects.filter(pk__in={claim.organization_id for claim in claims})
    }
    # What is past an organization's time must not be read again: its frames may be gone, its rollups stand for them.
    horizons = {
        claim.vehicle_id: frames_from(organizations[claim.organization_id])
        for claim in claims
        if claim.organization_id in organizations
    }
    without = {pk for pk, organization in organizations.items() if organization.buffer_seconds}
    reached = {claim.vehicle_id: claim.version for claim in claims}
    wanted = {c.vehicle_id: (c.done, c.version) for c in claims if c.organization_id not in without}
    if not wanted:
        return reached
    touched: dict[Key, _Minutes] = {}
    readings = 0
    seen: dict[int, int] = {}
    for change in store.read_changes(wanted, BATCHES_PER_VEHICLE):
        seen[change.vehicle_id] = seen.get(change.vehicle_id, 0) + 1
        if readings > READINGS_PER_RUN:
            reached[change.vehicle_id] = min(reached[change.vehicle_id], change.version - 1)
            continue
        readings += change.readings
        _touch(touched, change, horizons.get(change.vehicle_id, 0))
        if seen[change.vehicle_id] == BATCHES_PER_VEHICLE:
            reached[change.vehicle_id] = change.version
    by_vehicle = {claim.vehicle_id: claim for claim in claims}
    for part in _parts(touched):
        _recompute(part, by_vehicle)
    return reached


def _parts(touched: dict[Key, _Minutes]) -> Iterator[dict[Key, _Minutes]]:
    """The touched minutes in slices whose frames fit into memory: 720 minutes are 432,000 frames at 10 Hz."""
    part: dict[Key, _Minutes] = {}
    minutes = 0
    for key, (begin, end) in sorted(touched.items()):
        part[key] = (begin, end)
        minutes += end - begin
        if minutes >= MINUTES_PER_SLICE:
            yield part
            part, minutes = {}, 0
    if part:
        yield part


def _touch(touched: dict[Key, _Minutes], change: store.Change, horizon: int) -> None:
    first, last = change.first_time // MINUTE, change.last_time // MINUTE
    hours = change.hours.tolist() or range(first // 60, last // 60 + 1)
    for hour in hours:
        if hour * HOUR < horizon:
            continue
        key = (change.vehicle_id, change.source_id, hour)
        begin, end = (0, 60) if len(change.hours) else (max(0, first - hour * 60), min(60, last - hour * 60 + 1))
        before = touched.get(key, (begin, end))
        touched[key] = (min(before[0], begin), max(before[1], end))


def _recompute(touched: dict[Key, _Minutes], claims: dict[int, Claim]) -> None:
    """Read the touched minutes again; where no minutes are stored, the whole hour."""
    stored = store.read_hours(touched)
    hours: dict[Key, HourOfMinutes] = {}
    spans: list[list[int]] = []
    for key, (begin, end) in sorted(touched.items()):
        minutes = stored[key].minutes if key in stored else None
        vehicle, source, hour = key
        start, stop = hour * HOUR, (hour + 1) * HOUR
        if minutes is not None:
            minutes.clear(begin, end)
            hours[key] = minutes
            start, stop = start + begin * MINUTE, start + end * MINUTE
        if spans and spans[-1][:2] == [vehicle, source] and spans[-1][3] == start:
            spans[-1][3] = stop
        else:
            spans.append([vehicle, source, start, stop])
    table = np.array(spans, np.int64)
    by_hour(
        store.scan_frames(
            store.Spans(table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2], table[:, 3])
        ),
        hours,
    )
    store.make_rollup_partitions(hours)
    with held(SINK, list(claims.values())) as ours:
        kept = {key: content for key, content in hours.items() if key[0] in ours}
        store.write_hours({vehicle: claim.organization_id for vehicle, claim in claims.items()}, kept)
