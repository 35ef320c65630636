"""API of alerts: the inbox, and what people do with an alert."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts import handling
from alerts.access import find_alert
from alerts.models import Alert, AlertEvent, Severity
from fleet.accounts.access import access
from fleet.accounts.models import Organization, Role
from fleet.lib.api import BoundedPages, NotFound, choice_of, parse_time, rfc3339
from fleet.lib.fields import Moment, PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind, number_of
from vehicles.access import find_vehicle

STATES = ("open", "acknowledged", "cleared", "withdrawn")
_CSV = ("id", "rule", "vehicle", "severity", "state", "opened_at", "cleared_at", "acknowledged_at", "value")


class AlertOutput(serializers.ModelSerializer[Alert]):
    """An alert in a list."""

    id = own_id(Kind.ALERT)
    rule = PublicId(Kind.RULE, source="rule_id", read_only=True)
    vehicle = PublicId(Kind.VEHICLE, source="vehicle_id", read_only=True)
    acknowledged_by = PublicId(Kind.USER, source="acknowledged_by_id", read_only=True)
    assigned_to = PublicId(Kind.USER, source="assigned_to_id", read_only=True)
    vehicle_name = serializers.CharField(source="vehicle.name")
    state = serializers.CharField()

    class Meta:
        model = Alert
        fields = (
            "id", "rule", "rule_name", "vehicle", "vehicle_name", "severity", "state", "opened_at", "cleared_at",
            "acknowledged_at", "acknowledged_by", "assigned_to", "snoozed_until", "resolved_at", "withdrawn_at",
            "known_at", "told_at", "value", "evidence",
        )  # fmt: skip


class EventOutput(serializers.ModelSerializer[AlertEvent]):
    """A line of a timeline."""

    id = own_id(Kind.ALERT_EVENT)
    user = serializers.CharField(allow_null=True)

    class Meta:
        model = AlertEvent
        fields = ("id", "at", "kind", "user", "words")


class NewestOpened(BoundedPages, CursorPagination):
    """By the time at which they opened."""

    ordering = ("-opened_at", "-id")

    def decode_cursor(self, request: Any) -> Any:
        """The cursor, where its position is a time; 404 like any other cursor that is none."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            try:
                parse_time(cursor.position, "cursor")
            except serializers.ValidationError:
                raise NotFound("Invalid cursor") from None
        return cursor


def chosen(organization: Organization, query: Any) -> Any:
    """The organization's alerts that a query string asks for.

    Raises:
        ValidationError, NotFound: it cannot be understood, or names a vehicle of nobody here.
    """
    alerts = organization.alerts.in_state(choice_of(query, "state", STATES)).select_related("vehicle")
    if query.get("vehicle"):
        alerts = alerts.filter(vehicle=find_vehicle(organization, query["vehicle"]))
    if query.get("rule"):
        rule_id = number_of(Kind.RULE, query["rule"])
        if not rule_id:
            raise serializers.ValidationError({"rule": ["The ID of a rule."]})
        alerts = alerts.filter(rule_id=rule_id)
    severity = choice_of(query, "severity", Severity.values)
    if severity:
        alerts = alerts.filter(severity=severity)
    if query.get("search"):
        alerts = alerts.filter(rule_name__icontains=query["search"][:100]) | alerts.filter(
            vehicle__name__icontains=query["search"][:100]
        )
    if query.get("from"):
        alerts = alerts.filter(opened_at__gte=parse_time(query["from"], "from"))
    if query.get("to"):
        alerts = alerts.filter(opened_at__lt=parse_time(query["to"], "to"))
    return alerts


class Alerts(generics.GenericAPIView[Alert]):
    """The organization's alerts, the newest first."""

    queryset = Alert.objects.none()
    serializer_class = AlertOutput
    pagination_class = NewestOpened

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=("", *STATES)),
            OpenApiParameter("severity", str, enum=("", *Severity.values)),
            OpenApiParameter("download", str, enum=("", "csv")),
            *(OpenApiParameter(name, str) for name in ("vehicle", "rule", "search", "from", "to")),
        ],
        responses={(200, "application/json"): AlertOutput(many=True), (200, "text/csv"): str},
    )
    def get(self, request: Request) -> Any:
        """A page of alerts; with ``download=csv`` all of them as CSV."""
        alerts = chosen(access(request).organization, request.query_params)
        if choice_of(request.query_params, "download", ("csv",)):
            return as_csv(alerts)
        page = self.paginate_queryset(alerts)
        return self.get_paginated_response(AlertOutput(page, many=True).data)


MOST_DOWNLOADED = 100_000
"""Alerts in one file."""


class _Line:
    def write(self, text: str) -> str:
        return text


def as_csv(alerts: Any) -> HttpResponse:
    """Alerts as a file of CSV, written whole before it is sent, so that no slow reader keeps a thread.

    Raises:
        ValidationError: they are more than `MOST_DOWNLOADED`.
    """
    if alerts.order_by()[: MOST_DOWNLOADED + 1].count() > MOST_DOWNLOADED:
        raise serializers.ValidationError(
            {"download": [f"These are more than {MOST_DOWNLOADED} alerts: choose a shorter time."]}
        )
    response = HttpResponse("".join(_rows_of_csv(alerts)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="alerts.csv"'
    return response


def _rows_of_csv(alerts: Any) -> Iterator[str]:
    """A text that a spreadsheet would calculate is made harmless."""
    writer = csv.writer(_Line())
    yield writer.writerow(_CSV)  # type: ignore[misc]
    for alert in alerts.iterator(chunk_size=2_000):
        cells = [
            alert.public_id, alert.rule_name, alert.vehicle.name, alert.severity, alert.state, rfc3339(alert.opened_at),
            rfc3339(alert.cleared_at), rfc3339(alert.acknowledged_at), alert.value,
        ]  # fmt: skip
        yield writer.writerow([f"'{c}" if isinstance(c, str) and c[:1] in "=+-@\t" else c for c in cells])  # type: ignore[misc]


class AlertCount(APIView):
    """What the bell shows."""

    class Output(serializers.Serializer[Any]):
        open = serializers.IntegerField()

    @extend_schema(responses=Output)
    def get(self, request: Request) -> Response:
        """How many alerts are open and acknowledged by nobody."""
        return Response({"open": access(request).organization.alerts.unseen().count()})


class AlertDetail(APIView):
    """One alert."""

    @extend_schema(responses=AlertOutput)
    def get(self, request: Request, alert: int) -> Response:
        """The alert with its timeline and what was sent of it."""
        row = find_alert(access(request).organization, alert)
        sent = row.deliveries.select_related("channel").order_by("created_at")
        body = dict(AlertOutput(row).data)
        body["events"] = EventOutput(row.events.select_related("user"), many=True).data
        body["deliveries"] = [
            {
                "id": d.pk, "channel": d.channel.public_id, "channel_name": d.channel.name, "kind": d.kind,
                "recipient": d.recipient, "state": d.state, "words": d.words, "sent_at": d.sent_at,
            }
            for d in sent
        ]  # fmt: skip
        return Response(body)


class _Action(APIView):
    """Something that an operator does with an alert."""

    roles = {"POST": Role.OPERATOR}


class Acknowledge(_Action):
    """Somebody has seen it."""

    @extend_schema(request=None, responses=AlertOutput)
    def post(self, request: Request, alert: int) -> Response:
        """Acknowledge; twice changes nothing."""
        found = access(request)
        row = handling.acknowledge(alert=find_alert(found.organization, alert), user=found.user)
        return Response(AlertOutput(row).data)


class Resolve(_Action):
    """It is settled."""

    class Input(StrictSerializer):
        words = serializers.CharField(required=False, allow_blank=True, max_length=2_000)

    @extend_schema(request=Input, responses=AlertOutput)
    def post(self, request: Request, alert: int) -> Response:
        """Clear by hand."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        row = handling.resolve(alert=find_alert(found.organization, alert), user=found.user, **data.validated_data)
        return Response(AlertOutput(row).data)


class Snooze(_Action):
    """Later."""

    class Input(StrictSerializer):
        until = Moment()

    @extend_schema(request=Input, responses=AlertOutput)
    def post(self, request: Request, alert: int) -> Response:
        """Tell nobody until a time."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        row = handling.snooze(alert=find_alert(found.organization, alert), user=found.user, **data.validated_data)
        return Response(AlertOutput(row).data)


class Assign(_Action):
    """Whose it is."""

    class Input(StrictSerializer):
        user = PublicId(Kind.USER, allow_null=True)

    @extend_schema(request=Input, responses=AlertOutput)
    def post(self, request: Request, alert: int) -> Response:
        """Make it a member's, or nobody's."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        row = find_alert(found.organization, alert)
        to = None
        if data.validated_data["user"] is not None:
            to = found.organization.members.filter(pk=data.validated_data["user"]).first()
            if to is None:
                raise serializers.ValidationError({"user": ["There is no such member here."]})
        return Response(AlertOutput(handling.assign(alert=row, user=found.user, to=to)).data)


class Comments(_Action):
    """What people say of it."""

    class Input(StrictSerializer):
        words = serializers.CharField(max_length=2_000)

    @extend_schema(request=Input, responses={201: EventOutput})
    def post(self, request: Request, alert: int) -> Response:
        """Add a comment."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        event = handling.comment(alert=find_alert(found.organization, alert), user=found.user, **data.validated_data)
        return Response(EventOutput(event).data, status=status.HTTP_201_CREATED)
