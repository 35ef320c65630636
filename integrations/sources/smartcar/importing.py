"""Take over the vehicles of a connected account: known ones are joined by their VIN, others are new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone

from fleet.lib.ids import uuid_of
from integrations.sources.smartcar import troubles
from integrations.sources.smartcar.calls import RemoteVehicle
from integrations.sources.smartcar.client import cloud_of
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.leases import TooBusy
from integrations.sources.smartcar.models import Account, CloudVehicle
from integrations.sources.smartcar.version3 import subscribe
from vehicles import vin as vin_numbers
from vehicles.models import Powertrain, Vehicle
from vehicles.services import Conflict, vehicle_create, vehicle_update

POWERTRAINS = {
    "BEV": Powertrain.ELECTRIC,
    "PHEV": Powertrain.PLUG_IN_HYBRID,
    "HEV": Powertrain.HYBRID,
    "ICE": Powertrain.COMBUSTION,
}

log = structlog.get_logger(__name__)


def take_over(account: Account, found: Iterable[RemoteVehicle], request: Any) -> list[CloudVehicle]:
    """Every vehicle of the account: known ones are joined by their VIN, others are new."""
    links = []
    for remote in found:
        if uuid_of(remote.remote_id) is None:
            continue
        link = CloudVehicle.objects.filter(organization=account.organization, remote_id=remote.remote_id).first()
        vehicle = link.vehicle if link else _vehicle_for(account, remote, request)
        values = {
            "account": account, "vehicle": vehicle, "connection_id": remote.connection_id, "error": "",
            "error_code": "", "permissions": list(remote.permissions)[:100], "disconnected_at": None,
            "connected_at": timezone.now(), "poll_at": timezone.now() + timedelta(seconds=1), "poll_failures": 0,
        }  # fmt: skip
        made, _ = CloudVehicle.objects.update_or_create(
            organization=account.organization, remote_id=remote.remote_id, defaults=values
        )
        links.append(made)
        try:
            subscribe(str(account.user_id), remote.remote_id)
        except (Failure, TooBusy) as failure:  # the poll goes on without webhooks, and the page says so
            CloudVehicle.objects.filter(pk=made.pk).update(
                error_code=troubles.NO_WEBHOOKS, error=f"Its webhook could not be ordered: {failure}"[:300]
            )
    return links


def _vehicle_for(account: Account, remote: RemoteVehicle, request: Any) -> Vehicle:
    """The organization's vehicle with the VIN, else a new one."""
    try:
        vin = cloud_of(account).vin(remote.remote_id).upper()
    except (Failure, TooBusy) as failure:  # it is connected all the same; its VIN comes with its first signals
        log.warning("smartcar.no_vin", failure=str(failure))
        vin = ""
    vin = vin if vin and vin_numbers.problem(vin) is None else ""
    known = account.organization.vehicles.filter(vin=vin).first() if vin else None
    about: dict[str, Any] = {
        "make": remote.make.title() if len(remote.make) > 3 else remote.make, "model": remote.model,
        "year": remote.year, "powertrain": POWERTRAINS.get(remote.powertrain.upper(), Powertrain.UNKNOWN),
    }  # fmt: skip
    if known is not None:
        missing = {name: value for name, value in about.items() if value and not getattr(known, name)}
        if missing:
            vehicle_update(vehicle=known, user=account.connected_by, request=request, **missing)
        return known
    name = " ".join(str(part) for part in (about["make"], about["model"], about["year"]) if part) or "Connected car"
    fields = {"organization": account.organization, "user": account.connected_by, "request": request, "name": name}
    try:
        return vehicle_create(**fields, vin=vin or None, **about)
    except Conflict:  # another worker made it a moment ago
        return account.organization.vehicles.get(vin=vin)
