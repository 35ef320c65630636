"""Bodies too large, too slow, or packed too well are refused within bounds of memory and time."""

from __future__ import annotations

import gzip
import json
import socket
import time

import pytest
import zstandard

from tests.conftest import Team
from tests.ingest.test_bad_input import NOW, block, post
from tests.portal import Portal


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
