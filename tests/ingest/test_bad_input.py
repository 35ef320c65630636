"""Bad input gets a reason that tells what to mend, never a 5xx, and costs no memory."""

from __future__ import annotations

import gzip
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import zstandard

from tests.conftest import Team
from tests.portal import Portal

NOW = 1_767_225_600.0
GOOD = {"vehicle": "1", "signals": ["engine.rpm", "vehicle.speed"], "frames": [[NOW, 800, 50]]}


def post(portal: Portal, team: Team, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with portal.client(team.key, **{"Content-Type": "application/json", **headers}) as client:
        return client.post("/api/v1/telemetry", content=content)


def block(team: Team, **changes: Any) -> dict[str, Any]:
    return {"blocks": [{**GOOD, "vehicle": team.vehicle.pk, **changes}]}


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
        times = client.get(f"/api/v1/vehicles/{team.vehicle.pk}/summary").json()["signals"]["engine.rpm"]
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


def test_limits_are_413(portal: Portal, team: Team) -> None:
    assert post(portal, team, block(team, frames=[[NOW, 1, 2]] * 10_001)).status_code == 413
    many = [f"my.s{i}" for i in range(1025)]
    assert post(portal, team, block(team, signals=many, frames=[])).status_code == 413
    assert post(portal, team, b" " * 4_000_001).status_code == 413


def test_compressed_bodies_are_inflated_within_bounds(portal: Portal, team: Team) -> None:
    body = json.dumps(block(team)).encode()
    for encoding, packed in (("gzip", gzip.compress(body)), ("zstd", zstandard.compress(body))):
        assert post(portal, team, packed, **{"Content-Encoding": encoding}).json()["readings"] == 2
        assert post(portal, team, packed[:-5], **{"Content-Encoding": encoding}).status_code == 400
        assert post(portal, team, b"nonsense", **{"Content-Encoding": encoding}).status_code == 400
    assert post(portal, team, body, **{"Content-Encoding": "br"}).status_code == 415
    assert post(portal, team, body, **{"Content-Type": "text/csv"}).status_code == 415


@pytest.mark.parametrize("padding", [0, 65_535, 65_536, 65_537, 200_000, 1_000_000])
def test_a_body_of_several_gzip_members_is_whole(portal: Portal, team: Team, padding: int) -> None:
    body = json.dumps(block(team)).encode()
    pieces = [body[:1] + b" " * padding, body[1:40], body[40:-1], b" " * padding, body[-1:]]
    packed = b"".join(gzip.compress(piece) for piece in pieces)
    for _ in range(3):
        assert post(portal, team, packed, **{"Content-Encoding": "gzip"}).json()["readings"] == 2


def test_bombs_and_floods_cost_no_memory(portal: Portal, team: Team) -> None:
    post(portal, team, block(team))
    before, steps = portal.rss(), []
    bomb = gzip.compress(b"[" + b"1," * 100_000_000)
    assert post(portal, team, bomb, **{"Content-Encoding": "gzip"}).status_code == 413
    steps.append(portal.rss() - before)
    packed = zstandard.compress(b" " * 200_000_000)
    assert post(portal, team, packed, **{"Content-Encoding": "zstd"}).status_code == 413
    steps.append(portal.rss() - before)
    assert _flood(portal, team.key, chunked=True) == 413
    assert _flood(portal, team.key, chunked=False) == 413
    steps.append(portal.rss() - before)
    assert _flood(portal, "mpd_unknown", chunked=True) == 401
    assert _flood(portal, "", chunked=True, path="/accounts/login/") == 413
    grown = portal.rss() - before
    assert grown < 20_000_000, (grown, steps)


def _flood(portal: Portal, key: str, chunked: bool, path: str = "/api/v1/telemetry") -> int:
    """Send 200 MB, or as much as the portal takes; returns the answer's status."""
    size = 200_000_000
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\n{length}\r\n\r\n"
    piece = b" " * 65_536
    chunk = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    with socket.create_connection(("127.0.0.1", portal.port), 20) as connection:
        connection.sendall(head.encode())
        answer = b""
        try:
            for _ in range(size // len(piece)):
                connection.sendall(chunk)
        except OSError:
            pass
        try:
            while b"\r\n" not in answer:
                data = connection.recv(65_536)
                if not data:
                    break
                answer += data
        except ConnectionResetError:
            pass
    return int(answer[9:12] or b"0")


def test_hostile_text_costs_linear_time(portal: Portal, team: Team) -> None:
    begun = time.monotonic()
    for body in (b'"' + b'\\"' * 400_000, b"[" * 900_000, b'"' * 900_000, b"\\" * 900_000):
        assert post(portal, team, body).status_code == 400
        with portal.client() as client:
            assert (
                client.post(
                    "/api/v1/auth/token", content=body, headers={"Content-Type": "application/json"}
                ).status_code
                == 400
            )
    members = gzip.compress(b"") * 40_000
    assert post(portal, team, members, **{"Content-Encoding": "gzip"}).status_code == 400
    assert time.monotonic() - begun < 8


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
    body = {"rows": [{"vehicle": team.vehicle.pk, "time": NOW, "values": values} for values in rows]}
    assert post(portal, team, body).json()["corrected"] == 2
    with portal.client(team.tokens["viewer"]) as client:
        latest = client.get(f"/api/v1/vehicles/{team.vehicle.pk}/latest").json()["signals"]
    assert latest["engine.rpm"]["value"] == 3


@pytest.mark.long
def test_a_silent_request_ends(portal: Portal, team: Team) -> None:
    head = (
        f"POST /api/v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {team.key}\r\nContent-Length: 9\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", portal.port), 60) as connection:
        connection.sendall(head.encode())
        connection.settimeout(45)
        assert connection.recv(1000)[9:12] == b"408"


@pytest.mark.long
def test_a_slow_drip_ends(portal: Portal, team: Team) -> None:
    with socket.create_connection(("127.0.0.1", portal.port), 60) as connection:
        head = f"POST /api/v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {team.key}\r\n"
        head += "Content-Length: 99\r\n\r\n"
        connection.sendall(head.encode())
        begun = time.monotonic()
        connection.settimeout(1)
        answer = b""
        while not answer and time.monotonic() - begun < 45:
            connection.sendall(b" ")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert answer[9:12] == b"408"


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
        other = {**row, "vehicle": team.vehicle.pk}
        refused = client.post("/api/v1/telemetry", json={"rows": [other]}).json()
        assert refused["rejected"][0]["code"] == "unknown_vehicle"
