"""The doors to one rule, alert, channel or fence, within the organization."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet

from alerts.models import Alert, AlertRule, Channel, Geofence
from fleet.accounts.models import Organization
from fleet.lib.api import NotFound

M = TypeVar("M", bound=Model)


def _one(rows: QuerySet[M], pk: int) -> M:
    found = rows.filter(pk=pk).first()
    if found is None:
        raise NotFound
    return found


def find_rule(organization: Organization, pk: int) -> AlertRule:
    """A rule; raises `NotFound`."""
    return _one(organization.alert_rules.all(), pk)


def find_alert(organization: Organization, pk: int) -> Alert:
    """An alert, withdrawn ones too; raises `NotFound`."""
    return _one(organization.alerts.select_related("vehicle", "rule", "assigned_to", "acknowledged_by"), pk)


def find_channel(organization: Organization, pk: int) -> Channel:
    """A channel; raises `NotFound`."""
    return _one(organization.channels.all(), pk)


def find_fence(organization: Organization, pk: int) -> Geofence:
    """A geofence; raises `NotFound`."""
    return _one(organization.geofences.all(), pk)
