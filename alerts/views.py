"""Pages of alerts: the inbox and one alert."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views import View
from rest_framework.exceptions import ValidationError

from alerts import by_hand, delivering, handling
from alerts.access import find_alert
from alerts.api import as_csv, chosen
from alerts.models import Alert, Severity
from alerts.wire import is_fact, signal_names
from fleet.accounts.access import Access, MemberRequired, access
from fleet.accounts.models import Organization, Role
from fleet.lib.errors import MotorpoolError
from fleet.lib.ids import name_of, uuid_of
from fleet.lib.public_ids import Kind, number_of
from vehicles.models import Vehicle

PER_PAGE = 50
TABS = ("open", "acknowledged", "cleared", "")
SNOOZES = {"1h": timedelta(hours=1), "8h": timedelta(hours=8), "1d": timedelta(days=1), "7d": timedelta(days=7)}
AROUND = timedelta(minutes=10)


class Inbox(MemberRequired, View):
    """Alerts by state, with filters; what many say is done to many at once."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """The page, or all that the filters leave as CSV."""
        organization = access(request).organization
        query = request.GET.copy()
        query.setdefault("state", "open")
        try:
            alerts = chosen(organization, query)
        except ValidationError:
            raise Http404 from None
        if query.get("download") == "csv":
            return as_csv(alerts)
        page = Paginator(alerts.select_related("assigned_to"), PER_PAGE).get_page(query.get("page"))
        tabs = [
            {"state": state, "word": (state or "all").capitalize(), "count": _count(organization, state)}
            for state in TABS
        ]
        context = {
            "page": page, "rows": _grouped(list(page.object_list)) if query.get("group") else _alone(page.object_list),
            "tabs": tabs, "query": query, "severities": Severity.values,
            "filtered": any(query.get(name) for name in ("search", "severity", "vehicle", "rule", "from", "to")),
        }  # fmt: skip
        return render(request, "alerts/inbox.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Acknowledge or resolve the chosen ones."""
        found = access(request)
        ids = [number_of(Kind.ALERT, words) for words in request.POST.getlist("alert")]
        rows = list(found.organization.alerts.filter(pk__in=ids[:PER_PAGE]))
        if not rows and ids:
            raise Http404
        for alert in rows:
            if request.POST.get("action") == "resolve":
                handling.resolve(alert=alert, user=found.user)
            else:
                handling.acknowledge(alert=alert, user=found.user)
        return redirect(request.get_full_path())


def _count(organization: Any, state: str) -> int | None:
    """How many there are, where people look at that."""
    return organization.alerts.in_state(state).count() if state in ("open", "acknowledged") else None


def _alone(alerts: Any) -> list[dict[str, Any]]:
    return [{"alert": alert, "count": 1} for alert in alerts]


def _grouped(alerts: list[Alert]) -> list[dict[str, Any]]:
    """The newest alert of each rule and vehicle, with how many of the page it stands for."""
    groups: dict[tuple[str, int], dict[str, Any]] = {}
    for alert in alerts:
        entry = groups.setdefault((alert.rule_name, alert.vehicle_id), {"alert": alert, "count": 0})
        entry["count"] += 1
    return list(groups.values())


class AlertPage(MemberRequired, View):
    """One alert: what was so, what happened since, and what is to be done."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest, alert: int) -> HttpResponse:
        """The page."""
        found = access(request)
        row = find_alert(found.organization, alert)
        rule = row.rule
        names: set[str] = set()
        if rule is not None and not is_fact(rule.condition):
            names = signal_names(rule.condition)
        end = (row.cleared_at or timezone.now()) + AROUND
        context = {
            "alert": row, "events": row.events.select_related("user"),
            "deliveries": row.deliveries.select_related("channel").order_by("created_at"), "again": delivering.OVER,
            "members": found.organization.members.order_by("email"), "signals": ",".join(sorted(names)),
            "chart_from": (row.opened_at - AROUND).timestamp(),
            "chart_to": min(end, row.opened_at + timedelta(hours=6)).timestamp(), "snoozes": SNOOZES,
        }  # fmt: skip
        return render(request, "alerts/alert.html", context)

    def post(self, request: HttpRequest, alert: int) -> HttpResponse:
        """Do something with it."""
        found = access(request)
        row = find_alert(found.organization, alert)
        try:
            _do(request, found, row)
        except MotorpoolError as error:
            messages.error(request, error.detail)
        return redirect("alert", alert=row.pk)


def _do(request: HttpRequest, found: Access, row: Alert) -> None:
    match request.POST.get("action"):
        case "acknowledge":
            handling.acknowledge(alert=row, user=found.user)
        case "resolve":
            handling.resolve(alert=row, user=found.user, words=name_of(request.POST.get("words", ""), 2_000))
        case "snooze":
            length = SNOOZES.get(request.POST.get("length", ""), SNOOZES["1h"])
            handling.snooze(alert=row, user=found.user, until=timezone.now() + length)
        case "assign":
            wanted = request.POST.get("user", "")
            to = found.organization.members.filter(pk=number_of(Kind.USER, wanted)).first()
            if wanted and to is None:
                raise Http404
            handling.assign(alert=row, user=found.user, to=to)
        case "comment":
            handling.comment(alert=row, user=found.user, words=name_of(request.POST.get("words", ""), 2_001))
        case "resend":
            key = uuid_of(request.POST.get("delivery", ""))
            delivery = row.deliveries.filter(pk=key).first() if key else None
            if delivery is None:
                raise Http404
            by_hand.send_again(delivery)
            messages.info(request, "It is sent again now.")
        case _:
            raise Http404


def overview_panel(organization: Organization) -> dict[str, Any]:
    """Whether anything is wrong now: how many are open of each severity, and the worst of them."""
    counts = dict(organization.alerts.unseen().order_by().values_list("severity").annotate(count=Count("pk")))
    listed = [{"severity": s, "count": counts[s]} for s in reversed(Severity.values) if s in counts]
    worst = None
    if listed:
        worst = organization.alerts.unseen().filter(severity=listed[0]["severity"]).select_related("vehicle").first()
    return {"template": "alerts/band.html", "counts": listed, "worst": worst}


def vehicle_panel(vehicle: Vehicle) -> dict[str, Any] | None:
    """What is open on a vehicle."""
    alerts = list(vehicle.alerts.open()[:10])
    return {"template": "alerts/panel.html", "alerts": alerts} if alerts else None
