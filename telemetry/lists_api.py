"""API of telemetry's lists: the catalog, the rejected-readings inbox."""

from __future__ import annotations

from typing import Any

from rest_framework import generics, serializers

from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.api import NewestFirst
from telemetry.models import RejectedReading, Signal


class SignalOutput(serializers.ModelSerializer[Signal]):
    class Meta:
        model = Signal
        fields = ("name", "unit", "kind", "minimum", "maximum", "description", "obd_pid")


class Signals(generics.ListAPIView[Signal]):
    """The catalog, with the signals that the organization's devices added."""

    queryset = Signal.objects.none()
    serializer_class = SignalOutput

    def get_queryset(self) -> Any:
        mine = access(self.request).organization.signals.all()
        return (mine | Signal.objects.filter(organization=None)).order_by("name")


class RejectedOutput(serializers.ModelSerializer[RejectedReading]):
    class Meta:
        model = RejectedReading
        fields = (
            "id", "received_at", "device_id", "batch", "vehicle", "source", "signal", "time", "value", "code", "detail",
        )  # fmt: skip


class Rejected(generics.ListAPIView[RejectedReading]):
    """Refused readings of the last 30 days, the newest first."""

    roles = {"GET": Role.OPERATOR}
    queryset = RejectedReading.objects.none()
    serializer_class = RejectedOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return access(self.request).organization.rejected_readings.all()
