"""A backtest says what live evaluation said, also where it skips most of the frames."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts import backtest
from alerts.models import Alert, AlertRule
from telemetry import sinks
from telemetry.models import SinkProgress
from tests.alerts.making import evaluate, make_rule
from tests.conftest import Team
from tests.portal import Portal

HOURS = 7
CONDITIONS: list[dict[str, Any]] = [
    {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 118}},
    {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 100}, "lasting": timedelta(seconds=90)},
    {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 110},
     "clear": {"signal": "engine.oil_temp", "op": "<", "value": 90}},
    {"condition": {"all": [{"signal": "engine.oil_temp", "op": ">", "value": 95},
                           {"signal": "vehicle.speed", "op": "<", "value": 20}]}},
    {"condition": {"any": [{"signal": "engine.oil_temp", "op": ">", "value": 119},
                           {"signal": "vehicle.speed", "op": "==", "value": 64}]}},
    {"condition": {"signal": "vehicle.speed", "op": "!=", "value": 64}, "lasting": timedelta(minutes=2)},
    {"condition": {"all": [{"signal": "vehicle.speed", "op": ">", "value": 20},
                           {"signal": "charge.state", "op": "==", "value": "charging"}]}},
    {"condition": {"all": [{"signal": "vehicle.speed", "op": ">", "value": 20},
                           {"signal": "engine.boost", "op": ">", "value": 5}]}},
    {"condition": {"no_data": "PT4M"}},
    {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 12, "rate": "PT10M"}},
    {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 112}, "times": 2, "within": timedelta(hours=1)},
]  # fmt: skip


def post(portal: Portal, team: Team, frames: list[list[Any]]) -> None:
    block = {
        "vehicle": team.vehicle.public_id,
        "source": "obd",
        "signals": ["engine.oil_temp", "vehicle.speed", "charge.state"],
        "frames": frames,
    }
    with portal.client(team.key) as client:
        answer = client.post("/api/v1/telemetry", json={"blocks": [block]})
        assert answer.status_code == 200, answer.text


def test_a_backtest_agrees_with_live_evaluation(portal: Portal, team: Team) -> None:
    numbers = random.Random(5)
    rules = [make_rule(team, name=f"Rule {i}", **fields) for i, fields in enumerate(CONDITIONS)]
    begin = int(time.time()) - HOURS * 3600 - 600
    frames: list[list[Any]] = []
    for second in range(HOURS * 3600):
        at = begin + second
        if 9_000 < second < 9_400 or 15_000 < second < 15_130:
            continue  # silence
        oil = round(95 + 25 * math.sin(second / 1_500) + numbers.uniform(-0.5, 0.5), 2)
        speed = float(64 if (second // 600) % 3 == 1 else (second // 7) % 130)
        state = "charging" if (second // 400) % 3 == 0 else "unplugged"
        frames.append([at, oil if second % 3 else None, speed, state if second % 5 == 0 else None])
    for start in range(0, len(frames), 900):
        post(portal, team, frames[start : start + 900])
        if start % 4_500 == 0:
            evaluate()
    evaluate()
    SinkProgress.objects.filter(sink="rollups").update(lease_until=None)
    sinks.run_sink("rollups")
    first, last = (datetime.fromtimestamp(at, UTC) for at in (frames[0][0] - 60, frames[-1][0]))
    read = []
    for rule in rules:
        body = backtest.run(AlertRule.objects.get(pk=rule.pk), team.vehicle, first, last)
        live = Alert.objects.standing().filter(rule=rule, opened_at__lte=last).order_by("opened_at")
        expected = [(a.opened_at, a.cleared_at if a.cleared_at and a.cleared_at <= last else None) for a in live]
        got = [
            (
                datetime.fromisoformat(e["opened_at"]),
                datetime.fromisoformat(e["cleared_at"]) if e["cleared_at"] else None,
            )
            for e in body["episodes"]
        ]
        assert got == expected, rule.condition
        read.append(body["frames_read"])
    assert read[0] < len(frames) / 2  # most minutes were skipped
    assert sum(Alert.objects.filter(rule=rule).exists() for rule in rules) >= 7


def test_a_backtest_says_what_it_cannot_do(portal: Portal, team: Team) -> None:
    path = f"/api/v1/alert-rules/backtest?vehicle={team.vehicle.public_id}"
    with portal.client(team.tokens["viewer"]) as client:
        answer = client.post(path, json={"condition": {"dtc": "any"}})
        assert (answer.status_code, "no past" in answer.json()["detail"]) == (422, True)
        rule = {"condition": {"signal": "engine.rpm", "op": ">", "value": 1}}
        assert client.post(path + "&from=2020-01-01T00:00:00Z", json=rule).status_code == 422
        body = client.post(path, json=rule).json()
        assert (body["count"], body["words"]) == (0, "Would not have fired in the 7 days.")
