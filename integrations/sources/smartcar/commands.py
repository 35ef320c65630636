"""Commands to a vehicle through Smartcar (a carrier of `telemetry.commands.carriers`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from fleet.lib.errors import MotorpoolError
from integrations.sources.smartcar import allowance, polling, troubles
from integrations.sources.smartcar.client import cloud_of
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.leases import TooBusy
from integrations.sources.smartcar.models import AccountState, CloudVehicle
from integrations.sources.smartcar.selectors import links_of
from vehicles.models import Vehicle


def able(vehicle: Vehicle) -> bool:
    """Whether the vehicle is connected."""
    return _link(vehicle) is not None


def carry_out(vehicle: Vehicle, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Do it, and wait for its end; then look what the vehicle has become.

    Raises:
        MotorpoolError: it failed, in words.
    """
    link = _link(vehicle)
    if link is None:
        raise MotorpoolError("The vehicle is not connected to Smartcar.")
    try:
        result = cloud_of(link.account).command(link, kind, arguments)
    except Failure as failure:
        if failure.name in troubles.BROKEN:
            troubles.reconnect_needed(link.account, str(failure))
        if failure.retry_after and failure.code != allowance.OWN_LIMIT:
            until = timezone.now() + timedelta(seconds=min(86_400.0, failure.retry_after))
            CloudVehicle.objects.filter(pk=link.pk).update(not_before=until)
        words = str(failure)
        if failure.code == "NO_RESPONSE":  # it may have been done all the same
            words = "The maker's cloud did not answer in time: look whether the vehicle did it."
        raise MotorpoolError(words, code=failure.name.lower()) from None
    except TooBusy as error:
        raise MotorpoolError(str(error)) from None
    polling.sync_soon(CloudVehicle.objects.filter(pk=link.pk))
    return result


def _link(vehicle: Vehicle) -> CloudVehicle | None:
    active = links_of(vehicle.organization).filter(vehicle=vehicle, account__state=AccountState.ACTIVE)
    return active.order_by("-connected_at").first()
