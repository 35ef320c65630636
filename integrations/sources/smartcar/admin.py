"""Django admin of connections: everything to look at, tokens never; who runs the portal ties unknown vehicles here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from integrations.sources.smartcar.models import Account, Application, CloudVehicle, WebhookEndpoint, WebhookEvent
from integrations.sources.smartcar.processing import claim_waiting, replay


class ReadOnly(admin.ModelAdmin[Any]):
    """Looked at, not changed."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nothing is added by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor changed."""
        return False


@admin.register(Application)
class ApplicationAdmin(ReadOnly):
    list_display = ("id", "access_expires_at", "bucket", "paused_until", "used_total")
    exclude = ("access_token",)


@admin.register(Account)
class AccountAdmin(ReadOnly):
    list_display = ("id", "organization", "user_id", "generation", "state", "error", "connected_by", "connected_at")
    list_filter = ("generation", "state")
    search_fields = ("user_id", "organization__name")
    exclude = ("access_token", "refresh_token")


class CloudVehicleForm(forms.ModelForm[CloudVehicle]):
    """Refuses what does not belong together."""

    def clean(self) -> dict[str, Any]:
        """Account and vehicle are of the organization."""
        found: dict[str, Any] = super().clean() or {}
        for name in ("account", "vehicle"):
            if found.get(name) and found[name].organization != found.get("organization"):
                self.add_error(name, "It belongs to another organization.")
        return found


@admin.register(CloudVehicle)
class CloudVehicleAdmin(admin.ModelAdmin[CloudVehicle]):
    form = CloudVehicleForm
    list_display = ("id", "organization", "vehicle", "remote_id", "last_sync", "last_webhook", "requests", "error_code")
    search_fields = ("remote_id", "vehicle__name", "organization__name")
    fields = ("organization", "account", "vehicle", "remote_id", "connection_id", "connected_at", "disconnected_at",
              "error")  # fmt: skip
    raw_id_fields = ("organization", "account", "vehicle")

    def save_model(self, request: HttpRequest, obj: CloudVehicle, form: Any, change: bool) -> None:
        """Save it, and process what waited for the vehicle."""
        super().save_model(request, obj, form, change)
        claim_waiting([str(obj.remote_id)])


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnly):
    list_display = ("__str__", "armed_until", "verified_at")
    exclude = ("key",)


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnly):
    list_display = ("id", "event_id", "kind", "state", "deliveries", "readings", "received_at", "detail")
    list_filter = ("state", "kind")
    actions = ("process_again",)
    search_fields = ("event_id", "user_id")
    exclude = ("body",)
    show_full_result_count = False

    @admin.action(description="Process again")
    def process_again(self, request: HttpRequest, events: Any) -> None:
        """What is stored already stays as it is."""
        self.message_user(request, f"{replay(events)} are processed again.")
