"""Ten thousand vehicles fire at once: how many mails leave, and what web and ingest feel of it."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from django.utils import timezone

from alerts.models import Alert, AlertRule, Channel, Recipient
from bench import data
from bench.load import Connection, request
from fleet.accounts.models import Organization, User
from vehicles.models import Vehicle
from vehicles.services import device_create

if TYPE_CHECKING:
    from bench.run import Bench

VEHICLES = 10_000
SECONDS = 15
_WORKER = (
    "import django; django.setup()\nfrom alerts import delivering\nfrom telemetry import sinks\nimport os, time\n"
    "os.nice(5)\nwhile True:\n    time.sleep(0.25)\n    sinks.run_sink('alerts')\n    delivering.deliver()\n"
)
_BUSY = (
    "import django; django.setup()\nfrom django.db import connection\nimport os, time\nos.nice(5)\n"
    "cursor = connection.cursor()\n"
    "while True:\n    cursor.execute('SELECT sum(sqrt(i)) FROM generate_series(1, 300000) i')\n"
    "    end = time.time() + 0.04\n    while time.time() < end: pass\n"
)
"""A worker and its database session that keep a core busy and write nothing: what sharing the machine costs alone."""


class _Mails(Message):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def handle_message(self, message: Any) -> None:
        self.count += 1


def storm(bench: Bench) -> None:
    """Latencies of a quiet tenant's page and ingest, before and while another tenant's fleet fires."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    mails = _Mails()
    server = Controller(mails, hostname="127.0.0.1", port=port)
    server.start()
    organization = Organization.objects.create(name="Bench storm")
    vehicles = Vehicle.objects.bulk_create(Vehicle(organization=organization, name=f"Car {i}") for i in range(VEHICLES))
    _, key = device_create(organization=organization, user=User.objects.latest("pk"), name="storm")
    channel = Channel.objects.create(organization=organization, kind="email", name="Mail")
    Recipient.objects.create(channel=channel, address="boss@example.org", confirmed_at=timezone.now())
    condition = {"signal": "engine.coolant_temp", "op": ">", "value": 110}
    rule = AlertRule.objects.create(organization=organization, name="Hot", condition=condition)
    rule.channels.set([channel])
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER], env={**os.environ, "EMAIL_URL": f"smtp://127.0.0.1:{port}"}
    )
    try:
        _measure(bench, mails, rule, vehicles, key)
    finally:
        worker.terminate()
        worker.wait(20)
        server.stop()


def _measure(bench: Bench, mails: _Mails, rule: AlertRule, vehicles: list[Vehicle], key: str) -> None:
    time.sleep(3)
    quiet = _latencies(bench)
    busy = subprocess.Popen([sys.executable, "-c", _BUSY])
    time.sleep(3)
    computing = _latencies(bench)
    busy.terminate()
    busy.wait(20)
    now = time.time()
    opened = Connection(bench.portal.port)
    for part in range(0, VEHICLES, 500):
        blocks = [
            {"vehicle": v.public_id, "source": "obd", "signals": ["engine.coolant_temp"], "frames": [[now, 115.0]]}
            for v in vehicles[part : part + 500]
        ]
        status, body = opened.send(data.post_body(key, {"blocks": blocks}))
        assert status == 200, body[:200]
    stormy = _latencies(bench)
    deadline = time.monotonic() + 120
    while (found := Alert.objects.filter(rule=rule).count()) < VEHICLES and time.monotonic() < deadline:
        time.sleep(0.5)
    took = time.time() - now
    time.sleep(8)
    bench.note(
        f"(j) {VEHICLES:,} vehicles fire at once",
        found / took,
        "alerts/s",
        all_after_s=round(took, 1),
        mails=mails.count,
    )
    for name, alone, beside, after in zip(("page", "ingest"), quiet, computing, stormy, strict=True):
        bench.note(
            f"(j) a quiet tenant's {name}, beside it", after[0], "ms (p50)", p99_ms=after[1],
            alone=" / ".join(map(str, alone)), beside_a_busy_core=" / ".join(map(str, beside)),
        )  # fmt: skip


def _latencies(bench: Bench) -> list[tuple[float, float]]:
    """p50 and p99 in milliseconds of a list of vehicles and of one frame's ingest, asked in turn."""
    opened = Connection(bench.portal.port)
    page = request("GET", "/api/v1/vehicles/latest", headers={"Authorization": f"Bearer {bench.portal.tokens[0]}"})
    found: list[list[float]] = [[], []]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        frame = data.post(bench.portal.key, bench.portal.vehicles[0], [[time.time(), *([8.0] * len(data.SIGNALS))]])
        for kind, message in enumerate((page, frame)):
            begun = time.perf_counter()
            status, body = opened.send(message)
            found[kind].append(1000 * (time.perf_counter() - begun))
            assert status == 200, body[:200]
        time.sleep(0.02)
    opened.close()
    return [(round(statistics.median(one), 1), round(sorted(one)[int(len(one) * 0.99)], 1)) for one in found]
