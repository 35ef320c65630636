"""Pages of connections: the list, the way to Smartcar and back, the webhook log, the inbox of unknown vehicles."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Role
from fleet.accounts.second_factor import is_trusted_staff
from fleet.lib.api import NotFound
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, number_of
from integrations.sources.smartcar import connecting, polling, processing, selectors, services
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.models import EventState
from vehicles.access import find_vehicle
from vehicles.models import Vehicle

BRANDS = (
    "AUDI", "BMW", "CADILLAC", "CHEVROLET", "CUPRA", "FORD", "HYUNDAI", "JAGUAR", "KIA", "LANDROVER", "MERCEDES",
    "MINI", "NISSAN", "OPEL", "PEUGEOT", "PORSCHE", "RENAULT", "RIVIAN", "SKODA", "TESLA", "TOYOTA", "VOLKSWAGEN",
    "VOLVO",
)  # fmt: skip
PAGE = 50


class Connections(MemberRequired, View):
    """The connected vehicles and how they are."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        found = access(request)
        staff = _runs_the_portal(request)
        claims = found.role >= Role.ADMIN
        endpoint = services.endpoint_of_the_portal() if staff else None
        context = {
            "ready": configuration().ready,
            "mode": configuration().mode,
            "brands": BRANDS,
            "links": [{"link": link, **selectors.describe(link)} for link in selectors.links_of(found.organization)],
            "usage": selectors.usage(),
            "unclaimed": selectors.unclaimed_of(found.organization, all_of_them=staff) if claims else [],
            "vehicles": found.organization.vehicles.filter(archived_at=None) if claims else [],
            "endpoint": endpoint,
            "address": services.address_of(endpoint) if endpoint else "",
        }
        return render(request, "smartcar/connections.html", context)


class Start(MemberRequired, View):
    """Begin to connect a car."""

    roles = {"POST": Role.OPERATOR}
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Lead to the maker's sign-in."""
        found = access(request)
        mode = request.POST.get("mode", "")
        try:
            address = connecting.begin(
                organization=found.organization,
                user=found.user,
                mode=mode if mode in ("live", "simulated") else "",
                make=request.POST.get("make", "") if request.POST.get("make") in BRANDS else "",
                vin=request.POST.get("vin", "").strip()[:17],
            )
        except MotorpoolError as error:
            messages.error(request, error.detail)
            return redirect("connections")
        return redirect(address)


class Return(MemberRequired, View):
    """Where Smartcar Connect comes back to."""

    roles = {"GET": Role.OPERATOR}
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Take over what was connected, and say what it was."""
        try:
            session = connecting.session_of(request.GET.get("state", ""), access(request).user)
            if session.organization != access(request).organization:
                raise connecting.NotConnected(f"This was begun for {session.organization}: switch to it, start again.")
            links = connecting.finish(session, request.GET.dict(), request)
        except MotorpoolError as error:
            messages.error(request, error.detail)
        else:
            names = ", ".join(str(link.vehicle) for link in links)
            messages.success(request, f"Connected: {names}. The first data arrives in a moment.")
        return redirect("connections")


class ConnectionActions(MemberRequired, View):
    """Sync, connect again or disconnect one vehicle."""

    roles = {"POST": Role.OPERATOR}
    http_method_names = ["post"]

    def post(self, request: HttpRequest, link_id: int) -> HttpResponse:
        """Do what the button says."""
        found = access(request)
        link = get_object_or_404(selectors.links_of(found.organization), pk=link_id)
        action = request.POST.get("action")
        try:
            if action == "sync":
                polling.sync_soon(selectors.links_of(found.organization).filter(pk=link.pk))
                messages.success(request, f"{link.vehicle} is asked now.")
            elif action == "reconnect":
                address = connecting.begin(
                    organization=found.organization, user=found.user, mode=link.account.mode,
                    generation=link.account.generation, again=link,
                )  # fmt: skip
                return redirect(address)
            elif action == "disconnect":
                if found.role < Role.ADMIN:
                    raise PermissionDenied
                connecting.disconnect(link, found.user, request)
                messages.success(request, f"{link.vehicle} is disconnected. What it told stays.")
            else:
                raise Http404
        except MotorpoolError as error:
            messages.error(request, error.detail)
        return redirect("connections")


class Claim(MemberRequired, View):
    """Tie a vehicle that webhooks tell of to one of the organization's own."""

    roles = {"POST": Role.ADMIN}
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Claim it."""
        found = access(request)
        try:
            vehicle = find_vehicle(found.organization, request.POST.get("vehicle", ""))
            services.claim(
                organization=found.organization, vehicle=vehicle, remote_id=request.POST.get("remote_id", ""),
                user=found.user, all_of_them=_runs_the_portal(request), request=request,
            )  # fmt: skip
            messages.success(request, f"{vehicle} is tied to it; what waited is processed.")
        except NotFound:
            messages.error(request, "Choose one of the vehicles.")
        except MotorpoolError as error:
            messages.error(request, error.detail)
        return redirect("connections")


class Arm(MemberRequired, View):
    """Let the webhook's verification be answered for a while; for who runs the portal."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Arm it."""
        if not _runs_the_portal(request):
            raise PermissionDenied
        services.arm(services.endpoint_of_the_portal(), access(request).user, request=request)
        messages.success(request, "Verification is answered for 15 minutes: press Verify in Smartcar's dashboard now.")
        return redirect("connections")


class Webhooks(MemberRequired, View):
    """What Smartcar delivered for the organization's vehicles."""

    roles = {"GET": Role.OPERATOR, "POST": Role.ADMIN}

    def get(self, request: HttpRequest) -> HttpResponse:
        """The log."""
        events = selectors.events_of(access(request).organization)
        state = request.GET.get("state", "")
        if state in EventState.values:
            events = events.filter(state=state)
        page = Paginator(events, PAGE).get_page(request.GET.get("page"))
        return render(request, "smartcar/webhooks.html", {"page": page, "state": state, "states": EventState.choices})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Process one again."""
        events = selectors.events_of(access(request).organization).filter(
            pk=number_of(Kind.WEBHOOK_EVENT, request.POST.get("event", ""))
        )
        if not events.exists():
            raise Http404
        processing.replay(events)
        messages.success(request, "It is processed again; what is stored already stays as it is.")
        return redirect("webhooks")


def _runs_the_portal(request: HttpRequest) -> bool:
    return is_trusted_staff(request.user)


def vehicle_panel(vehicle: Vehicle) -> dict[str, Any] | None:
    """What the vehicle page shows of its connection; None without one (`telemetry.views.PANELS`)."""
    link = selectors.links_of(vehicle.organization).filter(vehicle=vehicle).first()
    if link is None:
        return None
    return {"template": "smartcar/panel.html", "link": link, **selectors.describe(link)}
