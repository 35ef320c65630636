"""What people do with alerts, over the API."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

from django.utils import timezone

from alerts import handling
from alerts.models import Alert, AlertEvent
from tests.alerts.making import HOT, alerts_of, evaluate, hot, make_rule
from tests.conftest import Team
from tests.portal import Portal

RULE: dict[str, Any] = {
    "name": "Boost high", "vehicles": "all", "severity": "warning", "enabled": True,
    "condition": {"all": [{"signal": "engine.boost", "op": ">", "value": 20, "unit": "psi"}]}, "for": "PT5S",
    "clear": {"all": [{"signal": "engine.boost", "op": "<", "value": 18, "unit": "psi"}]}, "cooldown": "PT15M",
    "channels": [], "schedule": None, "tell_cleared": True,
}  # fmt: skip


def test_a_rule_goes_there_and_back(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        made = client.post("/api/v1/alert-rules", json=RULE)
        assert made.status_code == 201, made.text
        shown = client.get(f"/api/v1/alert-rules/{made.json()['id']}").json()
        assert {name: shown[name] for name in RULE} == RULE
        changed = client.patch(
            f"/api/v1/alert-rules/{shown['id']}", json={"for": "PT1H30M", "vehicles": [team.vehicle.public_id]}
        )
        assert (changed.json()["for"], changed.json()["vehicles"]["vehicles"]) == ("PT1H30M", [team.vehicle.public_id])
        for body, field in (
            ({}, "name"), ({"name": "x"}, "condition"), ({**RULE, "for": "5 s"}, "for"),
            ({**RULE, "channels": [999_999]}, "channels"), ({**RULE, "vehicles": ["nobody"]}, "vehicles"),
            ({**RULE, "severity": "purple"}, "severity"),
        ):  # fmt: skip
            answer = client.post("/api/v1/alert-rules", json=body)
            assert answer.status_code == 400, body
            assert field in answer.json()["errors"]
        for condition in ({"signal": "nope", "op": ">", "value": 1}, {"signal": "engine.rpm", "op": ">"}, {"all": "x"}):
            assert client.post("/api/v1/alert-rules", json={"name": "x", "condition": condition}).status_code == 422


def test_an_alert_is_handled(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        client.post("/api/v1/alert-rules", json={"name": "Hot", "condition": HOT})
        hot(portal, team, (0.5, 115))
        evaluate()
        [row] = client.get("/api/v1/alerts?state=open").json()["results"]
        path = f"/api/v1/alerts/{row['id']}"
        assert row["vehicle"] == team.vehicle.public_id
        assert client.post(f"{path}/comments", json={"words": "Looking"}).status_code == 201
        assign = client.post(f"{path}/assign", json={"user": team.users["viewer"].public_id})
        assert assign.json()["assigned_to"] == team.users["viewer"].public_id
        until = (timezone.now() + timedelta(hours=1)).isoformat()
        assert client.post(f"{path}/snooze", json={"until": until}).status_code == 200
        assert client.post(f"{path}/acknowledge").json()["state"] == "acknowledged"
        assert client.post(f"{path}/acknowledge").status_code == 200
        assert client.get("/api/v1/alerts?state=open").json()["results"] == []
        assert client.post(f"{path}/resolve", json={}).json()["state"] == "cleared"
        kinds = [event["kind"] for event in client.get(path).json()["events"]]
        assert sorted(kinds) == sorted(["opened", "commented", "assigned", "snoozed", "acknowledged", "resolved"])
        hot(portal, team, (1.5, 116))
        evaluate()
        assert len(alerts_of(team)) == 1  # resolved: none until it has cleared
        hot(portal, team, (2.5, 80), (3.5, 117))
        evaluate()
        assert len(alerts_of(team)) == 2


def test_alerts_come_as_csv(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        client.post("/api/v1/alert-rules", json={"name": "=HYPERLINK(1)", "condition": HOT})
        hot(portal, team, (0.5, 115))
        evaluate()
        text = client.get("/api/v1/alerts?download=csv").text
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][:3] == ["id", "rule", "vehicle"]
    assert rows[1][1] == "'=HYPERLINK(1)"


def test_the_starter_set_fits_the_vehicles_and_is_added_once(portal: Portal, team: Team) -> None:
    team.vehicle.powertrain = "electric"
    team.vehicle.save()
    with portal.client(team.tokens["operator"]) as client:
        count = client.post("/api/v1/alert-rules/starter-set", json={}).json()["added"]
        names = {rule["name"] for rule in client.get("/api/v1/alert-rules").json()["results"]}
        assert client.post("/api/v1/alert-rules/starter-set", json={}).json()["added"] == 0
    assert count == len(names) == 9
    assert {name.partition(":")[0] for name in names} >= {
        "HIGH_TEMP",
        "TEMP_WARNING",
        "LOW_SOC",
        "SOC_WARNING",
        "SOH_DEGRADED",
    }
    assert "Boost too high" not in names


def test_the_open_page_hears_of_it(portal: Portal, team: Team, strangers: Team) -> None:
    import json

    from websockets.sync.client import connect

    def open_socket(token: str) -> Any:
        return connect(
            f"ws://127.0.0.1:{portal.port}/ws/v1/stream",
            subprotocols=["motorpool.v1", f"bearer.{token}"],  # type: ignore[list-item]
        )

    with portal.client(team.tokens["operator"]) as client:
        client.post("/api/v1/alert-rules", json={"name": "Hot", "condition": HOT})
    with open_socket(team.tokens["viewer"]) as mine, open_socket(strangers.tokens["viewer"]) as theirs:
        for socket in (mine, theirs):
            assert json.loads(socket.recv(timeout=5))["type"] == "hello"
        hot(portal, team, (0.5, 115))
        evaluate()
        told = json.loads(mine.recv(timeout=5))
        while told["type"] == "heartbeat":
            told = json.loads(mine.recv(timeout=5))
        assert (told["type"], told["alert"]["rule_name"], told["alert"]["state"]) == ("alert", "Hot", "open")
        try:
            other = json.loads(theirs.recv(timeout=1))
            assert other["type"] != "alert"
        except TimeoutError:
            pass


def test_alerts_of_years_ago_are_forgotten(portal: Portal, team: Team) -> None:
    make_rule(team)
    hot(portal, team, (-60, 115), (-50, 90), (-40, 115), (-30, 90), (-20, 115))
    evaluate()
    first, second, still_open = alerts_of(team)
    long_ago = timezone.now() - timedelta(days=731)
    Alert.objects.filter(organization=team.organization).update(opened_at=long_ago)
    Alert.objects.filter(pk=first.pk).update(cleared_at=long_ago)
    handling.trim()
    assert {alert.pk for alert in alerts_of(team)} == {second.pk, still_open.pk}  # the second ended just now
    assert not AlertEvent.objects.filter(alert_id=first.pk).exists()
