"""API of signals, and of rejected readings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.api import NewestFirst, NotFound
from fleet.lib.fields import PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind
from telemetry.models import RejectedReading, Signal
from telemetry.selectors import rejected_of
from telemetry.services import KINDS, signal_create, signal_update

NO_DEVICE = "Null: what the portal fetched itself."


class SignalOutput(serializers.ModelSerializer[Signal]):
    own = serializers.SerializerMethodField(help_text="Of the organization, not of the catalog.")

    class Meta:
        model = Signal
        fields = ("name", "unit", "kind", "minimum", "maximum", "description", "obd_pid", "own")

    def get_own(self, signal: Signal) -> bool:
        return signal.organization_id is not None


class SignalChange(StrictSerializer):
    """What can be changed of a signal of one's own."""

    kind = serializers.ChoiceField(choices=KINDS, required=False)
    unit = serializers.CharField(max_length=20, required=False, allow_blank=True)
    minimum = serializers.FloatField(required=False, allow_null=True)
    maximum = serializers.FloatField(required=False, allow_null=True)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)


class SignalInput(SignalChange):
    """A new signal."""

    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField(choices=KINDS)


class Signals(generics.ListAPIView[Signal]):
    """The catalog, with the organization's own signals."""

    roles = {"POST": Role.ADMIN}
    queryset = Signal.objects.none()
    serializer_class = SignalOutput

    def get_queryset(self) -> Any:
        mine = access(self.request).organization.signals.all()
        return (mine | Signal.objects.filter(organization=None)).order_by("name")

    @extend_schema(request=SignalInput, responses={201: SignalOutput})
    def post(self, request: Request) -> Response:
        """Add a signal of the organization's own before its first reading."""
        given = SignalInput(data=request.data)
        given.is_valid(raise_exception=True)
        found = access(request)
        signal = signal_create(
            organization=found.organization, user=found.user, request=request, **given.validated_data
        )
        return Response(SignalOutput(signal).data, 201)


class SignalDetail(APIView):
    """One signal by its name."""

    roles = {"PATCH": Role.ADMIN}

    @extend_schema(responses=SignalOutput)
    def get(self, request: Request, name: str) -> Response:
        """A signal of the catalog or of the organization."""
        found = access(request).organization.signals.filter(name=name).first()
        found = found or Signal.objects.filter(organization=None, name=name).first()
        if found is None:
            raise NotFound
        return Response(SignalOutput(found).data)

    @extend_schema(request=SignalChange, responses=SignalOutput)
    def patch(self, request: Request, name: str) -> Response:
        """Change a signal of the organization's own: its kind, unit, range or description."""
        found = access(request)
        signal = found.organization.signals.filter(name=name).first()
        if signal is None:
            raise NotFound
        given = SignalChange(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(
            SignalOutput(signal_update(signal=signal, user=found.user, request=request, **given.validated_data)).data
        )


_DAYS = OpenApiParameter("days", {"type": "integer", "minimum": 0, "maximum": 99_999, "default": 30})


class RejectedOutput(serializers.ModelSerializer[RejectedReading]):
    id = own_id(Kind.REJECTED)
    device = PublicId(Kind.DEVICE, source="device_id", read_only=True, help_text=NO_DEVICE)

    class Meta:
        model = RejectedReading
        fields = (
            "id", "received_at", "device", "batch", "vehicle", "source", "signal", "time", "value", "code", "detail",
        )  # fmt: skip


_FILTERS = [
    OpenApiParameter("device", str, description="The ID of a device; `portal`: what the portal fetched itself."),
    OpenApiParameter("code", str, description="The reason, such as out_of_range."),
    OpenApiParameter("signal", str),
]


@extend_schema(parameters=_FILTERS)
class Rejected(generics.ListAPIView[RejectedReading]):
    """Rejected readings of the last 30 days, the newest first; of many alike the first of each day are kept."""

    roles = {"GET": Role.OPERATOR}
    queryset = RejectedReading.objects.none()
    serializer_class = RejectedOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        query = self.request.query_params
        return rejected_of(
            access(self.request).organization.rejected_readings.all(),
            query.get("device", ""), query.get("code", ""), query.get("signal", ""),
        )  # fmt: skip


class RejectedCountOutput(serializers.Serializer[Any]):
    device = PublicId(Kind.DEVICE, source="device_id", allow_null=True, help_text=NO_DEVICE)
    code = serializers.CharField()
    signal = serializers.CharField()
    count = serializers.IntegerField(source="total")


class RejectedCountsOutput(serializers.Serializer[Any]):
    results = RejectedCountOutput(many=True)


class RejectedCounts(APIView):
    """How many readings were rejected, by device, reason and signal; nothing is left out."""

    roles = {"GET": Role.OPERATOR}

    @extend_schema(parameters=[*_FILTERS, _DAYS], responses=RejectedCountsOutput)
    def get(self, request: Request) -> Response:
        """The counts of the last days (30 by default), the largest first."""
        query = request.query_params
        asked = query.get("days", "30")
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= 5):
            raise serializers.ValidationError({"days": ["Give a whole number."]})
        days = min(int(asked), 366)
        rows = rejected_of(
            access(request).organization.rejection_counts.filter(day__gte=timezone.now().date() - timedelta(days=days)),
            query.get("device", ""), query.get("code", ""), query.get("signal", ""),
        )  # fmt: skip
        found = rows.values("device_id", "code", "signal").annotate(total=Sum("count")).order_by("-total")[:500]
        return Response(RejectedCountsOutput({"results": found}).data)
