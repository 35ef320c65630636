"""Pages of rules, channels and geofences."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from alerts import by_hand, starter
from alerts.access import find_channel, find_fence, find_rule
from alerts.channels_api import fields_of, shape
from alerts.describing import sentences
from alerts.models import AlertRule, Channel, ChannelKind, Geofence, Severity
from alerts.rules_api import shape as rule_shape
from alerts.services import channel_delete, channel_save, fence_delete, fence_save, rule_delete, rule_save
from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Organization, Role
from fleet.lib import strict_json
from fleet.lib.errors import MotorpoolError
from fleet.lib.ids import name_of
from fleet.lib.public_ids import Kind, number_of
from telemetry import directory, states, units
from telemetry.selectors import latest_of

MOST_VEHICLES, MOST_PLACES = 2_000, 500


MOST_IMPORTED = 500
"""Geofences in one file."""


class RulesPage(MemberRequired, View):
    """All rules as sentences; switched on and off, deleted, begun with."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        organization = access(request).organization
        rules = organization.alert_rules.prefetch_related("channels")
        words = sentences(organization, rules)
        standing = organization.alerts.open().order_by().values_list("rule_id").annotate(count=Count("pk"))
        counts = dict(standing)
        rows = [{"rule": rule, "words": words[rule.pk], "open": counts.get(rule.pk, 0)} for rule in rules]
        return render(request, "alerts/rules.html", {"rows": rows})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Change one, or add the starter set."""
        found = access(request)
        if request.POST.get("action") == "starter":
            count = starter.add(organization=found.organization, user=found.user, request=request)
            messages.info(request, f"{count} rules were added." if count else "All of them are here already.")
            return redirect("rules")
        rule = find_rule(found.organization, number_of(Kind.RULE, request.POST.get("rule", "")))
        match request.POST.get("action"):
            case "enable" | "disable":
                enabled = request.POST["action"] == "enable"
                rule_save(rule=rule, user=found.user, request=request, enabled=enabled)
            case "delete":
                rule_delete(rule=rule, user=found.user, request=request)
            case _:
                raise Http404
        return redirect("rules")


class RulePage(MemberRequired, View):
    """The sentence builder: its script reads and writes the API."""

    def get(self, request: HttpRequest, rule: int | None = None) -> HttpResponse:
        """The builder, empty or with a rule."""
        organization = access(request).organization
        row = find_rule(organization, rule) if rule is not None else AlertRule(organization=organization)
        vehicles = list(organization.vehicles.filter(archived_at=None)[:MOST_VEHICLES])
        data = {
            "rule": rule_shape(row) if rule is not None else None,
            "signals": _signals(organization),
            "fences": [{"id": fence.public_id, "name": fence.name} for fence in organization.geofences.all()],
            "states": states.STATES, "severities": Severity.values,
            "vehicles": [{"id": vehicle.public_id, "name": vehicle.name} for vehicle in vehicles],
            "groups": list(organization.vehicle_groups.values_list("name", flat=True)),
            "tags": sorted({tag for vehicle in vehicles for tag in vehicle.tags}),
            "channels": [
                {"id": c.public_id, "name": c.name, "kind": c.get_kind_display()} for c in organization.channels.all()
            ],
        }  # fmt: skip
        return render(request, "alerts/rule.html", {"rule": row, "data": data})


def _signals(organization: Organization) -> list[dict[str, Any]]:
    """Signals with the units that thresholds may be given in, those that the vehicles tell first."""
    known = [info for _, info in directory.catalog().values()]
    known += [directory.SignalInfo(s.name, s.unit, s.kind) for s in organization.signals.all()]
    return [{"name": info.name, "units": units.units_of(info.unit), "kind": info.kind} for info in sorted(known)]


class ChannelsPage(MemberRequired, View):
    """The ways to tell people."""

    roles = {"GET": Role.OPERATOR, "POST": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        return self._page(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add, test, quiet, enable or delete one."""
        found = access(request)
        try:
            if request.POST.get("action") == "add":
                channel = _add(request, found.organization, found.user)
                secret = getattr(channel, "shown_secret", "")
                if secret:
                    return self._page(request, secret=secret)
                messages.info(request, f"{channel} was added.")
                return redirect("channels")
            channel = find_channel(found.organization, number_of(Kind.CHANNEL, request.POST.get("channel", "")))
            match request.POST.get("action"):
                case "test":
                    by_hand.queue_test(channel)
                    messages.info(
                        request, f"A test of {channel} is being sent. The log below shows what becomes of it."
                    )
                case "quiet":
                    channel_save(channel=channel, user=found.user, config=None, request=request, **_quiet(request))
                case "enable":
                    channel_save(channel=channel, user=found.user, config=None, request=request)
                case "delete":
                    channel_delete(channel=channel, user=found.user, request=request)
                case _:
                    raise Http404
        except MotorpoolError as error:
            messages.error(request, error.detail)
            return self._page(request, status=error.status)
        return redirect("channels")

    def _page(self, request: HttpRequest, secret: str = "", status: int = 200) -> HttpResponse:
        organization = access(request).organization
        channels = organization.channels.prefetch_related("recipients", "rules")
        context = {
            "rows": [{"channel": channel, "shape": shape(channel)} for channel in channels], "secret": secret,
            "kinds": ChannelKind.choices,
            "log": organization.deliveries.select_related("channel", "alert__vehicle")[:50],
            "severities": Severity.values, "posted": request.POST,
        }  # fmt: skip
        return render(request, "alerts/channels.html", context, status=status)


def _add(request: HttpRequest, organization: Organization, user: Any) -> Channel:
    kind = request.POST.get("kind", "")
    if kind not in ChannelKind.values:
        raise Http404
    target = request.POST.get("target", "").strip()
    config = (
        {"to": [a for a in target.replace(",", " ").split() if a]} if kind == ChannelKind.EMAIL else {"url": target}
    )
    name = name_of(request.POST.get("name", ""), 100) or ChannelKind(kind).label.capitalize()
    channel = Channel(organization=organization)
    return channel_save(channel=channel, user=user, config=config, request=request, kind=kind, name=name)


def _quiet(request: HttpRequest) -> dict[str, Any]:
    start, end = request.POST.get("from", ""), request.POST.get("to", "")
    quiet = {"from": start, "to": end, "passes": request.POST.getlist("passes")} if start and end else None
    return fields_of({"quiet": quiet})


class GeofencesPage(MemberRequired, View):
    """The areas that rules ask for."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        return self._page(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add a circle, import GeoJSON, change or delete one."""
        found = access(request)
        try:
            match request.POST.get("action"):
                case "circle":
                    geometry = {
                        "type": "Point",
                        "coordinates": [_number(request, "longitude"), _number(request, "latitude")],
                    }
                    fence_save(
                        fence=Geofence(organization=found.organization), user=found.user, request=request,
                        name=name_of(request.POST.get("name", ""), 100) or "Circle", geometry=geometry,
                        radius=_number(request, "radius"),
                    )  # fmt: skip
                case "import":
                    count = _import(request, found.organization, found.user)
                    messages.info(request, f"{count} geofences were imported.")
                case "change":
                    fence = find_fence(found.organization, number_of(Kind.GEOFENCE, request.POST.get("fence", "")))
                    radius = _number(request, "radius") if fence.radius is not None else None
                    name = name_of(request.POST.get("name", ""), 100) or fence.name
                    fence_save(fence=fence, user=found.user, request=request, name=name, radius=radius)
                case "delete":
                    fence = find_fence(found.organization, number_of(Kind.GEOFENCE, request.POST.get("fence", "")))
                    fence_delete(fence=fence, user=found.user, request=request)
                case _:
                    raise Http404
        except MotorpoolError as error:
            messages.error(request, error.detail)
            return self._page(request, error.status)
        return redirect("geofences")

    def _page(self, request: HttpRequest, status: int = 200) -> HttpResponse:
        organization = access(request).organization
        fences = list(organization.geofences.all())
        data = [{"id": f.public_id, "name": f.name, "geometry": f.geometry, "radius": f.radius} for f in fences]
        context = {"fences": fences, "data": data, "places": _places(organization)}
        return render(request, "alerts/geofences.html", context, status=status)


def _places(organization: Organization) -> list[dict[str, Any]]:
    """Where vehicles were seen last."""
    vehicles = list(organization.vehicles.filter(archived_at=None)[:MOST_PLACES])
    found = []
    for vehicle, latest in zip(vehicles, latest_of(organization, vehicles), strict=True):
        place = [latest["signals"].get(name, {}).get("value") for name in ("location.latitude", "location.longitude")]
        if None not in place:
            found.append({"name": vehicle.name, "latitude": place[0], "longitude": place[1]})
    return found


def _import(request: HttpRequest, organization: Organization, user: Any) -> int:
    """Geofences of a GeoJSON file or text; all or none.

    Raises:
        MotorpoolError: it is not GeoJSON, or one of them is no fence.
    """
    file = request.FILES.get("file")
    text = file.read().decode("utf-8", "replace") if file is not None else request.POST.get("geojson", "")
    try:
        found = strict_json.loads(text.encode())
        features = found["features"] if found.get("type") == "FeatureCollection" else [found]
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise TypeError
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError, MotorpoolError):
        raise MotorpoolError("This is not GeoJSON (RFC 7946).", status=422) from None
    if len(features) > MOST_IMPORTED:
        raise MotorpoolError(f"A file may hold {MOST_IMPORTED} geofences.", status=422)
    with transaction.atomic():
        for index, feature in enumerate(features, 1):
            properties = feature.get("properties")
            properties = properties if isinstance(properties, dict) else {}
            geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
            geometry = geometry if isinstance(geometry, dict) else {}
            radius = properties.get("radius")
            fence_save(
                fence=Geofence(organization=organization), user=user, request=request, geometry=geometry,
                name=name_of(str(properties.get("name") or ""), 100) or f"Geofence {index}",
                radius=float(radius) if isinstance(radius, (int, float)) else None,
            )  # fmt: skip
    return len(features)


def _number(request: HttpRequest, name: str) -> float:
    try:
        return float(request.POST.get(name, ""))
    except ValueError:
        raise MotorpoolError(f"{name} is a number.", status=422) from None
