"""Real recordings of CAN buses and positions, decoded; a bus, gpsd and a serial receiver, read."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import can
import pytest
from motorpool_collector.can_decoding import Decoder, Filter
from motorpool_collector.driver import CollectorError
from motorpool_collector.drivers.can import CanDriver
from motorpool_collector.drivers.gps import GpsDriver
from motorpool_collector.recordings import read_any
from support import eventually

RAV4 = "can/comma2k19_rav4/rav4_0-15s.candump.log"
TOYOTA = "can/dbc/toyota_new_mc_pt_generated.dbc"


@pytest.fixture
def shared_data() -> Path:
    """Real recordings, where this machine has them; they are too large to stand here."""
    folder = Path(os.environ.get("MOTORPOOL_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared recordings here")
    return folder


def test_a_decoder_counts_what_it_does_not_know(shared_data: Path) -> None:
    decoder = Decoder([str(shared_data / TOYOTA)], unmapped=True)
    recording = read_any(str(shared_data / RAV4), dbc=str(shared_data / TOYOTA), channel="can0")
    assert "9755 CAN frames decoded, 3707 that no DBC file knows, 0 broken" in "\n".join(recording.lines())
    assert any(name.startswith("can.wheel_speeds.") for frame in recording.frames for name in frame.values)
    assert decoder.frame(1.0, 0x7FF, b"\x00") is None
    assert decoder.unknown == 1


@pytest.mark.parametrize("name", ["hyundai_can.dbc"])
def test_a_dbc_file_that_cannot_be_read_is_told(shared_data: Path, name: str) -> None:
    with pytest.raises(CollectorError, match="cannot be read"):
        Decoder([str(shared_data / "can/dbc" / name)])


def test_a_mapping_to_nothing_is_told(shared_data: Path) -> None:
    with pytest.raises(CollectorError, match="NO_SUCH"):
        Decoder([str(shared_data / TOYOTA)], {"NO_SUCH": "a.b"})


def test_filters_let_changes_and_intervals_through() -> None:
    keep = Filter(interval=1.0)
    assert [keep.passes("a.b", t / 10, 1.0) for t in range(21)].count(True) == 3
    keep = Filter(changes_only=True)
    assert [keep.passes("a.b", float(t), v) for t, v in enumerate([1.0, 1.0, 2.0, 2.0, 1.0])] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_live_bus_is_decoded_and_recorded(tmp_path: Path, shared_data: Path) -> None:
    record = tmp_path / "drive.log"
    driver = CanDriver(
        str(shared_data / TOYOTA), "virtual", "motorpool", record=str(record),
        map={"WHEEL_SPEED_FL": {"signal": "wheel.fl", "factor": 0.5, "offset": 1}},
    )  # fmt: skip
    driver.open()
    with can.Bus(interface="virtual", channel="motorpool") as other:
        for data in ("1a6f1a6f1a6f1a6f", "1b6f1b6f1b6f1b6f"):
            other.send(can.Message(arbitration_id=0xAA, data=bytes.fromhex(data), is_extended_id=False))
        other.send(can.Message(arbitration_id=0x7FE, data=b"\x01", is_extended_id=False))
        frames = driver.read()
    driver.close()
    expected = [0.5 * (int(raw, 16) * 0.01 - 67.67) + 1 for raw in ("1a6f", "1b6f")]
    assert [frame.values["wheel.fl"] for frame in frames] == pytest.approx(expected)
    assert driver.decoder.unknown == 1
    again = read_any(str(record), dbc=str(shared_data / TOYOTA), map={"WHEEL_SPEED_FL": "wheel.fl"})
    assert len(again.frames) == 2


def test_gpx_files_with_odd_contents_are_read(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "gps/gpxpy"
    found = {file.name: len(read_any(str(file)).frames) for file in folder.glob("*.gpx")}
    assert found["track-with-empty-segment.gpx"] > 0
    assert found["korita-zbevnica.gpx"] > 10
    bomb = tmp_path / "bomb.gpx"
    bomb.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><gpx>&a;</gpx>')
    with pytest.raises(CollectorError, match="entities"):
        read_any(str(bomb))


class FakeGpsd(threading.Thread):
    """A server that sends prepared reports to whoever connects."""

    def __init__(self, reports: list[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.data = "".join(json.dumps(report) + "\n" for report in reports).encode()
        self.start()

    def run(self) -> None:
        line, _ = self.socket.accept()
        with line:
            assert b"WATCH" in line.recv(200)
            line.sendall(self.data)
            line.recv(1)


def test_reports_of_gpsd_become_positions() -> None:
    fix = {"class": "TPV", "mode": 3, "time": "2026-11-20T10:00:00.000Z", "lat": 52.1, "lon": 5.1, "altMSL": 4.5,
           "speed": 10.0, "track": 90.0, "eph": 3.2}  # fmt: skip
    server = FakeGpsd([{"class": "VERSION"}, {"class": "TPV", "mode": 1}, {"class": "SKY", "uSat": 9}, fix])
    driver = GpsDriver(gpsd_port=server.port)
    driver.open()
    frames: list[Any] = []
    eventually(lambda: bool(frames.extend(driver.read()) or frames), 5)
    driver.close()
    assert len(frames) == 1
    assert frames[0].time == 1_795_168_800
    assert frames[0].values == {
        "location.latitude": 52.1, "location.longitude": 5.1, "location.altitude": 4.5, "location.speed": 36.0,
        "location.heading": 90.0, "location.accuracy": 3.2, "location.satellites": 9.0,
    }  # fmt: skip


def test_a_serial_receiver_is_read(shared_data: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    driver = GpsDriver(port=f"socket://127.0.0.1:{server.getsockname()[1]}")
    driver.open()
    line, _ = server.accept()
    lines = (shared_data / "gps/gpsd_nmea/quectel-L70.log").read_bytes().splitlines(keepends=True)
    threading.Thread(target=line.sendall, args=(b"$GARBAGE*00\r\n" + b"".join(lines),), daemon=True).start()
    frames: list[Any] = []
    eventually(lambda: bool(frames.extend(driver.read()) or len(frames) > 10), 10)
    driver.close()
    assert all(-90 <= frame.values["location.latitude"] <= 90 for frame in frames)
    assert any(frame.values.get("location.satellites", 0) > 3 for frame in frames)
