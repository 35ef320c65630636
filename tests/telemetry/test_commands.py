"""Commands: queued while nobody is there, sent once, answered or timed out; trouble codes and settings."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from telemetry.commands.descriptions import describe
from telemetry.models import Command
from tests.conftest import Team
from tests.portal import Portal, eventually
from tests.test_tenancy import sign_in
from vehicles.services import device_rotate


@contextmanager
def agent(portal: Portal, team: Team, **hello: Any) -> Iterator[ClientConnection]:
    url = portal.url.replace("http", "ws") + "/ws/v1/agent"
    with connect(url, additional_headers={"Authorization": f"Bearer {team.key}"}) as socket:
        socket.send(json.dumps({"type": "hello", "vehicle": team.vehicle.public_id, **hello}))
        assert json.loads(socket.recv(5))["type"] == "hello"
        yield socket


def order(client: httpx.Client, team: Team, kind: str, **more: Any) -> httpx.Response:
    return client.post(f"/api/v1/vehicles/{team.vehicle.public_id}/commands", json={"type": kind, **more})


@pytest.fixture
def operator(portal: Portal, team: Team) -> Iterator[httpx.Client]:
    with portal.client(team.tokens["operator"]) as client:
        yield client


def state(client: httpx.Client, command: dict[str, Any]) -> Any:
    return client.get(f"/api/v1/commands/{command['id']}").json()["state"]


def test_a_command_waits_for_its_agent_and_is_sent_once(portal: Portal, team: Team, operator: httpx.Client) -> None:
    with agent(portal, team) as first, agent(portal, team) as second:
        made = order(operator, team, "pid_query", arguments={"pid": "01 0c", "formula": "A"}).json()
        assert (made["state"], made["arguments"]) == ("queued", {"pid": "010C", "formula": "A"})
        received = json.loads(second.recv(5))  # of two agents the newer one is asked
        assert (received["id"], received["command"]) == (made["id"], "pid_query")
        assert state(operator, made) == "sent"
        with pytest.raises(TimeoutError):
            first.recv(1.2)
        answer = {"type": "result", "id": made["id"], "status": "succeeded", "result": {"answers": []}}
        second.send(json.dumps(answer))
        eventually(lambda: state(operator, made) == "succeeded", 5)
        second.send(json.dumps({**answer, "status": "failed"}))  # too late: it changes nothing
        assert json.loads(second.recv(5))["code"] == "not_found"
    assert state(operator, made) == "succeeded"
    with portal.client(team.tokens["admin"]) as admin:
        actions = [entry["action"] for entry in admin.get("/api/v1/audit").json()["results"]]
    assert {"command.queued", "command.succeeded"} <= set(actions)


def test_what_nobody_carries_out_times_out(portal: Portal, team: Team, operator: httpx.Client) -> None:
    waiting, sent = (order(operator, team, kind).json() for kind in ("dtc_read", "dtc_read"))
    with agent(portal, team) as socket:
        ids = {json.loads(socket.recv(5))["id"] for _ in range(2)}
        assert ids == {waiting["id"], sent["id"]}
    Command.objects.filter(pk__in=ids).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert [state(operator, command) for command in (waiting, sent)] == ["timed_out"] * 2
    old = order(operator, team, "dtc_read").json()
    Command.objects.filter(pk=old["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    with agent(portal, team) as socket, pytest.raises(TimeoutError):
        socket.recv(1.2)


def test_a_failure_keeps_its_reason(portal: Portal, team: Team, operator: httpx.Client) -> None:
    made = order(operator, team, "media", arguments={"action": "play", "other": 1}).json()
    assert made["arguments"] == {"action": "play"}
    with agent(portal, team) as socket:
        json.loads(socket.recv(5))
        socket.send(json.dumps({"type": "result", "id": made["id"], "status": "failed", "detail": "No player here."}))
        eventually(lambda: state(operator, made) == "failed", 5)
    assert operator.get(f"/api/v1/commands/{made['id']}").json()["detail"] == "No player here."


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("pid_query", {"pid": "04"}, "hex bytes"),
        ("pid_query", {"pid": "3101FF00"}, "hex bytes"),
        ("pid_query", {"pid": "010C", "formula": "__import__('os')"}, "formula"),
        ("setting", {"name": "Bad Name", "value": 1}, "setting's name"),
        ("setting", {"name": "brightness", "value": [1]}, "number, text"),
        ("media", {}, "action"),
        ("dtc_clear", {}, "confirmed"),
    ],
)
def test_wrong_arguments_are_told(
    team: Team, operator: httpx.Client, kind: str, arguments: dict[str, Any], words: str
) -> None:
    answer = order(operator, team, kind, arguments=arguments)
    assert answer.status_code == 422, answer.text
    assert words in answer.text


def test_codes_are_cleared_only_while_the_vehicle_stands(portal: Portal, team: Team, operator: httpx.Client) -> None:
    def drive(speed: float, age: float = 0) -> None:
        row = {"vehicle": team.vehicle.public_id, "time": time.time() - age, "values": {"vehicle.speed": speed}}
        with portal.client(team.key) as device:
            assert device.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1

    assert "not known" in order(operator, team, "dtc_clear", confirm=True).json()["detail"]
    drive(0, age=100)
    assert "s old" in order(operator, team, "dtc_clear", confirm=True).json()["detail"]
    drive(30)
    assert order(operator, team, "dtc_clear", confirm=True).status_code == 409
    drive(0)
    assert order(operator, team, "dtc_clear", confirm=True).status_code == 202
    with portal.client(team.tokens["viewer"]) as viewer:
        assert order(viewer, team, "dtc_clear", confirm=True).status_code == 403


def test_trouble_codes_live_and_end(portal: Portal, team: Team, operator: httpx.Client) -> None:
    def told(*codes: tuple[str, str], **more: Any) -> dict[str, dict[str, Any]]:
        made = order(operator, team, "dtc_read").json()
        with agent(portal, team) as socket:
            while json.loads(socket.recv(5))["id"] != made["id"]:
                pass
            result = {"codes": [{"code": code, "status": status} for code, status in codes], **more}
            socket.send(json.dumps({"type": "result", "id": made["id"], "status": "succeeded", "result": result}))
            eventually(lambda: state(operator, made) == "succeeded", 5)
        rows = operator.get(f"/api/v1/dtcs?vehicle={team.vehicle.public_id}").json()["results"]
        return {row["code"]: row for row in rows}

    frame = {"code": "P0300", "engine.rpm": 2400.5, "odd": [1]}
    rows = told(("P0300", "pending"), ("nonsense", "pending"), ("P0420", "sideways"), freeze_frame=frame)
    assert [(code, row["status"]) for code, row in rows.items()] == [("P0300", "pending")]
    assert rows["P0300"]["freeze_frame"] == {"code": "P0300", "engine.rpm": 2400.5}
    assert rows["P0300"]["description"] == "Misfires in several cylinders"
    first = rows["P0300"]["first_seen"]
    rows = told(("P0300", "confirmed"), ("U0100", "permanent"))
    assert {code: row["status"] for code, row in rows.items()} == {"P0300": "confirmed", "U0100": "permanent"}
    assert rows["P0300"]["first_seen"] == first < rows["P0300"]["last_seen"]
    rows = told(("U0100", "permanent"))
    assert rows["P0300"]["status"] == "cleared"
    assert rows["P0300"]["cleared_at"]
    assert told(("P0300", "pending"))["P0300"]["cleared_at"] is None


def test_settings_are_desired_and_reported(portal: Portal, team: Team, operator: httpx.Client) -> None:
    path = f"/api/v1/vehicles/{team.vehicle.public_id}/settings"
    assert operator.get(path).json() == {"desired": {}, "reported": {}, "reported_at": None}
    order(operator, team, "setting", arguments={"name": "charge_limit", "value": 90})
    with agent(portal, team, settings={"charge_limit": 80}) as socket:
        assert json.loads(socket.recv(5))["arguments"] == {"name": "charge_limit", "value": 90}
        found = operator.get(path).json()
        assert (found["desired"], found["reported"]) == ({"charge_limit": 90}, {"charge_limit": 80})
        socket.send(json.dumps({"type": "reported", "settings": {"charge_limit": 90}}))
        eventually(lambda: operator.get(path).json()["reported"] == {"charge_limit": 90}, 5)
        socket.send(json.dumps({"type": "reported", "settings": {"x": {"deep": 1}}}))
        assert json.loads(socket.recv(5))["code"] == "invalid_command"


def test_a_revoked_keys_agent_is_hung_up(portal: Portal, team: Team) -> None:
    from websockets.exceptions import ConnectionClosed

    with agent(portal, team) as socket:
        with portal.client(team.tokens["admin"]) as admin:
            assert admin.delete(f"/api/v1/devices/{team.device.public_id}").status_code == 204
        begun = time.monotonic()
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("P0303", "Misfire in cylinder 3"), ("P0171", "lean"), ("P0420-00", "Catalyst"), ("P1234", "maker"),
        ("P0137", "Oxygen sensor, bank 1"), ("P0157", "Oxygen sensor, bank 2"), ("U0100", "engine control unit"),
        ("P0777", "transmission"), ("C0999", "Chassis"), ("B1234", "maker"),
    ],
)  # fmt: skip
def test_codes_are_described(code: str, words: str) -> None:
    assert words in describe(code)


def test_the_controls_page_sets_and_asks(portal: Portal, team: Team) -> None:
    browser = sign_in(portal, team.users["admin"].email or "", team.password)
    with contextlib.closing(browser):
        page = f"/vehicles/{team.vehicle.public_id}/controls"

        def post(**form: str) -> httpx.Response:
            token = browser.cookies["motorpool-csrf"]
            return browser.post(page, data={**form, "csrfmiddlewaretoken": token}, headers={"Referer": portal.url})

        assert "No agent of this vehicle" in browser.get(page).text
        assert post(action="setting", name="charge_limit", value="70").status_code == 302
        assert "not confirmed yet" in browser.get(page).text
        assert post(action="setting", name="charge_limit", value="much").status_code == 422
        assert post(action="setting", name="light_theme", value="on").status_code == 302
        assert post(action="media", media="volume", volume="40").status_code == 302
        assert post(action="collector_config", driver="obd", options='{"rates": {"RPM": 5}}').status_code == 302
        assert "JSON" in post(action="collector_config", driver="obd", options="RPM=5").text
        assert post(action="dtc_clear").status_code == 404
        with agent(portal, team) as socket:
            received = [json.loads(socket.recv(5)) for _ in range(4)]
            assert [(each["command"], each["arguments"]) for each in received] == [
                ("setting", {"name": "charge_limit", "value": 70}),
                ("setting", {"name": "light_theme", "value": True}),
                ("media", {"action": "volume", "volume": 0.4}),
                ("collector_config", {"driver": "obd", "options": {"rates": {"RPM": 5}}}),
            ]
            socket.send(json.dumps({"type": "reported", "settings": {"charge_limit": 70, "light_theme": True}}))
            answer = {
                "version": "9.9",
                "log_level": "info",
                "drivers": [{"source": "obd", "state": "open", "words": ""}],
            }
            socket.send(
                json.dumps({"type": "result", "id": received[3]["id"], "status": "succeeded", "result": answer})
            )
            eventually(lambda: "Version 9.9" in browser.get(page).text, 5)
        assert "not confirmed yet" not in browser.get(page).text


def test_only_an_administrator_changes_the_collector(team: Team, operator: httpx.Client) -> None:
    assert order(operator, team, "collector_config").status_code == 403


def test_f3_x9_a_rotated_keys_agent_is_hung_up(portal: Portal, team: Team, operator: httpx.Client) -> None:
    with agent(portal, team) as socket:
        device_rotate(device=team.device, user=team.users["admin"])
        begun = time.monotonic()
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(8)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "result",
    [{"answers": 5}, {"answers": [5]}, {"answers": [{"ecu": {"a": 1}, "bytes": 7}]}, {"answers": None}, [], {}],
)
def test_x13_a_result_of_another_form_breaks_no_page(
    portal: Portal, team: Team, operator: httpx.Client, result: Any
) -> None:
    made = order(operator, team, "pid_query", arguments={"pid": "010C"}).json()
    with agent(portal, team) as socket:
        while json.loads(socket.recv(5)).get("id") != made["id"]:
            pass
        socket.send(json.dumps({"type": "result", "id": made["id"], "status": "succeeded", "result": result}))
        eventually(lambda: state(operator, made) not in ("queued", "sent"), 5)
    with closing(sign_in(portal, team.users["viewer"].email, team.password)) as browser:
        assert browser.get(f"/vehicles/{team.vehicle.public_id}/diagnostics").status_code == 200
