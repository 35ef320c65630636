"""Alerts on the live stream: each change of one, for the pages that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alerts.models import Alert
from fleet.lib.api import rfc3339
from fleet.lib.public_ids import Kind, public_id
from telemetry.live import messages, notify

_encoder = msgspec.json.Encoder()


def publish(alerts: Sequence[Alert]) -> None:
    """Tell the hubs of alerts as they are now."""
    by_organization: dict[int, list[messages.Message]] = {}
    for alert in alerts:
        news = messages.Alert(alert.vehicle_id, alert.pk, _encoder.encode(summary(alert)).decode())
        by_organization.setdefault(alert.organization_id, []).append(news)
    for organization_id, listed in by_organization.items():
        notify.publish(organization_id, listed)


def summary(alert: Alert) -> dict[str, Any]:
    """What a page shows of an alert at once."""
    return {
        "id": alert.public_id, "rule": public_id(Kind.RULE, alert.rule_id) if alert.rule_id else None,
        "rule_name": alert.rule_name, "vehicle": public_id(Kind.VEHICLE, alert.vehicle_id),
        "vehicle_name": alert.vehicle.name, "severity": alert.severity, "state": alert.state,
        "opened_at": rfc3339(alert.opened_at), "cleared_at": rfc3339(alert.cleared_at),
        "acknowledged_at": rfc3339(alert.acknowledged_at), "known_at": rfc3339(alert.known_at), "value": alert.value,
    }  # fmt: skip
