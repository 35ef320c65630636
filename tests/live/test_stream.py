"""The live stream: snapshot, order, rates, resume, revocation, and clients that do not read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bench.live import open_socket, watch
from telemetry.live import messages
from telemetry.models import SocketTicket
from tests.conftest import Team
from tests.portal import Portal, eventually
from tests.test_tenancy import sign_in

SIGNALS = ["engine.rpm", "vehicle.speed"]


def url(portal: Portal) -> str:
    return portal.url.replace("http", "ws") + "/ws/v1/stream"


@contextmanager
def stream(portal: Portal, team: Team, role: str = "viewer", **wishes: Any) -> Iterator[ClientConnection]:
    """A subscribed socket, past its hello."""
    with connect(url(portal), subprotocols=["motorpool.v1", f"bearer.{team.tokens[role]}"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "motorpool.v1"
        assert take(socket)["type"] == "hello"
        if wishes:
            socket.send(json.dumps({"type": "subscribe", "vehicles": "all", "signals": "all", **wishes}))
        yield socket


def take(socket: ClientConnection, seconds: float = 5) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(seconds))
    return message


def take_frames(socket: ClientConnection, seconds: float = 5) -> dict[str, Any]:
    """The next message of frames."""
    while (message := take(socket, seconds))["type"] != "frames":
        continue
    return message


def send(portal: Portal, team: Team, frames: list[list[Any]], signals: list[str] | None = None) -> None:
    block = {"vehicle": team.vehicle.public_id, "source": "obd", "signals": signals or SIGNALS, "frames": frames}
    with portal.client(team.key) as client:
        assert client.post("/api/v1/telemetry", json={"blocks": [block]}).status_code == 200


def test_a_snapshot_comes_first_and_frames_follow_in_a_chain(portal: Portal, team: Team) -> None:
    now = time.time()
    send(portal, team, [[now - 1, 800, 10]])
    with stream(portal, team, vehicles=[team.vehicle.public_id], max_hz=100) as socket:
        snapshot = take(socket)
        assert (snapshot["type"], snapshot["vehicle"], snapshot["state"]) == (
            "snapshot",
            team.vehicle.public_id,
            "moving",
        )
        assert snapshot["signals"]["engine.rpm"][1] == 800
        previous = snapshot["seq"]
        for step in range(3):
            send(portal, team, [[now + step * 0.1, 900 + step, None]])
            message = take_frames(socket)
            assert message["prev"] == previous
            assert message["signals"] == SIGNALS
            assert message["source"] == "obd"
            assert message["frames"] == [[pytest.approx(now + step * 0.1, abs=1e-5), 900 + step, None]]
            assert message["seq"] > previous
            previous = message["seq"]


def test_only_the_wanted_signals_and_vehicles_arrive(portal: Portal, team: Team) -> None:
    from vehicles.services import vehicle_create

    other = vehicle_create(organization=team.organization, user=None, name="other")
    with stream(portal, team, vehicles=[other.public_id], signals=["vehicle.speed"]) as socket:
        send(portal, team, [[time.time(), 800, 10]])
        row = {
            "vehicle": other.public_id,
            "time": time.time(),
            "values": {"engine.rpm": 1, "vehicle.speed": 7, "vehicle.gear": "D"},
        }
        with portal.client(team.key) as client:
            client.post("/api/v1/telemetry", json={"rows": [row]})
        message = take_frames(socket)
    assert (message["vehicle"], message["signals"]) == (other.public_id, ["vehicle.speed"])
    assert message["frames"][0][1] == 7


def test_texts_and_booleans_travel(portal: Portal, team: Team) -> None:
    with stream(portal, team, max_hz=100) as socket:
        send(portal, team, [[time.time(), "D", True]], ["vehicle.gear", "vehicle.ignition"])
        message = take_frames(socket)
    values = dict(zip(message["signals"], message["frames"][0][1:], strict=True))
    assert values == {"vehicle.gear": "D", "vehicle.ignition": 1.0}


def test_above_the_rate_the_newest_values_are_coalesced(portal: Portal, team: Team) -> None:
    with stream(portal, team, max_hz=5) as socket:
        now = time.time()
        send(portal, team, [[now + i / 1000, i, None] for i in range(200)])
        send(portal, team, [[now + 0.3, 999, 33]])
        got = []
        deadline = time.monotonic() + 5
        while not got or got[-1][1] != 999:
            got += take_frames(socket)["frames"]
            assert time.monotonic() < deadline
    assert len(got) <= 12
    assert got[-1][1:] == [999, 33]


def test_below_the_rate_every_frame_arrives(portal: Portal, team: Team) -> None:
    with stream(portal, team, max_hz=1000) as socket:
        now = time.time()
        for start in range(0, 500, 50):
            send(portal, team, [[now + (start + i) / 1000, start + i, None] for i in range(50)])
        got: list[float] = []
        while len(got) < 500:
            got += [frame[1] for frame in take_frames(socket)["frames"]]
    assert got == list(range(500))


def test_who_returns_resumes_where_they_were(portal: Portal, team: Team) -> None:
    now = time.time()
    send(portal, team, [[now, 1, None]])
    with stream(portal, team, max_hz=100) as socket:
        seen = take(socket)["seq"]
    send(portal, team, [[now + 1, 2, None], [now + 2, 3, None]])
    send(portal, team, [[now + 3, 4, None]])
    with stream(portal, team, max_hz=100, resume={team.vehicle.public_id: seen}) as socket:
        got = []
        while len(got) < 3:
            message = take(socket)
            assert message["type"] == "frames"
            assert message["prev"] == seen
            seen = message["seq"]
            got += [frame[1] for frame in message["frames"]]
    assert got == [2, 3, 4]


def test_who_was_away_too_long_is_told_of_the_gap(portal: Portal, team: Team) -> None:
    now = time.time() - 3600
    send(portal, team, [[now, 1, None]])
    for start in range(0, 6000, 1000):
        send(portal, team, [[now + 1 + (start + i) / 10, i, None] for i in range(1000)])
    with stream(portal, team, resume={team.vehicle.public_id: 1}) as socket:
        assert [take(socket)["type"] for _ in range(2)] == ["gap", "snapshot"]


def test_mistakes_are_answered_and_the_socket_stays(portal: Portal, team: Team) -> None:
    with stream(portal, team) as socket:
        for text in ("no json", "[]", '{"type": "dance"}', '{"type": "subscribe", "vehicles": 5}', '{"a": NaN}',
                     '{"type": "subscribe", "vehicles": ["nobody"]}', '{"type": "subscribe", "resume": {"x": "y"}}'):  # fmt: skip
            socket.send(text)
            answer = take(socket)
            assert answer["type"] == "error", text
            assert answer["detail"]
        socket.send('{"type": "ping"}')
        assert take(socket)["type"] == "pong"


def test_a_token_may_come_as_first_message_or_ticket(portal: Portal, team: Team) -> None:
    with connect(url(portal)) as socket:
        socket.send(json.dumps({"type": "auth", "token": team.tokens["viewer"]}))
        assert take(socket)["type"] == "hello"
    with connect(url(portal)) as socket:
        socket.send(json.dumps({"type": "subscribe", "vehicles": "all"}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
    with portal.client(team.tokens["viewer"]) as client:
        ticket = client.post("/api/v1/ws-tickets").json()["ticket"]
    with connect(f"{url(portal)}?ticket={ticket}") as socket:
        assert take(socket)["type"] == "hello"
    with pytest.raises(InvalidStatus):
        connect(f"{url(portal)}?ticket={ticket}")


def test_a_session_needs_our_own_origin(portal: Portal, team: Team) -> None:
    client = sign_in(portal, team.users["viewer"].email, team.password)
    cookie = {"Cookie": f"motorpool-session={client.cookies['motorpool-session']}"}
    with connect(url(portal), origin=portal.url, additional_headers=cookie) as socket:  # type: ignore[arg-type]
        assert take(socket)["type"] == "hello"
    for origin in (None, "null", "https://evil.example", portal.url + ".evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            connect(url(portal), origin=origin, additional_headers=cookie)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("event", ["membership", "token", "password", "inactive", "logout"])
def test_who_may_no_longer_watch_is_closed_within_five_seconds(portal: Portal, team: Team, event: str) -> None:
    user = team.users["viewer"]
    if event == "logout":
        browser = sign_in(portal, user.email, team.password)
        cookie = {"Cookie": f"motorpool-session={browser.cookies['motorpool-session']}"}
        socket = connect(url(portal), origin=portal.url, additional_headers=cookie)  # type: ignore[arg-type]
    else:
        protocols = ["motorpool.v1", f"bearer.{team.tokens['viewer']}"]
        socket = connect(url(portal), subprotocols=protocols)  # type: ignore[arg-type]
    with socket:
        take(socket)
        socket.send(json.dumps({"type": "subscribe", "vehicles": "all", "signals": "all"}))
        match event:
            case "membership":
                user.memberships.all().delete()
            case "token":
                user.api_tokens.update(revoked_at="2026-01-01T00:00:00Z")
            case "password":
                user.set_password("another battery horse")
                user.save()
            case "inactive":
                user.is_active = False
                user.save()
            case "logout":
                data = {"csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
                browser.post("/accounts/logout/", data=data, headers={"Referer": portal.url})
        begun = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(8)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        assert time.monotonic() - begun < 5


def test_a_user_may_hold_two_hundred_sockets(portal: Portal, team: Team) -> None:
    watchers = [open_socket(portal.port, team.tokens["viewer"], {"vehicles": "all"}) for _ in range(200)]
    with connect(url(portal), subprotocols=["motorpool.v1", f"bearer.{team.tokens['viewer']}"]) as socket:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
    for watcher in watchers:
        watcher.connection.close()


@pytest.mark.long
def test_who_does_not_read_costs_little_and_delays_nobody(portal: Portal, team: Team) -> None:
    token = team.tokens["viewer"]
    wishes = {"vehicles": "all", "signals": "all", "max_hz": 1000}
    before = portal.rss()
    deaf = [open_socket(portal.port, token, wishes, receive_buffer=4096) for _ in range(10)]
    healthy = [open_socket(portal.port, token, wishes) for _ in range(10)]
    signals = [f"my.s{i:03}" for i in range(200)]
    ended = time.monotonic() + 25
    while time.monotonic() < ended:
        send(portal, team, [[time.time(), *range(200)]], signals)
        watch(healthy, 0.03)
    latencies = sorted(latency for watcher in healthy for latency in watcher.latencies)
    assert latencies[int(len(latencies) * 0.99)] < 0.25
    assert portal.rss() - before < 20 * 1_000_000

    def all_closed() -> bool:
        return all(_is_closed(watcher.connection) for watcher in deaf)

    eventually(all_closed, 20)


def _is_closed(connection: Any) -> bool:
    connection.settimeout(0.01)
    try:
        while data := connection.recv(1_000_000):
            if not data:
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("event", ["token", "logout", "membership"])
def test_f21_x10_a_socket_of_a_ticket_ends_with_what_the_ticket_was_made_with(
    portal: Portal, team: Team, event: str
) -> None:
    user = team.users["viewer"]
    browser = sign_in(portal, user.email, team.password)
    headers = {"X-CSRFToken": browser.cookies["motorpool-csrf"], "Referer": portal.url}
    with portal.client(team.tokens["viewer"]) as client:
        made = client.post("/api/v1/ws-tickets")
    if event == "logout":
        made = browser.post("/api/v1/ws-tickets", headers=headers)
    with connect(f"{url(portal)}?ticket={made.json()['ticket']}") as socket:
        assert take(socket)["type"] == "hello"
        match event:
            case "token":
                user.api_tokens.all().delete()
            case "membership":
                user.memberships.all().delete()
            case "logout":
                form = {"csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
                browser.post("/accounts/logout/", data=form, headers={"Referer": portal.url})
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(8)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


def test_f21_a_ticket_that_expired_opens_nothing(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["viewer"]) as client:
        ticket = client.post("/api/v1/ws-tickets").json()["ticket"]
    SocketTicket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(InvalidStatus):
        connect(f"{url(portal)}?ticket={ticket}")


@pytest.mark.parametrize(
    "resume",
    [
        {"6": -1e19}, {"6": 1e400}, {"6": "x"}, {"x": 1}, {"6": None}, {"6": True}, [], "x",
        {str(n): 1 for n in range(6_000)}, {"9" * 400: 1},
    ],
)  # fmt: skip
def test_f19_x14_an_odd_resume_is_answered_and_ends_nothing(portal: Portal, team: Team, resume: Any) -> None:
    with stream(portal, team) as socket:
        wish = {"type": "subscribe", "vehicles": "all", "signals": "all", "resume": resume}
        socket.send(json.dumps(wish).replace("Infinity", "1e400"))
        socket.send('{"type": "ping"}')
        while (message := take(socket))["type"] != "pong":
            assert message["type"] in ("snapshot", "error", "heartbeat")


def test_two_portals_on_one_redis_server_do_not_hear_each_other(portal: Portal, team: Team) -> None:
    elsewhere = settings.REDIS_URL.rsplit("/", 1)[0] + "/15"
    foreign = f"{messages.TOPIC.rsplit(':', 2)[0]}:15:{team.organization.pk}"
    assert foreign != messages.topic(team.organization.pk)
    with stream(portal, team, max_hz=100) as socket, Redis.from_url(elsewhere) as other:
        other.publish(foreign, messages.encode(messages.State(team.vehicle.pk, "moving", 1.0)))
        send(portal, team, [[time.time(), 800, 10]])
        assert take_frames(socket)["frames"][0][1] == 800
