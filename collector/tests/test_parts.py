"""Spool, uplink, configuration, bridge and the commands of the command line."""

from __future__ import annotations

import gzip
import http.server
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from motorpool_collector.agent import Agent
from motorpool_collector.batches import BatchBuilder, request_body
from motorpool_collector.bridge import BridgeServer
from motorpool_collector.carriers import HttpCarrier
from motorpool_collector.config import read_config
from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.drivers.bluetooth import BluetoothDriver
from motorpool_collector.drivers.bridge import BridgeDriver
from motorpool_collector.spool import Spool
from motorpool_collector.tuning import Tuning
from motorpool_collector.uplink import Uplink
from support import eventually

SOURCE = Path(__file__).parent.parent / "src"


def blocks(first: int, count: int = 10) -> bytes:
    builder = BatchBuilder(None)
    builder.add("t", [Frame(float(first + i), {"engine.rpm": float(i)}) for i in range(count)])
    return builder.take()[0]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(str(tmp_path / "spool.sqlite3"))
    yield made
    made.close()


def test_several_batches_make_one_body() -> None:
    body = json.loads(gzip.decompress(request_body("b", 5, [blocks(0), blocks(10), blocks(20)])))
    assert (body["boot"], body["seq"]) == ("b", 5)
    assert [frame[0] for block in body["blocks"] for frame in block["frames"]] == [float(i) for i in range(30)]


def test_the_newest_and_the_oldest_are_taken_apart(spool: Spool) -> None:
    seqs = [spool.add(blocks(i * 10), 10) for i in range(10)]
    (newest,) = spool.newest()
    oldest = spool.oldest(4, 1_000, 4)
    assert newest.seq == seqs[-1]
    assert [batch.seq for batch in oldest] == seqs[:4]
    assert [batch.seq for batch in spool.newest()] == [seqs[-2]]  # what is taken is not taken twice
    spool.give_back(oldest)
    assert [batch.seq for batch in spool.oldest(2, 1_000, 1)] == seqs[:2]
    assert spool.oldest(5, 25, 1)[0].seq == seqs[2]
    spool.delete([newest])
    assert spool.depth() == 9


def test_a_full_spool_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    size = len(blocks(0))
    small = Spool(str(tmp_path / "small.sqlite3"), most_bytes=size * 5 + size // 2)
    for i in range(12):
        small.add(blocks(i * 10), 10)
    assert (small.depth(), small.dropped) == (5, 70)
    small.close()
    again = Spool(str(tmp_path / "small.sqlite3"))
    assert again.dropped == 70
    assert [batch.seq for batch in again.oldest(9, 1_000, 1)] == [8, 9, 10, 11, 12]
    again.close()


def test_old_batches_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    old = Spool(str(path), most_days=1)
    old.add(blocks(0), 10)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE batch SET created = created - 90000")
    for i in range(60):
        old.add(blocks(i), 10)
    assert (old.depth(), old.dropped) == (60, 10)
    old.close()


def test_a_full_disk_costs_the_oldest_not_the_agent(tmp_path: Path) -> None:
    full = Spool(str(tmp_path / "full.sqlite3"))
    full._database.execute("PRAGMA max_page_count = 20")  # as full as a disk can be
    for i in range(400):
        full.add(blocks(i, 200), 200)
    assert full.dropped > 0
    assert full.depth() > 0
    assert full.depth() * 200 + full.dropped == 400 * 200
    full.close()


def test_batches_of_the_first_version_are_still_sent(spool: Spool) -> None:
    spool.add(b'[{"source":"t","signals":["engine.rpm"],"frames":[[1.0,5.0]]}]', 1)
    body = json.loads(gzip.decompress(request_body("b", 1, [spool.newest()[0].blocks])))
    assert body["blocks"][0]["frames"] == [[1.0, 5.0]]


class Receiver(http.server.ThreadingHTTPServer):
    """A portal that answers as it is told and notes what came."""

    def __init__(self, status: int = 200, retry_after: str = "", slow: float = 0.0) -> None:
        self.status, self.retry_after, self.slow = status, retry_after, slow
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))))
        time.sleep(self.server.slow)
        self.server.times.append(time.monotonic())
        self.server.bodies.append(body)
        data = json.dumps({"batch": "x", "boot": body["boot"], "seq": body["seq"]}).encode()
        self.send_response(self.server.status)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def test_a_backlog_does_not_delay_what_happens_now(spool: Spool) -> None:
    for i in range(300):
        spool.add(blocks(i * 10), 10)
    receiver = Receiver(slow=0.02)
    uplink = Uplink(HttpCarrier(receiver.url, "mpd_x"), spool)
    uplink.start()
    begun = time.monotonic()
    spool.add(blocks(1_000_000), 10)
    uplink.notify()
    assert uplink.drain(30)
    uplink.stop()
    sent = [block["frames"][0][0] for body in receiver.bodies for block in body["blocks"]]
    place = next(i for i, body in enumerate(receiver.bodies) if body["blocks"][0]["frames"][0][0] == 1_000_000)
    assert receiver.times[place] - begun < 1
    assert sorted(sent) == [float(i * 10) for i in range(300)] + [1_000_000.0]
    assert len(receiver.bodies) < 250  # the backlog goes several at a time


def test_a_busy_portal_is_given_time(spool: Spool) -> None:
    spool.add(blocks(0), 10)
    receiver = Receiver(503, retry_after="2")
    uplink = Uplink(HttpCarrier(receiver.url, "mpd_x"), spool)
    uplink.start()
    eventually(lambda: len(receiver.times) == 1, 5)
    receiver.status = 200
    assert uplink.drain(10)
    uplink.stop()
    assert receiver.times[1] - receiver.times[0] >= 2


def test_a_stop_that_comes_before_the_wait_for_the_portal_shortens_it(spool: Spool) -> None:
    spool.add(blocks(0), 10)
    receiver = Receiver(503)
    uplink = Uplink(HttpCarrier(receiver.url, "mpd_x"), spool)
    uplink.start()
    uplink.hurry()
    begun = time.monotonic()
    assert not uplink.drain(60)
    assert time.monotonic() - begun < 30
    uplink.stop()
    assert spool.depth() == 1


def test_one_bad_batch_does_not_hold_the_others(spool: Spool) -> None:
    for i in range(5):
        spool.add(blocks(i * 10), 10)
    receiver = Receiver(422)
    uplink = Uplink(HttpCarrier(receiver.url, "mpd_x"), spool)
    uplink.start()
    assert uplink.drain(20)
    uplink.stop()
    assert uplink.refused == 5
    assert spool.facts()["set_aside"] == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("portal = 5", "portal is a table"),
        ("[portal]\nurl = 5", "portal.url must be text"),
        ("[portal]\nkye = 'x'", "portal.kye is not known"),
        ("[spool]\nmax_mb = 'much'", "spool.max_mb must be a number"),
        ("[extra]", "[extra] is not known"),
        ("[[driver]]\ntype = 'teleport'", "driver 1: type is 'teleport'"),
        ("[driver]\ntype = 'obd'", "write [[driver]]"),
        ("[portal", "is not TOML"),
        ("[portal]\nkey_file = '/no/such'", "portal.key_file"),
    ],
)
def test_a_mistake_in_the_configuration_names_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.delenv("MOTORPOOL_KEY", raising=False)
    path = tmp_path / "collector.toml"
    path.write_text(text)
    with pytest.raises(CollectorError) as error:
        read_config(str(path))
    assert words in str(error.value)
    assert str(path) in str(error.value)


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCE), **environment}
    words = [sys.executable, "-m", "motorpool_collector", *arguments]
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=60)


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    wrong = command("check", "--driver", "gps:gpsd_port=1", "--driver", "simulator:hz=1", folder=tmp_path)
    assert wrong.returncode == 1
    assert "WRONG  gps: gpsd does not answer" in wrong.stdout
    assert "ok     simulator" in wrong.stdout
    assert "ready" in command("drivers", folder=tmp_path).stdout


def test_another_collector_reads_along_over_the_bridge() -> None:
    token = "a-token-of-some-length"
    server = BridgeServer("127.0.0.1", 0, token)
    stranger = BridgeDriver("127.0.0.1", "another-token-of-length", server.port)
    with pytest.raises(CollectorError, match="does not accept"):
        stranger.open()
    reader = BridgeDriver("127.0.0.1", token, server.port)
    reader.open()
    server.take("obd", [Frame(5.0, {"engine.rpm": 900.0})])
    frames: list[Frame] = []
    eventually(lambda: bool(frames.extend(reader.read()) or frames), 5)
    assert (frames[0].time, frames[0].values) == (5.0, {"engine.rpm": 900.0})
    reader.close()
    server.stop()
    with pytest.raises(CollectorError, match="at least 16"):
        BridgeServer("127.0.0.1", 0, "short")


BLUEZ = """#!/bin/sh
echo "$@" >> {folder}/calls
case "$*" in
*GetManagedObjects*) cat {folder}/objects.json ;;
esac
"""


def test_a_phone_is_seen_and_its_player_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "busctl"
    fake.write_text(BLUEZ.format(folder=tmp_path))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    track = {"Title": {"type": "s", "data": "Long Road"}, "Artist": {"type": "s", "data": "The Axles"}}
    device = {"org.bluez.Device1": {"Connected": {"type": "b", "data": True}, "Alias": {"type": "s", "data": "Phone"}}}
    player = {"org.bluez.MediaPlayer1": {
        "Status": {"type": "s", "data": "playing"}, "Position": {"type": "u", "data": 61_500},
        "Track": {"type": "a{sv}", "data": track},
    }}  # fmt: skip
    path = "/org/bluez/hci0/dev_00_1A_7D_DA_71_13"
    (tmp_path / "objects.json").write_text(
        json.dumps({"type": "a{oa{sa{sv}}}", "data": [{path: device, path + "/player0": player}]})
    )
    phone = BluetoothDriver()
    phone.open()
    assert phone.read()[0].values == {
        "connectivity.bluetooth": True, "media.playing": True, "media.position": 61.5, "media.title": "Long Road",
        "media.artist": "The Axles",
    }  # fmt: skip
    assert phone.read() == []  # nothing has changed
    phone.command("media", {"action": "next"})
    phone.command("media", {"action": "connect", "device_address": "00:1a:7d:da:71:13"})
    calls = (tmp_path / "calls").read_text()
    assert f"org.bluez {path}/player0 org.bluez.MediaPlayer1 Next" in calls
    assert f"org.bluez {path} org.bluez.Device1 Connect" in calls
    with pytest.raises(CollectorError, match="pair it first"):
        phone.command("media", {"action": "connect", "device_address": "00:00:00:00:00:00"})
    (tmp_path / "objects.json").write_text("")
    with pytest.raises(CollectorError, match="does not answer"):
        phone.read()


def test_the_portal_tunes_a_driver_and_it_stays_tuned(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool.sqlite3"))
    tables = [{"type": "simulator", "hz": 1}]
    tuning = Tuning(tables, spool)
    uplink = Uplink(HttpCarrier("http://127.0.0.1:1", "mpd_x"), spool)
    agent = Agent(tuning.drivers(), spool, uplink, None, None, tuning)
    frames: list[int] = []
    agent.listen(lambda source, found: frames.append(len(found)))
    running = threading.Thread(target=agent.run)
    running.start()
    try:
        told = agent.carry_out("collector_config", {"driver": "simulator", "options": {"hz": 50}, "log_level": "info"})
        assert told["drivers"][0]["hz"] == 50
        frames.clear()
        eventually(lambda: len(frames) > 25, 3)
        for arguments, words in (
            ({"driver": "simulator", "options": {"hz": 0}}, "Simulator"),
            ({"driver": "simulator", "options": {"model": "ev"}}, "collector.toml only"),
            ({"driver": "obd", "options": {"hz": 1}}, "one of simulator"),
            ({"log_level": "loud"}, "log_level"),
        ):
            with pytest.raises(CollectorError, match=words):
                agent.carry_out("collector_config", arguments)
    finally:
        agent.stop()
        running.join(10)
        uplink.stop()
    assert Tuning(tables, spool).drivers()[0].period == 0.02  # after a restart too
    spool.close()
