"""Addresses that tenants name lead to the public Internet or nowhere: a canary on loopback sees no connection."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.channels import Undelivered
from alerts.models import Channel, Delivery
from fleet.lib import safe_http
from fleet.lib.errors import MotorpoolError
from fleet.lib.outbound import OutboundError
from integrations.channels.chat import ChatChannel
from integrations.channels.webhook import WebhookChannel
from tests.conftest import Team
from tests.portal import free_port

PRIVATE = [
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "0", "0.0.0.0", "127.1", "127.0.1", "2130706433", "0x7f000001",
    "0x7f.0.0.1", "0177.0.0.1", "017700000001", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.1.254", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00::1]",
    "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]", "[100::1]", "localhost.", "LOCALHOST", "ip6-localhost",
]  # fmt: skip
"""Names of this machine, of private networks, of link-local and reserved ranges, in many spellings."""
SHAPES = ["http://{host}:{port}/", "https://{host}:{port}/x", "http://user:pass@{host}:{port}/"]
ODD = [
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/", "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/", "unix:///tmp/socket", "http+unix://%2Ftmp%2Fsocket/", "http:///x", "http://", "//127.0.0.1:{port}/",
    "http:127.0.0.1:{port}", "http:/127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@example.com/", "http://example.com@127.0.0.1:{port}/",
    "http://example.com#@127.0.0.1:{port}/", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://127.0.0.1:abc/",
    "http://127.0.0.1:{port} /", "http://127.0.0.1\t:{port}/", "http://127.0.0.1:{port}\r\nHost: example.com/", "http://１２７.0.0.1:{port}/",
    "http://①②⑦.0.0.1:{port}/", "http://127。0。0。1:{port}/", "http://example.com:22/", "http://example.com:25/", "http://example.com:6379/",
    "http://example.com:5432/", "javascript:alert(1)", "data:text/plain,x", "", " ", "http://" + "a" * 3000,
]  # fmt: skip
CHATS = [
    "json://127.0.0.1:{port}/", "jsons://127.0.0.1:{port}/", "xml://127.0.0.1:{port}", "form://127.0.0.1:{port}", "mailto://127.0.0.1:{port}",
    "syslog://", "rsyslog://127.0.0.1:{port}", "dbus://", "macosx://", "windows://", "gnome://", "exec:///bin/true", "file:///tmp/x",
    "ntfy://127.0.0.1:{port}/t", "ntfys://127.0.0.1:{port}/t", "ntfy://[::1]:{port}/t", "ntfy://169.254.169.254/t", "ntfy://localhost:{port}/t",
    "gotify://127.0.0.1:{port}/ABCDEFGHIJKLMNO", "gotifys://[::ffff:127.0.0.1]:{port}/ABCDEFGHIJKLMNO", "mmost://127.0.0.1:{port}/ABCDEFGHIJKLMNOPQRSTUVWXYZ12",
    "rocket://user:pass@127.0.0.1:{port}/#room", "rockets://10.0.0.1/#room", "matrix://127.0.0.1:{port}/", "mqtt://127.0.0.1:{port}/t", "smtp://127.0.0.1:{port}",
    "ntfy://2130706433:{port}/t", "ntfy://0x7f000001:{port}/t", "ntfy://192.168.0.1/t?rto=99999&cto=99999", "kodi://127.0.0.1:{port}",
]  # fmt: skip


class Canary:
    """Listens on loopback and counts who comes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.seen: list[Any] = []
        self._sockets = []
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, self.port))
            except OSError:
                continue
            listener.listen(100)
            self._sockets.append(listener)
            threading.Thread(target=self._take, args=(listener,), daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            self.seen.append(address)
            connection.close()

    def close(self) -> None:
        for listener in self._sockets:
            listener.close()


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    """Its port counts as usual, so that nothing but the address speaks against it."""
    found = Canary()
    monkeypatch.setattr(safe_http, "PORTS", (*safe_http.PORTS, found.port))
    yield found
    found.close()


def hostile(port: int) -> list[str]:
    urls = [shape.format(host=host, port=port) for host in PRIVATE for shape in SHAPES]
    return urls + [url.replace("{port}", str(port)) for url in ODD]


def test_there_are_two_hundred_of_them() -> None:
    assert len(hostile(1)) + len(CHATS) >= 200


def test_webhooks_reach_nothing_forbidden(canary: Canary, team: Team) -> None:
    for url in hostile(canary.port):
        channel = Channel(organization=team.organization, kind="webhook", name="x")
        try:
            WebhookChannel().prepare(channel, {"url": url}, team.users["admin"])
        except MotorpoolError:
            continue
        delivery = Delivery(channel=channel, organization=team.organization, recipient="x")
        from alerts.composing import message_of

        with pytest.raises(Undelivered):
            WebhookChannel().send(channel, message_of(delivery))
        channel.delete()
    assert canary.seen == []


def test_chats_reach_nothing_forbidden(canary: Canary, team: Team) -> None:
    from alerts.composing import message_of

    for url in (url.replace("{port}", str(canary.port)) for url in CHATS):
        channel = Channel(organization=team.organization, kind="apprise", name="x")
        try:
            ChatChannel().prepare(channel, {"url": url}, team.users["admin"])
        except MotorpoolError:
            continue
        with pytest.raises(Undelivered):
            ChatChannel().send(
                channel, message_of(Delivery(channel=channel, organization=team.organization, recipient="x"))
            )
        channel.delete()
    assert canary.seen == []


def test_every_listed_chat_talks_through_the_portals_own_http() -> None:
    import importlib
    import inspect

    from integrations.channels import chat

    for name in set(chat.SERVICES.values()):
        chat._confine(name)
        module = importlib.import_module(f"apprise.plugins.{name}")
        assert module.requests is chat._Requests
        source = inspect.getsource(module)
        for word in ("import socket", "urllib.request", "http.client", "smtplib", "requests.Session", "subprocess"):
            assert word not in source, f"{name} uses {word}"


def test_a_name_that_changes_its_mind_leads_to_no_second_place(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: public when it is checked, loopback when it is connected to. It is asked once, and pinned."""
    asked = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        address = "192.0.0.9" if len(asked) % 2 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    for _ in range(4):
        with pytest.raises(OutboundError):
            safe_http.call("POST", f"http://rebind.example:{canary.port}/", body=b"x", seconds=0.3)
    assert canary.seen == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, canary.port)) for a in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: mixed)
    with pytest.raises(OutboundError, match="public Internet"):
        safe_http.call("POST", f"http://mixed.example:{canary.port}/", seconds=1)
    assert canary.seen == []


class Server(threading.Thread):
    """A server on loopback that answers as it is told; allowed by name for these tests."""

    def __init__(self, answer: list[bytes], pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer, self.pause = answer, pause
        self.start()

    def run(self) -> None:
        connection, _ = self.listener.accept()
        connection.recv(65_536)
        try:
            for part in self.answer:
                connection.sendall(part)
                time.sleep(self.pause)
        except OSError:
            pass
        connection.close()


def call(settings: Any, server: Server, seconds: float = 2.0) -> Any:
    settings.OUTBOUND_HOSTS = [f"127.0.0.1:{server.port}"]
    return safe_http.call("POST", f"http://127.0.0.1:{server.port}/", body=b"x", seconds=seconds)


def test_a_redirect_is_not_followed(settings: Any, canary: Canary) -> None:
    location = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{canary.port}/\r\nContent-Length: 0\r\n\r\n"
    assert call(settings, Server([location.encode()])).status == 302
    assert canary.seen == []


def test_a_huge_answer_ends(settings: Any) -> None:
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"] + [b"x" * 100_000] * 50)
    with pytest.raises(OutboundError, match="more than"):
        call(settings, server)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["in the head", "in the body"]
)
def test_a_slow_answer_ends_at_the_deadline(settings: Any, head: bytes) -> None:
    server = Server([head or b"HTTP/1.1 200 OK\r\n"] + [b"X-A: 1\r\n" if not head else b"x"] * 200, pause=0.1)
    begun = time.monotonic()
    with pytest.raises(OutboundError, match="within"):
        call(settings, server, seconds=1.0)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.192", "168.63.129.16", "169.254.169.254", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1",
        "198.19.255.255", "255.255.255.255", "fd00:ec2::254", "100::1", "3fff::1", "5f00::1", "2620:4f:8000::1",
        "64:ff9b::a83f:8110", "::ffff:168.63.129.16", "2002:a83f:8110::",
    ],
)  # fmt: skip
def test_x16_special_addresses_are_refused_by_a_list_of_our_own(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert not safe_http.is_public(ipaddress.ip_address(address))
    tried: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda place, *rest, **more: tried.append(place))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(OutboundError):
        safe_http.call("GET", f"http://{host}/", seconds=1)
    assert not tried


def test_x16_every_public_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "9.9.9.9")]
    tried: list[Any] = []

    def refused(place: Any, *rest: Any, **more: Any) -> None:
        tried.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: entries)
    monkeypatch.setattr(socket, "create_connection", refused)
    with pytest.raises(OutboundError):
        safe_http.call("GET", "http://name.example/", seconds=2)
    assert tried == ["8.8.8.8", "9.9.9.9"]


def test_f13_a_name_server_that_does_not_answer_costs_no_more_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: silent.wait(20))
    begun = time.monotonic()
    try:
        with pytest.raises(OutboundError):
            safe_http.call("GET", "http://name.example/", seconds=0.5)
        assert time.monotonic() - begun < 2
    finally:
        silent.set()
