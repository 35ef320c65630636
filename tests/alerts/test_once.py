"""Every batch ten times to twenty evaluators, workers killed at six points: one alert, one message, none missed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import Alert, Delivery, Evaluation
from telemetry.models import SinkProgress
from tests.alerts.making import make_rule, send
from tests.alerts.test_delivery import alerts_in, email_channel
from tests.browser.demo import Mailbox, mail_server
from tests.conftest import Team
from tests.portal import ROOT, Portal, database_url

POINTS = (
    "before the claim", "after the claim", "before the commit", "after the commit", "before sending", "after sending",
)  # fmt: skip
EVALUATORS = 20
VEHICLES = 12
WORKER = """
import os, sys, django
django.setup()
point = sys.argv[1]
def die(*args, **kwargs):
    os.kill(os.getpid(), 9)
from alerts import delivering
from alerts.evaluation import reconcile, sink
from telemetry import sinks
if point == "before the claim":
    sinks._claim = die
elif point == "after the claim":
    sink.evaluate_batches = die
elif point == "before the commit":
    written = reconcile._write
    def write(*args):
        written(*args)
        die()
    reconcile._write = write
elif point == "after the commit":
    sinks._complete = die
elif point == "before sending":
    delivering._send = die
elif point == "after sending":
    delivering._sent = die
if point not in ("before sending", "after sending"):
    sinks.run_sink("alerts")
delivering.deliver()
"""


def worker(point: str, mail: str) -> subprocess.Popen[bytes]:
    variables = {**os.environ, "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "0"}
    return subprocess.Popen([sys.executable, "-c", WORKER, point], cwd=ROOT, env={**variables, "EMAIL_URL": mail})


def free_leases() -> None:
    """The leases of the dead run out."""
    SinkProgress.objects.filter(sink="alerts").update(lease_until=None, attempts=0)
    Delivery.objects.filter(state="sending").update(lease_until=timezone.now())


@pytest.mark.long
def test_one_alert_one_mail_none_missed(portal: Portal, team: Team) -> None:
    with mail_server() as (mailbox, port):
        _everything_ten_times(portal, team, mailbox, f"smtp://127.0.0.1:{port}")


def _everything_ten_times(portal: Portal, team: Team, mailbox: Mailbox, mail: str) -> None:
    from vehicles.services import vehicle_create

    rule = make_rule(team, channels=[email_channel(team, "driver@example.org")])
    cars = [vehicle_create(organization=team.organization, user=None, name=f"Car {i}") for i in range(VEHICLES)]
    begun = time.time() - 60
    for turn in range(10):
        for index, car in enumerate(cars):
            rows: list[tuple[float, dict[str, Any]]] = [
                (begun + i + index / 100, {"engine.coolant_temp": 115.0 if i >= 5 else 90.0}) for i in range(10)
            ]
            send(portal, team, *rows, vehicle=car)
        if turn == 0:
            for point in POINTS:
                process = worker(point, mail)
                process.wait(60)
                free_leases()
        # What was processed is announced again: the batches are there, and the sink's progress is forgotten.
        SinkProgress.objects.filter(sink="alerts", vehicle_id__in=[car.pk for car in cars]).update(version=0)
        if turn in (3, 6, 9):
            crowd = [worker("none", mail) for _ in range(EVALUATORS)]
            for process in crowd:
                assert process.wait(180) == 0
    alerts = list(Alert.objects.filter(organization=team.organization))
    assert sorted(alert.vehicle_id for alert in alerts) == sorted(car.pk for car in cars)
    assert all(alert.cleared_at is None and alert.withdrawn_at is None for alert in alerts)
    texts = [
        part.get_payload(decode=True).decode()
        for message in alerts_in(mailbox) for part in message.walk() if part.get_content_type() == "text/plain"
    ]  # fmt: skip
    named = Counter(name for text in texts for name in re.findall(r"Car \d+", text))
    assert all(count == 1 for count in named.values())
    deliveries = Delivery.objects.filter(alert__in=alerts)
    assert deliveries.count() == VEHICLES
    # What was being sent when its sender died is unknown; everything else has arrived.
    assert set(deliveries.values_list("state", flat=True)) <= {"sent", "unknown"}
    arrived = set(deliveries.filter(state="sent").values_list("alert__vehicle__name", flat=True))
    assert arrived <= set(named)
    assert Evaluation.objects.filter(vehicle__in=cars).count() == VEHICLES
    assert rule.alerts.count() == VEHICLES
