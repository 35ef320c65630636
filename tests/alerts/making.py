"""Rules and readings for the tests of alerts."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from alerts.models import Alert, AlertRule, Evaluation
from alerts.services import rule_save
from telemetry import sinks
from telemetry.models import SinkProgress
from tests.conftest import Team
from tests.portal import Portal

HOT = {"signal": "engine.coolant_temp", "op": ">", "value": 110}


def make_rule(team: Team, condition: dict[str, Any] | None = None, **fields: Any) -> AlertRule:
    """A rule that has been there for a week."""
    fields.setdefault("name", "Coolant hot")
    rule = rule_save(
        rule=AlertRule(organization=team.organization), user=team.users["admin"], condition=condition or HOT, **fields
    )
    AlertRule.objects.filter(pk=rule.pk).update(begins=timezone.now() - timedelta(days=6), revision=2)
    rule.refresh_from_db()
    return rule


def send(
    portal: Portal, team: Team, *readings: tuple[float, dict[str, Any]], vehicle: Any = None, source: str = "obd"
) -> None:
    """Readings as (epoch seconds, values) in one batch."""
    rows = [
        {"vehicle": (vehicle or team.vehicle).public_id, "time": round(at, 6), "values": values, "source": source}
        for at, values in readings
    ]
    with portal.client(team.key) as client:
        answer = client.post("/api/v1/telemetry", json={"rows": rows})
        assert answer.status_code == 200, answer.text
        assert not answer.json()["rejected"], answer.text


def hot(portal: Portal, team: Team, *readings: tuple[float, float], **more: Any) -> None:
    """Coolant temperatures, by seconds from now."""
    now = time.time()
    send(portal, team, *[(now + at, {"engine.coolant_temp": value}) for at, value in readings], **more)


def evaluate() -> None:
    """What the worker does once the doorbell rang."""
    SinkProgress.objects.filter(sink="alerts").update(lease_until=None)
    sinks.run_sink("alerts")


def look_again_now(team: Team) -> None:
    Evaluation.objects.filter(organization=team.organization, look_again__isnull=False).update(
        look_again=timezone.now()
    )


def alerts_of(team: Team) -> list[Alert]:
    return list(Alert.objects.standing().filter(organization=team.organization).order_by("opened_at"))
