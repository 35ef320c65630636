"""Pages of devices: the keys that write telemetry."""

from __future__ import annotations

import json
import time

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Role
from vehicles.forms import DeviceForm
from vehicles.models import Device
from vehicles.services import device_create, device_revoke, device_rotate


class DevicesPage(MemberRequired, View):
    """The organization's devices, and the form for a new one."""

    roles = {"GET": Role.OPERATOR, "POST": Role.ADMIN}

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, DeviceForm(organization=access(request).organization))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add a device; its key is shown this once."""
        found = access(request)
        form = DeviceForm(request.POST, organization=found.organization)
        if not form.is_valid():
            return _page(request, form, status=422)
        device, key = device_create(
            organization=found.organization, user=found.user, request=request, **form.cleaned_data
        )
        return _page(request, DeviceForm(organization=found.organization), device=device, key=key)


class DeviceActions(MemberRequired, View):
    """Rotate or revoke a device's key."""

    roles = {"POST": Role.ADMIN}
    http_method_names = ["post"]

    def post(self, request: HttpRequest, device_id: int) -> HttpResponse:
        found = access(request)
        device = get_object_or_404(found.organization.devices, pk=device_id, revoked_at=None)
        if request.POST.get("action") == "rotate":
            key = device_rotate(device=device, user=found.user, request=request)
            return _page(request, DeviceForm(organization=found.organization), device=device, key=key)
        device_revoke(device=device, user=found.user, request=request)
        messages.success(request, f"The key of {device} is revoked; it stops working within a minute.")
        return redirect("devices")


def _page(
    request: HttpRequest, form: DeviceForm, device: Device | None = None, key: str = "", status: int = 200
) -> HttpResponse:
    organization = access(request).organization
    context = {
        "devices": organization.devices.filter(revoked_at=None).prefetch_related("vehicles"),
        "form": form,
        "device": device,
        "key": key,
        "curl": _curl(request, device, key) if device else "",
    }
    response = render(request, "vehicles/devices.html", context, status=status)
    if key:
        response["Cache-Control"] = "no-store"
    return response


def _curl(request: HttpRequest, device: Device, key: str) -> str:
    """A line that sends a first reading, as it stands."""
    vehicle = device.vehicles.first() or device.organization.vehicles.filter(archived_at=None).first()
    row = {
        "vehicle": vehicle.public_id if vehicle else "<vehicle id or VIN>",
        "time": int(time.time()),
        "values": {"engine.rpm": 850, "vehicle.speed": 0},
    }
    body = json.dumps({"rows": [row]})
    return (
        f"curl {settings.BASE_URL}/api/v1/telemetry \\\n  -H 'Authorization: Bearer {key}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
