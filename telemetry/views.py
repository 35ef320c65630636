"""Pages of telemetry: overview, vehicle list, one vehicle live."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.module_loading import import_string
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Role
from telemetry import states
from telemetry.selectors import latest_of
from vehicles.access import find_vehicle
from vehicles.forms import VehicleForm
from vehicles.models import Vehicle
from vehicles.services import Conflict, vehicle_create

PER_PAGE = 50
PANELS = ("alerts.views.vehicle_panel", "integrations.sources.smartcar.views.vehicle_panel")
"""What others add to a vehicle's page: functions of the vehicle that give a template and its context, or None."""
OVERVIEW_PANELS = ("alerts.views.overview_panel",)
"""The same for the overview: functions of the organization."""
MOST_ON_OVERVIEW = 2_000
STATE_WORDS = {
    states.MOVING: "Moving",
    states.IDLE: "Idle",
    states.PARKED: "Parked",
    states.CHARGING: "Charging",
    states.OFFLINE: "Offline",
    states.NEVER: "Never reported",
}


class Overview(MemberRequired, View):
    """The fleet at a glance: how many are in each state, and every vehicle's key readings, live."""

    def get(self, request: HttpRequest) -> HttpResponse:
        organization = access(request).organization
        vehicles = organization.vehicles.filter(archived_at=None)[:MOST_ON_OVERVIEW]
        rows = _rows(latest_of(organization, vehicles), vehicles)
        tiles = [
            {"state": state, "word": STATE_WORDS[state], "count": sum(row["state"] == state for row in rows)}
            for state in states.STATES
        ]
        panels = [import_string(name)(organization) for name in OVERVIEW_PANELS]
        context = {"rows": rows[:PER_PAGE], "tiles": tiles, "total": len(rows), "panels": panels}
        return render(request, "telemetry/overview.html", context)


class Vehicles(MemberRequired, View):
    """The list of vehicles, filtered by words and state."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._list(request, VehicleForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add a vehicle."""
        form = VehicleForm(request.POST)
        found = access(request)
        if form.is_valid():
            try:
                vehicle = vehicle_create(
                    organization=found.organization, user=found.user, request=request, **form.cleaned_data
                )
                return redirect("vehicle", vehicle=vehicle.public_id)
            except Conflict as error:
                form.add_error("vin", error.detail)
        return self._list(request, form, status=422)

    def _list(self, request: HttpRequest, form: VehicleForm, status: int = 200) -> HttpResponse:
        organization = access(request).organization
        words = request.GET.get("search", "").strip()[:100]
        state = request.GET.get("state", "")
        vehicles = organization.vehicles.filter(archived_at=None)
        if words:
            vehicles = vehicles.search(words)
        if state in STATE_WORDS:
            listed = list(vehicles[:MOST_ON_OVERVIEW])
            rows = [row for row in _rows(latest_of(organization, listed), listed) if row["state"] == state]
            page: Page[Any] = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
            shown = list(page.object_list)
        else:
            page = Paginator(vehicles, PER_PAGE).get_page(request.GET.get("page"))
            listed = list(page.object_list)
            shown = _rows(latest_of(organization, listed), listed)
        context = {
            "rows": shown,
            "page": page,
            "search": words,
            "state": state if state in STATE_WORDS else "",
            "states": STATE_WORDS,
            "form": form,
        }
        return render(request, "telemetry/vehicles.html", context, status=status)


class VehiclePage(MemberRequired, View):
    """One vehicle, live: charts, values, freshness."""

    def get(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        organization = access(request).organization
        row = find_vehicle(organization, vehicle)
        latest = latest_of(organization, [row])[0]
        context = {
            "vehicle": row,
            "latest": latest,
            "state_word": STATE_WORDS[latest["state"]],
            "aliases": row.aliases.all(),
            "panels": [panel for panel in (import_string(name)(row) for name in PANELS) if panel],
        }
        return render(request, "telemetry/vehicle.html", context)


def _rows(latest: list[dict[str, Any]], vehicles: Any) -> list[dict[str, Any]]:
    """Rows of a vehicle table: a vehicle and the few readings that the table shows."""
    rows = []
    for vehicle, state in zip(vehicles, latest, strict=True):
        assert isinstance(vehicle, Vehicle)
        signals = state["signals"]
        speed = signals.get("vehicle.speed") or signals.get("location.speed")
        energy = signals.get("traction_battery.soc") or signals.get("fuel.level")
        rows.append(
            {
                "vehicle": vehicle,
                "state": state["state"],
                "word": STATE_WORDS[state["state"]],
                "time": state["time"],
                "speed": speed["value"] if speed else None,
                "energy": energy["value"] if energy else None,
                "energy_kind": "SoC" if "traction_battery.soc" in signals else "fuel",
            }
        )
    return rows
