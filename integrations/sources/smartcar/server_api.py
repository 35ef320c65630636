"""The interface of the older Smartcar server, over what is stored here: its paths and shapes, but with sign-in.

`/api/vehicles` and `/api/vehicle/{id}/location | battery | odometer | charge-limits | all | latest-signals`, where the
id is Smartcar's. Each answers for the organization that the credential names; a stranger's vehicle is not there.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.lib.api import NotFound
from integrations.sources.smartcar import selectors
from integrations.sources.smartcar.events import event_of
from integrations.sources.smartcar.models import CloudVehicle
from telemetry.selectors import latest_of

EVENTS = 50
TYPES = {
    "Location.PreciseLocation": ("location.latitude", "location.longitude"),
    "Odometer.TraveledDistance": ("vehicle.odometer",),
    "TractionBattery.StateOfCharge": ("traction_battery.soc",),
    "TractionBattery.NominalCapacity": ("traction_battery.capacity",),
    "Charge.ChargeLimits": ("charge.limit",),
}
"""The five kinds that the server knew, and where their values are."""


@extend_schema(exclude=True)
class Vehicles(APIView):
    """The ids of connected vehicles."""

    def get(self, request: Request) -> Response:
        """All of them, and how many deliveries told of them."""
        organization = access(request).organization
        ids = [str(link.remote_id) for link in selectors.links_of(organization)]
        total = selectors.events_of(organization).count()
        return Response({"vehicles": ids, "total_vehicles": len(ids), "total_entries": total})


@extend_schema(exclude=True)
class Vehicle(APIView):
    """One kind of data of a vehicle."""

    def get(self, request: Request, remote_id: str, what: str) -> Response:
        """The newest values, or what was delivered."""
        organization = access(request).organization
        link = _link(selectors.links_of(organization), remote_id)
        if what == "latest-signals":
            return Response(_latest_signals(link))
        if link is None:
            return Response({"error": "No data found for this vehicle"}, status=404)
        if what == "all":
            return Response(_all(organization, link))
        body = _newest(link, what)
        if body is None:
            return Response({"error": f"No {what.replace('-', ' ')} data found for this vehicle"}, status=404)
        return Response({"vehicle_id": remote_id, **body})


def _link(links: Any, remote_id: str) -> CloudVehicle | None:
    return next((link for link in links if str(link.remote_id) == remote_id), None)


def _readings(link: CloudVehicle | None) -> dict[str, Any]:
    if link is None:
        return {}
    signals: dict[str, Any] = latest_of(link.organization, [link.vehicle])[0]["signals"]
    return signals


def _newest(link: CloudVehicle, what: str) -> dict[str, Any] | None:
    signals = _readings(link)

    def value(name: str) -> Any:
        return signals[name]["value"] if name in signals else None

    shapes: dict[str, tuple[tuple[str, ...], Any]] = {
        "location": (
            ("location.latitude", "location.longitude"),
            lambda: {"location": {"latitude": value("location.latitude"), "longitude": value("location.longitude")}},
        ),
        "odometer": (("vehicle.odometer",), lambda: {"odometer": {"value": value("vehicle.odometer"), "unit": "km"}}),
        "battery": (
            ("traction_battery.soc", "traction_battery.capacity"),
            lambda: {
                "battery": {
                    "state_of_charge": _unit(value("traction_battery.soc"), "percent"),
                    "nominal_capacity": _unit(value("traction_battery.capacity"), "kWh"),
                }
            },
        ),
        "charge-limits": (("charge.limit",), lambda: {"charge_limits": _unit(value("charge.limit"), "percent")}),
    }
    if what not in shapes:
        raise NotFound
    names, shape = shapes[what]
    times = [signals[name]["time"] for name in names if name in signals]
    return {"timestamp": max(times), **shape()} if times else None


def _unit(value: Any, unit: str) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "unit": unit}


def _latest_signals(link: CloudVehicle | None) -> dict[str, Any]:
    signals = _readings(link)
    answer: dict[str, Any] = {}
    for kind, names in TYPES.items():
        found = {name.split(".")[1]: signals[name]["value"] for name in names if name in signals}
        newest = max((signals[name]["time"] for name in names if name in signals), default=None)
        answer[kind] = {"timestamp": newest, "data": found} if found else None
    return answer


def _all(organization: Any, link: CloudVehicle) -> dict[str, Any]:
    """The bodies of the newest deliveries, by kind."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    remote_id = str(link.remote_id)
    for row in selectors.events_of(organization).filter(remote_ids__contains=[remote_id])[:EVENTS]:
        event = event_of(bytes(row.body), msgspec.json.decode(bytes(row.body)))
        for delivery in event.deliveries:
            for signal in delivery.signals if delivery.remote_id == remote_id else ():
                if signal.body is not None:
                    at = signal.time or event.delivered_at or row.received_at.timestamp()
                    moment = datetime.fromtimestamp(at, UTC).isoformat()
                    found[signal.code].append({"timestamp": moment, "data": dict(signal.body)})
    updated = link.last_sync.isoformat() if link.last_sync else None
    return {"vehicle_id": remote_id, "last_updated": updated, "data": found}
