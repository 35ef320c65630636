"""The staff's view of vehicles and devices."""

from __future__ import annotations

from django.contrib import admin

from vehicles.models import Device, Vehicle


@admin.register(Vehicle)
class VehicleAdmin(admin.ModelAdmin[Vehicle]):
    list_display = ["name", "organization", "vin", "make", "model", "year", "archived_at"]
    list_select_related = ["organization"]
    search_fields = ["name", "vin"]
    readonly_fields = ["organization"]
    exclude = ["groups"]

    def has_add_permission(self, request: object) -> bool:
        """Vehicles are added in the portal, within their organization."""
        return False


@admin.register(Device)
class DeviceAdmin(admin.ModelAdmin[Device]):
    list_display = ["name", "organization", "prefix", "last_seen", "revoked_at"]
    list_select_related = ["organization"]
    exclude = ["sha256", "vehicles"]
    readonly_fields = ["organization", "prefix", "created_by", "last_seen"]

    def has_add_permission(self, request: object) -> bool:
        """Keys are made in the portal, where they are shown once."""
        return False
