"""gpsd and NMEA receivers over TCP: what they send when all is well, and when it is not."""

from __future__ import annotations

import json
import math
import random
import socket
import threading
import time
from datetime import datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
from typing import Any, List

import pytest
from motorpool_collector.agent import Agent
from motorpool_collector.batches import BatchBuilder, sound
from motorpool_collector.driver import Frame
from motorpool_collector.drivers.gps import GpsDriver
from motorpool_collector.recordings import read_any
from support import eventually

WEEKS = timedelta(weeks=1024)


def frames_from(data: bytes, nmea: bool) -> List[Frame]:
    """What the driver makes of a stream that a receiver or gpsd sends and then ends."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    driver = GpsDriver(port=f"socket://127.0.0.1:{port}") if nmea else GpsDriver(gpsd_port=port)

    def serve() -> None:
        line, _ = server.accept()
        with line:
            opened.wait(10)  # opening a port throws away what has come before
            line.sendall(data + b"\n" + (sentence("GPZDA,END") if nmea else b'{"class":"END"}') + b"\n")
            done.wait(10)

    done, opened = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    driver.open()
    opened.set()
    frames: List[Frame] = []
    ends, last = time.monotonic() + 5, 0.0
    while time.monotonic() < ends and not (last and time.monotonic() - last > 0.15):
        before = driver._heard
        frames += driver.read()
        if driver._heard != before:
            last = time.monotonic()
    done.set()
    driver.close()
    server.close()
    return frames


def sentence(body: str) -> bytes:
    checksum = reduce(lambda a, b: a ^ b, body.encode(), 0)
    return f"${body}*{checksum:02X}\r\n".encode()


def rmc(moment: datetime, position: str = "5206.000,N,00506.000,E", status: str = "A") -> bytes:
    return sentence(f"GPRMC,{moment:%H%M%S}.00,{status},{position},10.0,90.0,{moment:%d%m%y},,")


def tpv(**fields: Any) -> bytes:
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    report = {"class": "TPV", "mode": 3, "time": now, "lat": 52.1, "lon": 5.1, "speed": 10.0, **fields}
    return json.dumps(report).encode() + b"\n"


def test_n1_a_value_that_is_no_finite_number_is_left_out() -> None:
    (frame,) = frames_from(tpv(speed=math.nan, altMSL=math.inf, track="x", eph=None, mode=3), False)
    assert frame.values == {"location.latitude": 52.1, "location.longitude": 5.1}
    assert frames_from(tpv(lat=math.nan), False) == []
    assert frames_from(tpv(mode="NaN"), False) == []


def test_n1_an_elevation_that_is_no_number_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "t.gpx"
    file.write_text(
        '<gpx><trk><trkseg><trkpt lat="52" lon="5"><ele>NaN</ele><time>2026-11-28T10:00:00Z</time></trkpt></trkseg></trk></gpx>'
    )
    found = read_any(str(file))
    assert found.frames[0].values == {"location.latitude": 52, "location.longitude": 5}
    assert "<ele> that is no finite number" in "\n".join(found.lines())


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, "x" * 1001, "\x00", "\ud800", None, [1], {"a": 1}, b"x", 10**400, complex(1, 1)],
)
def test_n1_nothing_that_a_driver_hands_over_costs_others_readings(value: Any) -> None:
    kept, left = sound(Frame(1.7e9, {"a.b": value, "c.d": 1.0}))
    assert (kept, left) == (Frame(1.7e9, {"c.d": 1.0}), 1)
    assert sound(Frame(value, {"a.b": 1.0}))[0] is None
    builder = BatchBuilder(None)
    assert kept is not None
    builder.add("x", [kept])
    assert builder.take()[1] == 1


class Bad:
    """A driver that hands over everything at once."""

    source, period, finished = "bad", 0.01, False

    def open(self) -> None: ...

    def read(self) -> List[Frame]:
        return [Frame(time.time(), {"a.b": math.nan, "c.d": 1.0}), Frame(math.nan, {"c.d": 1.0}), Frame(1.0, None)]  # type: ignore[arg-type]

    def close(self) -> None: ...


def test_n1_the_agent_goes_on_and_counts(tmp_path: Path) -> None:
    class Uplink:
        acked_at = None

        def start(self) -> None: ...

        def notify(self) -> None: ...

    class Spool:
        dropped = 0
        batches: List[bytes] = []

        def add(self, blocks: bytes, count: int) -> None:
            self.batches.append(blocks)

        def keep_note(self, *_: Any) -> None: ...

    agent = Agent([Bad()], Spool(), Uplink(), None)  # type: ignore[arg-type,list-item]
    agent.run(0.6)
    assert agent.left_out["bad"] >= 3
    assert agent.latest["c.d"] == 1.0
    assert Spool.batches


@pytest.mark.parametrize("weeks", [1, 2])
def test_g1_a_date_of_1024_weeks_ago_is_put_right(weeks: int) -> None:
    past = datetime.now(timezone.utc) - weeks * WEEKS
    text = past.isoformat().replace("+00:00", "Z")
    (frame,) = frames_from(tpv(time=text), False)
    assert abs(frame.time - time.time()) < 10
    assert frames_from(tpv(time="2026-11-20T10:00:00Z"), False)[0].time == 1_795_168_800  # another day is no rollover


@pytest.mark.parametrize("weeks", [1, 2])
def test_h11_a_serial_receiver_follows_the_same_rule(weeks: int) -> None:
    past = datetime.now(timezone.utc) - weeks * WEEKS
    (frame,) = frames_from(rmc(past), True)
    assert abs(frame.time - time.time()) < 10
    assert frame.values["location.speed"] == pytest.approx(18.52)


def test_nmea_without_a_position_is_no_position() -> None:
    now = datetime.now(timezone.utc)
    assert frames_from(rmc(now, ",,,"), True) == []
    assert frames_from(rmc(now, status="V"), True) == []


@pytest.mark.parametrize("seed", range(4))
def test_any_stream_gives_finite_readings_and_no_end(seed: int) -> None:
    """1,000 reports and sentences each, cut, mixed and with odd values."""
    rng = random.Random(seed)
    now = datetime.now(timezone.utc)
    odd = [math.nan, math.inf, -1, 1e999, None, "", "x", [], {}, True, 91, 181, 1e308, "2026-99-99T00:00:00Z", 0]
    parts: List[bytes] = []
    for _ in range(1_000):
        kind = rng.randrange(6)
        if kind == 0:
            parts.append(
                tpv(**{rng.choice(["lat", "lon", "mode", "time", "speed", "track", "altMSL", "eph"]): rng.choice(odd)})
            )
        elif kind == 1:
            parts.append(
                rmc(
                    now - rng.randrange(3) * WEEKS,
                    rng.choice(["5206.000,N,00506.000,E", ",,,", "9999.0,N,x,E", "-1,S,1e9,W"]),
                )
            )
        elif kind == 2:
            parts.append(
                sentence(
                    f"GPGGA,100000,{rng.choice(['5206.000', '', 'x'])},N,00506.000,E,{rng.choice('0129x')},{rng.choice(['08', '', 'x'])},0.9,{rng.choice(['12.5', 'NaN', ''])},M,,,,"
                )
            )
        elif kind == 3:
            parts.append(rng.randbytes(rng.randrange(80)))
        elif kind == 4:
            parts.append(b"[" * 5000 + b"\n")
        else:
            whole = rng.choice([tpv(), rmc(now)])
            parts.append(whole[: rng.randrange(len(whole))] + b"\n")
    data = b"".join(parts)
    for nmea in (False, True):
        for frame in frames_from(data, nmea):
            assert math.isfinite(frame.time)
            assert all(isinstance(v, float) and math.isfinite(v) for v in frame.values.values()), frame
    eventually(lambda: True)
