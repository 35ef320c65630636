"""What rules cost: checks per second, how far a worker lags behind a fleet, and a week tried on a rule."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection
from django.utils import timezone

from alerts import backtest
from alerts.evaluation import compiled
from alerts.models import Alert, AlertRule
from alerts.rules.building import build, memories_of, needs_of
from alerts.rules.episodes import evaluate
from bench import data
from bench.alert_storm import storm
from bench.load import Connection, run
from bench.portal import process_cpu
from bench.rollups import roll_up
from fleet.accounts.models import Organization, User
from telemetry.aggregates import Frames
from vehicles.models import Vehicle
from vehicles.services import device_create

if TYPE_CHECKING:
    from bench.run import Bench

VEHICLES, RULES, SECONDS = 1_000, 20, 40
WEEK = 7 * 86_400
_WORKER = (
    "import django; django.setup()\nfrom telemetry import sinks\nimport time\n"
    "while True:\n    time.sleep(0.25)\n    sinks.run_sink('alerts')\n"
)


def measure(bench: Bench) -> None:
    """All of it."""
    checks(bench)
    lag(bench)
    storm(bench)
    week(bench)


def checks(bench: Bench) -> None:
    """Readings against rules, in memory: 1,000 vehicles, a minute at 1 Hz, 20 rules on 16 signals."""
    organization = _organization()
    rules = [c.rule for c in _rules(organization)]
    needs = needs_of(rules, {}, compiled.position_signals())
    frames = 60
    count = VEHICLES * frames
    chance = np.random.default_rng(1)
    start = time.time_ns() // 1_000
    values = chance.uniform(8, 16, (count, len(needs.signals)))
    run_of = Frames(
        np.repeat(np.arange(1, VEHICLES + 1, dtype=np.int32), frames), np.ones(count, np.int32),
        np.tile(start + np.arange(frames) * 1_000_000, VEHICLES), np.array(needs.signals, np.int32), values,
    )  # fmt: skip
    took, ids = [], list(range(1, VEHICLES + 1))
    for _ in range(5):
        begun = time.perf_counter()
        table = build(ids, [run_of], {}, needs, dict.fromkeys(ids, start), start)
        for rule in rules:
            evaluate(rule, table, {}, {})
        memories_of(table, needs)
        took.append(time.perf_counter() - begun)
    bench.note("(j) rules in memory", count * len(rules) / statistics.median(took), "checks/s")


def lag(bench: Bench) -> None:
    """A worker beside a fleet of 1,000 at 1 Hz with 20 rules: from the commit of a batch to its evaluation."""
    organization = _organization()
    _rules(organization)
    vehicles = Vehicle.objects.bulk_create(Vehicle(organization=organization, name=f"v{i}") for i in range(VEHICLES))
    ids = [vehicle.pk for vehicle in vehicles]
    _, key = device_create(organization=organization, user=User.objects.latest("pk"), name="bench alerts")
    worker = subprocess.Popen([sys.executable, "-c", _WORKER])
    committed: list[float] = []
    stop = threading.Event()
    rows = {vehicle: data.frames(0, SECONDS + 20, vehicle) for vehicle in ids}

    def feed() -> None:
        opened = Connection(bench.portal.port)
        begun, turn = time.monotonic(), 0
        while not stop.is_set() and turn < SECONDS + 15:
            now = time.time()
            for part in range(0, VEHICLES, 100):
                blocks = [
                    {
                        "vehicle": data.name_of(v),
                        "source": "obd",
                        "signals": data.SIGNALS,
                        "frames": [[now, *rows[v][turn][1:]]],
                    }
                    for v in ids[part : part + 100]
                ]
                status, body = opened.send(data.post_body(key, {"blocks": blocks}))
                assert status == 200, body[:200]
            committed.append(time.time())
            turn += 1
            stop.wait(max(0.0, begun + turn - time.monotonic()))

    feeder = threading.Thread(target=feed)
    feeder.start()
    lags: list[float] = []
    seen = 0
    while feeder.is_alive():
        time.sleep(0.05)
        done = _slowest(ids)
        now = time.time()
        while seen < done and seen < len(committed):
            if seen >= 10:
                lags.append(now - committed[seen])
            seen += 1
    stop.set()
    feeder.join()
    cpu = _cpu(worker)
    worker.terminate()
    worker.wait(20)
    ordered = sorted(lags)
    bench.note(
        f"(j) lag, {VEHICLES} vehicles x {RULES} rules at 1 Hz", 1000 * ordered[int(len(ordered) * 0.95)], "ms (p95)",
        p50_ms=round(1000 * statistics.median(ordered)), worker_core=f"{cpu / (SECONDS + 15):.0%}",
        alerts=Alert.objects.filter(organization=organization).count(),
    )  # fmt: skip


def week(bench: Bench) -> None:
    """A week of one vehicle at 10 Hz with 16 signals, tried on rules that fire rarely, often, and never."""
    vehicle = Vehicle.objects.select_related("organization").get(pk=bench.portal.vehicles[5])
    start = float(int(time.time()) - WEEK - 60)
    table = data.frames(0, 10_000, 7)
    signals = ["engine.rpm", "vehicle.speed", "engine.coolant_temp", "engine.oil_temp"]
    requests = []
    for first in range(0, WEEK * 10, 10_000):
        rows = []
        for i, row in enumerate(table[: min(10_000, WEEK * 10 - first)]):
            at = start + (first + i) / 10
            wave = np.sin(at / 3_000)
            rows.append([round(at, 1), round(row[1] * 100 + 40 * wave, 2), round(row[2] * 10 + 4 * wave, 2), *row[3:5]])
        body = {"blocks": [{"vehicle": vehicle.public_id, "source": "obd", "signals": signals, "frames": rows}]}
        requests.append(data.post_body(bench.portal.key, body))
        if len(requests) == 40:
            assert not run(bench.portal.port, [requests]).failures
            requests = []
    if requests:
        assert not run(bench.portal.port, [requests]).failures
    roll_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE telemetry_frame")
    for name, condition in (
        ("rarely", {"signal": "engine.rpm", "op": ">", "value": 1590}),
        ("two signals", {"all": [{"signal": "engine.rpm", "op": ">", "value": 1500},
                                 {"signal": "vehicle.speed", "op": "<", "value": 100}]}),
        ("never", {"signal": "engine.coolant_temp", "op": ">", "value": 110}),
        ("all the time", {"signal": "engine.rpm", "op": ">", "value": 1200}),
        ("a signal that is not there", {"all": [{"signal": "engine.rpm", "op": ">", "value": 1200},
                                                {"signal": "engine.boost", "op": ">", "value": 100}]}),
        ("a change, every frame read", {"signal": "engine.rpm", "op": ">", "value": 500, "rate": "PT10S"}),
    ):  # fmt: skip
        took: list[float] = []
        found: dict[str, Any] = {}
        for _ in range(3):
            rule = AlertRule(organization=vehicle.organization, condition=condition, lasting=timedelta(seconds=5))
            begun = time.perf_counter()
            found = backtest.run(rule, vehicle, None, None)
            took.append(time.perf_counter() - begun)
        bench.note(
            f"(j) backtest of a week at 10 Hz: {name}", 1000 * statistics.median(took), "ms (p50)",
            episodes=found["count"], frames_read=found["frames_read"],
        )  # fmt: skip


def _organization() -> Organization:
    return Organization.objects.create(name="Bench of alerts")


def _rules(organization: Organization) -> list[compiled.Compiled]:
    """Twenty rules on the sixteen signals, of which a few fire now and then."""
    made = []
    for index in range(RULES):
        signal = data.SIGNALS[index % len(data.SIGNALS)]
        condition: dict[str, Any] = {"signal": signal, "op": ">", "value": 15.9 if index < 3 else 17 + index}
        if index % 5 == 4:
            condition = {"all": [condition, {"signal": data.SIGNALS[(index + 3) % 16], "op": "<", "value": 5}]}
        row = AlertRule(
            organization=organization, name=f"Rule {index}", condition=condition,
            lasting=timedelta(seconds=index % 3), begins=timezone.now() - timedelta(minutes=5),
        )  # fmt: skip
        row.save()
        made.append(compiled.Compiled(compiled.rule_of(row, organization, set()), row))
    return made


def _slowest(ids: list[int]) -> int:
    """How many batches of every vehicle have been evaluated."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(version) FROM telemetry_sinkprogress WHERE sink = 'alerts' AND vehicle_id = ANY(%s)",
            [ids],
        )
        count, version = cursor.fetchone()
    return int(version or 0) if count == len(ids) else 0


def _cpu(worker: subprocess.Popen[bytes]) -> float:
    return process_cpu(worker.pid)
