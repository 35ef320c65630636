"""Alerts in the Django admin: to look at; secrets are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from alerts.models import Alert, AlertRule, Channel, Delivery, Geofence


class _ReadOnly(admin.ModelAdmin[Any]):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AlertRule)
class AlertRuleAdmin(_ReadOnly):
    list_display = ("name", "organization", "severity", "enabled", "updated_at")
    list_filter = ("severity", "enabled")
    search_fields = ("name", "organization__name")


@admin.register(Alert)
class AlertAdmin(_ReadOnly):
    list_display = ("rule_name", "vehicle", "organization", "severity", "opened_at", "cleared_at")
    list_filter = ("severity",)
    search_fields = ("rule_name", "vehicle__name")


@admin.register(Geofence)
class GeofenceAdmin(_ReadOnly):
    list_display = ("name", "organization", "radius")


@admin.register(Channel)
class ChannelAdmin(_ReadOnly):
    list_display = ("name", "kind", "organization", "disabled_at", "disabled_because")
    exclude = ("secret",)


@admin.register(Delivery)
class DeliveryAdmin(_ReadOnly):
    list_display = ("created_at", "channel", "recipient", "kind", "state", "words")
    list_filter = ("state", "kind")
