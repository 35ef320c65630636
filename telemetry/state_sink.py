"""The first sink: each vehicle's state, since when, and when silence will make it offline."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import structlog
from django.db import transaction
from django.utils import timezone

from telemetry import store
from telemetry.live import messages, notify
from telemetry.models import VehicleState
from telemetry.selectors import judge
from telemetry.sinks import Claim, held
from vehicles.models import Vehicle

MOST_DUE = 1_000

log = structlog.get_logger(__name__)


def update_states(claims: Sequence[Claim]) -> None:
    """Judge the claimed vehicles anew, write what changed, and tell who watches."""
    by_organization: dict[int, list[int]] = {}
    for claim in claims:
        by_organization.setdefault(claim.organization_id, []).append(claim.vehicle_id)
    with held("state", claims) as ours:
        for organization_id, vehicle_ids in by_organization.items():
            _update(organization_id, [vehicle_id for vehicle_id in vehicle_ids if vehicle_id in ours])


def detect_offline() -> int:
    """Judge the vehicles whose state may have changed by the passing of time alone; returns how many."""
    due = list(
        VehicleState.objects.filter(look_again__lte=timezone.now())
        .order_by("look_again")
        .values_list("organization_id", "vehicle_id")[:MOST_DUE]
    )
    for organization_id in {organization_id for organization_id, _ in due}:
        try:
            _update(organization_id, [vehicle for organization, vehicle in due if organization == organization_id])
        except Exception:
            log.exception("states.not_updated", organization=organization_id)
    return len(due)


def _update(organization_id: int, vehicle_ids: Iterable[int]) -> None:
    rows = store.read_latest(organization_id, vehicle_ids)
    known = {state.vehicle_id: state for state in VehicleState.objects.filter(vehicle_id__in=list(rows))}
    existing = set(Vehicle.objects.filter(pk__in=list(rows)).values_list("pk", flat=True))
    now = time.time()
    changed: list[VehicleState] = []
    told: list[messages.State] = []
    for vehicle_id, row in rows.items():
        if vehicle_id not in existing:
            continue
        before = known.get(vehicle_id)
        verdict = judge(row, before.moved_at if before else None, now)
        state = before or VehicleState(vehicle_id=vehicle_id, organization_id=organization_id)
        if before is None or before.state != verdict.state:
            state.since = datetime.fromtimestamp(now, UTC)
            told.append(messages.State(vehicle_id, verdict.state, now))
        state.state = verdict.state
        state.moved_at = _time(verdict.moved_at)
        state.look_again = _time(verdict.look_again)
        changed.append(state)
    VehicleState.objects.bulk_create(
        sorted(changed, key=lambda state: state.vehicle_id),
        update_conflicts=True,
        unique_fields=["vehicle"],
        update_fields=["state", "since", "moved_at", "look_again"],
    )
    if told:
        transaction.on_commit(functools.partial(notify.publish, organization_id, told))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
