"""Bad input gets a reason that tells what to mend, never a 5xx, and costs no memory."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import Team
from tests.portal import Portal

NOW = 1_767_225_600.0
GOOD = {"vehicle": "1", "signals": ["engine.rpm", "vehicle.speed"], "frames": [[NOW, 800, 50]]}


def post(portal: Portal, team: Team, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with portal.client(team.key, **{"Content-Type": "application/json", **headers}) as client:
        return client.post("/api/v1/telemetry", content=content)


def block(team: Team, **changes: Any) -> dict[str, Any]:
    return {"blocks": [{**GOOD, "vehicle": team.vehicle.public_id, **changes}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"blocks": [', "not JSON"),
        (b'{"blocks": [{"signals": ["engine.rpm"], "frames": [[1767225600, NaN]]}]}', "NaN"),
        (b'{"blocks": [{"signals": ["engine.rpm"], "frames": [[1767225600, Infinity]]}]}', "Infinity"),
        (b'{"blocks": [{"signals": ["engine.rpm"], "frames": [[1767225600, 1e999]]}]}', "too large"),
        (b'{"blocks": [{"signals": ["engine.rpm"], "frames": [[1767225600, -1e999]]}]}', "too large"),
        (b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested"),
        (b"[" * 10_000, "nested"),
        (b'{"boot": "\\ud800"}', "surrogate"),
        (b'{"boot": "a\\u0000b"}', "NUL"),
        (b'{"boot": "a\x00b"}', "not JSON"),
        (b'{"boot": "\xff\xfe"}', "UTF-8"),
        ('{"boot": "x"}'.encode("utf-16"), "UTF-8"),
        (b'{"boot": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_what_is_not_strict_json_is_400(portal: Portal, team: Team, body: bytes, words: str) -> None:
    answer = post(portal, team, body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
    assert answer.json()["code"] == "invalid_json"


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {"blocks": 5},
        {"blocks": [5]},
        {"blocks": [{"signals": ["engine.rpm"]}]},
        {"blocks": [{"signals": [5], "frames": []}]},
        {"blocks": [{"signals": ["engine.rpm"], "frames": [5]}]},
        {"blocks": [{"signals": ["engine.rpm", "engine.rpm"], "frames": []}]},
        {"rows": [{"time": NOW, "values": {"engine.rpm": 5}}]},  # no vehicle, and the key has no single one
        {"boot": 5},
        {"boot": ""},
        {"boot": "x" * 65},
        {"seq": "1"},
        {"seq": -1},
        {"seq": 1.5},
        {"time_unit": "h"},
        {"blocks": [{**GOOD, "source": 5}]},
        {"blocks": [{**GOOD, "source": "with blank"}]},
    ],
)
def test_what_is_not_the_format_is_422(portal: Portal, team: Team, body: Any) -> None:
    answer = post(portal, team, body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_format"


@pytest.mark.parametrize(
    ("frame", "code", "signal"),
    [
        ([NOW], "wrong_length", None),
        ([NOW, 1, 2, 3], "wrong_length", None),
        ([0, 1, 2], "time_out_of_range", None),
        ([4_102_444_800, 1, 2], "time_out_of_range", None),
        ([1e300, 1, 2], "time_out_of_range", None),
        ([None, 1, 2], "invalid_time", None),
        ([True, 1, 2], "invalid_time", None),
        (["yesterday", 1, 2], "invalid_time", None),
        ([NOW, -1, 20], "out_of_range", "engine.rpm"),
        ([NOW, 1, 501], "out_of_range", "vehicle.speed"),
        ([NOW, "fast", 20], "wrong_type", "engine.rpm"),
        ([NOW, True, 20], "wrong_type", "engine.rpm"),
        ([NOW, [1], 20], "wrong_type", "engine.rpm"),
        ([NOW, {"a": 1}, 20], "wrong_type", "engine.rpm"),
    ],
)
def test_a_bad_reading_is_refused_by_itself(
    portal: Portal, team: Team, frame: list[Any], code: str, signal: str | None
) -> None:
    frames = [[NOW + 1, 801, 51], frame, [NOW + 2, 802, 52]]
    answer = post(portal, team, block(team, frames=frames))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["rejected_count"] == 1
    entry = body["rejected"][0]
    assert (entry["block"], entry["frame"], entry["code"], entry.get("signal")) == (0, 1, code, signal)
    assert entry["detail"]
    assert body["readings"] == (5 if signal else 4)
    with portal.client(team.tokens["operator"]) as client:
        inbox = client.get("/api/v1/rejected").json()["results"]
        times = client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/summary").json()["signals"]["engine.rpm"]
    assert inbox[0]["code"] == code
    assert inbox[0]["batch"] == body["batch"]
    assert times["count"] in (2, 3)


def test_an_answer_lists_a_hundred_refusals_and_counts_all(portal: Portal, team: Team) -> None:
    answer = post(portal, team, block(team, frames=[[NOW + i, -1, 5] for i in range(300)])).json()
    assert (answer["rejected_count"], len(answer["rejected"]), answer["readings"]) == (300, 100, 300)


def test_unknown_signals_are_added_unless_the_organization_forbids_them(portal: Portal, team: Team) -> None:
    answer = post(portal, team, block(team, signals=["my.thing", "Bad Name"], frames=[[NOW, 1, 2]])).json()
    assert answer["readings"] == 1
    assert [(e["signal"], e["code"]) for e in answer["rejected"]] == [("Bad Name", "unknown_signal")]
    team.organization.signal_quota = 1
    team.organization.save()
    answer = post(portal, team, block(team, signals=["my.thing", "my.other"], frames=[[NOW, 1, 2]])).json()
    assert [(e["signal"], e["code"]) for e in answer["rejected"]] == [("my.other", "signal_quota")]


def test_a_key_whose_vehicles_are_gone_writes_nothing(portal: Portal, team: Team) -> None:
    from vehicles.services import device_create, vehicle_create

    doomed = vehicle_create(organization=team.organization, user=None, name="doomed")
    _, team.key = device_create(organization=team.organization, user=None, name="bound", vehicles=[doomed])
    doomed.delete()
    body = post(portal, team, block(team)).json()
    assert body["rejected"][0]["code"] == "unknown_vehicle"


def test_one_locked_vehicle_delays_no_other(portal: Portal, team: Team, strangers: Team) -> None:
    from django.db import connection, transaction

    assert post(portal, team, block(team)).status_code == 200
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM telemetry_latest WHERE vehicle_id = %s FOR UPDATE", [team.vehicle.pk])
        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(post, portal, team, block(team))
            begun = time.monotonic()
            assert post(portal, strangers, block(strangers)).status_code == 200
            assert time.monotonic() - begun < 3
            answer = stuck.result()
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
    assert post(portal, team, block(team)).status_code == 200


def test_huge_values_of_new_signals_are_refused_so_that_sums_stay_finite(portal: Portal, team: Team) -> None:
    body = post(portal, team, block(team, signals=["my.huge"], frames=[[NOW + i, 1.7e308] for i in range(20)])).json()
    assert body["rejected"][0]["code"] == "out_of_range"


def test_rows_of_one_instant_are_written_in_order(portal: Portal, team: Team) -> None:
    rows = [{"engine.rpm": 1}, {"engine.rpm": 2, "vehicle.speed": 1}, {"engine.rpm": 3}]
    body = {"rows": [{"vehicle": team.vehicle.public_id, "time": NOW, "values": values} for values in rows]}
    assert post(portal, team, body).json()["corrected"] == 2
    with portal.client(team.tokens["viewer"]) as client:
        latest = client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/latest").json()["signals"]
    assert latest["engine.rpm"]["value"] == 3


def test_keys_unknown_revoked_and_rotated(portal: Portal, team: Team) -> None:
    from tests.portal import eventually
    from vehicles.services import device_revoke, device_rotate

    with portal.client() as client:
        for header in ({}, {"Authorization": "Bearer mpd_nobody"}, {"Authorization": "Basic eDp5"}):
            answer = client.post("/api/v1/telemetry", headers=header, json={})
            assert answer.status_code == 401
            assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert post(portal, team, block(team)).status_code == 200
    old = team.key
    team.key = device_rotate(device=team.device, user=team.users["admin"])
    assert post(portal, team, block(team)).status_code == 200
    with portal.client(old) as client:
        eventually(lambda: client.post("/api/v1/telemetry", json={}).status_code == 401, 10)
    device_revoke(device=team.device, user=team.users["admin"])
    eventually(lambda: post(portal, team, block(team)).status_code == 401, 10)


def test_new_keys_and_vehicles_work_at_once(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        vehicle = client.post("/api/v1/vehicles", json={"name": "new", "aliases": ["fresh one"]}).json()
        key = client.post("/api/v1/devices", json={"name": "d", "vehicles": [vehicle["id"]]}).json()["key"]
    with portal.client(key) as client:
        row = {"time": NOW, "values": {"engine.rpm": 5}}
        assert client.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1
        named = {**row, "vehicle": "fresh one", "time": "2026-01-01T00:00:01Z"}
        assert client.post("/api/v1/telemetry", json={"rows": [named]}).json()["readings"] == 1
        other = {**row, "vehicle": team.vehicle.public_id}
        refused = client.post("/api/v1/telemetry", json={"rows": [other]}).json()
        assert refused["rejected"][0]["code"] == "unknown_vehicle"
