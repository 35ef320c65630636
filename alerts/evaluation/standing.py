"""Facts of the portal's own: states, trouble codes, silent agents, wrong clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from alerts.evaluation.facts import Fact
from fleet.accounts.models import Organization
from telemetry import states, store
from telemetry.models import TroubleCode, TroubleCodeStatus, VehicleState
from vehicles.models import Device

RECENT = timedelta(minutes=10)


def in_state(organization: Organization, wanted: list[str]) -> Sequence[Fact]:
    """The vehicles in one of some states."""
    rows = VehicleState.objects.filter(organization=organization, state__in=wanted)
    return [Fact(row.vehicle_id, row.since, row.state) for row in rows]


def trouble_codes(organization: Organization, wanted: str) -> Sequence[Fact]:
    """The vehicles with trouble codes that stand: any, one, or those that begin so (``P03*``)."""
    rows = TroubleCode.objects.filter(organization=organization).exclude(status=TroubleCodeStatus.CLEARED)
    if wanted.endswith("*"):
        rows = rows.filter(code__startswith=wanted[:-1].upper())
    elif wanted != "any":
        rows = rows.filter(code=wanted.upper())
    codes: dict[int, list[TroubleCode]] = {}
    for row in rows.order_by("first_seen", "code"):
        codes.setdefault(row.vehicle_id, []).append(row)
    return [
        Fact(
            vehicle_id, max(row.first_seen for row in listed), ", ".join(row.code for row in listed),
            {"codes": [{"code": row.code, "status": row.status} for row in listed]},
        )
        for vehicle_id, listed in codes.items()
    ]  # fmt: skip


def silent_agents(organization: Organization, wanted: str) -> Sequence[Fact]:
    """The vehicles whose device fell silent although they were on."""
    offline = VehicleState.objects.filter(organization=organization, state=states.OFFLINE).values("vehicle_id")
    devices = Device.objects.filter(
        Q(vehicles__in=offline), organization=organization, revoked_at=None, last_seen__isnull=False
    )
    pairs = devices.values_list("vehicles__pk", "name", "last_seen")
    return [Fact(vehicle_id, seen, f"{name} is silent") for vehicle_id, name, seen in pairs if vehicle_id and seen]


def wrong_clocks(organization: Organization, wanted: str) -> Sequence[Fact]:
    """The vehicles whose newest batches hold times that have not come yet."""
    ahead = store.clocks_ahead(organization.pk, timezone.now() - RECENT)
    return [Fact(vehicle_id, since, "Readings from the future: check the clock") for vehicle_id, since in ahead]
