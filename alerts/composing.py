"""Turn due deliveries into messages: one alert, or a digest that names them all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from alerts.channels import Line, Message
from alerts.models import Alert, Channel, Delivery
from alerts.news import summary
from telemetry.units import rounded

MOST_IN_BODY = 1_000
_BEGINNINGS = {"escalated": "Still open: ", "cleared": "Over: "}


def message_of(delivery: Delivery) -> Message:
    """What a delivery of one alert, or a test, says."""
    channel = delivery.channel
    if delivery.alert is None:
        line = Line(0, "Test", "no vehicle", "info", "test", "now", "", "", f"{settings.BASE_URL}/channels")
        test = {"type": "test", "id": str(delivery.pk), "channel": channel.public_id}
        return Message(delivery, f"Test of {channel.name}", [line], test, line.url)
    line = line_of(delivery.alert, channel)
    body: dict[str, Any] = {
        "type": f"alert.{delivery.kind}",
        "id": str(delivery.pk),
        "url": line.url,
        "alert": summary(delivery.alert),
    }
    return Message(delivery, _subject(delivery.kind, line), [line], body, line.url)


def _subject(kind: str, line: Line) -> str:
    """What a message of one alert begins with."""
    return f"{_BEGINNINGS.get(kind, '')}{line.rule} – {line.vehicle}"


def digest_of(delivery: Delivery, members: Sequence[Delivery]) -> Message:
    """What one message for many says; every alert is named."""
    alerts = list({member.alert.pk: member.alert for member in members if member.alert is not None}.values())
    lines = [line_of(alert, delivery.channel) for alert in alerts]
    url = f"{settings.BASE_URL}/alerts"
    body = {
        "type": "alerts.digest", "id": str(delivery.pk), "count": len(alerts), "url": url,
        "alerts": [summary(alert) for alert in alerts[:MOST_IN_BODY]],
    }  # fmt: skip
    worst = {line.severity for line in lines}
    word = next((s for s in ("critical", "warning", "info") if s in worst), "info")
    subject = f"{len(lines)} alerts, the worst {word}"
    if len(lines) == 1:
        subject = _subject("cleared" if lines[0].ended else "opened", lines[0])
    return Message(delivery, subject, lines, body, url)


def line_of(alert: Alert, channel: Channel) -> Line:
    """An alert in the organization's time zone."""
    zone = ZoneInfo(channel.organization.time_zone)

    def local(moment: datetime | None) -> str:
        return timezone.localtime(moment, zone).strftime("%Y-%m-%d %H:%M:%S %Z") if moment else ""

    return Line(
        alert.pk, alert.rule_name, alert.vehicle.name, alert.severity, alert.state, local(alert.opened_at),
        local(alert.cleared_at or alert.withdrawn_at),
        alert.evidence.get("shown") or words_of(alert.value),
        f"{settings.BASE_URL}/alerts/{alert.public_id}",
    )  # fmt: skip


def words_of(value: Any) -> str:
    """An alert's value as people read it."""
    if value is None:
        return ""
    return rounded(float(value)) if isinstance(value, (int, float)) else str(value)
