"""Real recordings of CAN buses and positions: decoded to their reference, uploaded, read back from the portal."""

from __future__ import annotations

import csv
import shutil
import subprocess
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import pytest
from motorpool_collector.recordings import read_any

from tests.collector.test_collector import api, bound_key, collector
from tests.conftest import Team
from tests.portal import Portal, eventually, free_port

RAV4 = "can/comma2k19_rav4/rav4_0-15s.candump.log"
TOYOTA = "can/dbc/toyota_new_mc_pt_generated.dbc"
WHEELS = {"WHEEL_SPEED_FL": "fl", "WHEEL_SPEED_FR": "fr", "WHEEL_SPEED_RL": "rl", "WHEEL_SPEED_RR": "rr"}


def reference_wheels(shared_data: Path) -> dict[str, list[tuple[float, float]]]:
    """Speeds as the data set's authors decoded them, in m/s, by wheel and time."""
    rows = csv.DictReader((shared_data / "can/comma2k19_rav4/wheel_speed_0-15s.csv").open())
    listed = [{name: float(value) for name, value in row.items()} for row in rows]
    return {wheel: [(row["t"], row[wheel]) for row in listed] for wheel in WHEELS.values()}


def independent_wheels(log: Path) -> dict[str, list[tuple[float, float]]]:
    """The same from the bytes of the log: frame 0xAA holds four 16-bit numbers of 0.01 km/h, offset by 67.67 km/h."""
    found: dict[str, list[tuple[float, float]]] = {wheel: [] for wheel in WHEELS.values()}
    for line in log.read_text().splitlines():
        moment, channel, frame = line.split()
        identifier, _, data = frame.partition("#")
        if channel == "can0" and int(identifier, 16) == 0xAA:
            for place, wheel in enumerate(("fr", "fl", "rr", "rl")):
                raw = int(data[place * 4 : place * 4 + 4], 16)
                found[wheel].append((round(float(moment.strip("()")), 6), raw * 0.01 - 67.67))
    return found


def test_a_candump_log_is_read_back_from_history_exactly(
    portal: Portal, team: Team, tmp_path: Path, shared_data: Path
) -> None:
    maps = [word for name, wheel in WHEELS.items() for word in ("--map", f"{name}=wheel.{wheel}_speed")]
    arguments = ["replay", str(shared_data / RAV4), "--speed", "max", "--dbc", str(shared_data / TOYOTA)]
    process = collector(portal, bound_key(team), tmp_path, *arguments, "--channel", "can0", *maps)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    decoded = independent_wheels(shared_data / RAV4)
    times = [moment for series in decoded.values() for moment, _ in series]
    query = {"from": min(times) - 1, "to": max(times) + 1, "points": 10_000}
    body = api(portal, team, "history", signals=",".join(f"wheel.{w}_speed" for w in WHEELS.values()), **query)
    assert body["resolution"] == "raw"
    for wheel, series in decoded.items():
        stored = body["series"][f"wheel.{wheel}_speed"]["avg"]
        found = {round(t, 6): v for t, v in zip(body["times"], stored, strict=True) if v is not None}
        assert found.keys() == {moment for moment, _ in series}
        assert all(found[moment] == pytest.approx(value, abs=1e-9) for moment, value in series), wheel
    # And the authors' own series, which is sampled at other moments, agrees: the nearest within what a braking car does.
    for wheel, authors in reference_wheels(shared_data).items():
        moments = [moment for moment, _ in decoded[wheel]]
        for moment, metres in authors:
            near = min(len(moments) - 1, bisect_left(moments, moment))
            assert abs(decoded[wheel][near][1] / 3.6 - metres) < 0.7


def test_gpx_positions_arrive(portal: Portal, team: Team, tmp_path: Path, shared_data: Path) -> None:
    file = shared_data / "gps/gpxpy/around-visnjan-with-car.gpx"
    assert collector(portal, bound_key(team), tmp_path, "replay", str(file), "--speed", "max").wait(60) == 0
    frames = read_any(str(file)).frames
    summary = api(portal, team, "summary")["signals"]
    assert summary["location.latitude"]["count"] == len({frame.time for frame in frames}) > 100
    last = max(frames, key=lambda frame: frame.time)
    assert api(portal, team, "latest")["signals"]["location.longitude"]["value"] == last.values["location.longitude"]
    assert 10 < summary["location.speed"]["max"] < 200


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("gpsfake") or not shutil.which("gpsd"), reason="no gpsd")
def test_gpsd_itself_is_read_lost_and_found_again(
    portal: Portal, team: Team, tmp_path: Path, shared_data: Path
) -> None:
    port = free_port()
    log = tmp_path / "moving.log"
    shutil.copy(shared_data / "gps/gpsd_nmea/bu303-moving.log", log)

    def gpsfake() -> subprocess.Popen[bytes]:
        command = ["gpsfake", "-P", str(port), "-c", "0.1", "-q", str(log)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def position() -> Any:
        return api(portal, team, "summary")["signals"].get("location.latitude", {}).get("count", 0)

    fake = gpsfake()
    record = tmp_path / "positions.jsonl"
    arguments = ["run", "--driver", f"gps:gpsd_port={port}", "--record", str(record)]
    process = collector(portal, bound_key(team), tmp_path, *arguments)
    try:
        eventually(lambda: position() > 3, 40)
        _end(fake)
        time.sleep(3)
        assert process.poll() is None
        before = record.stat().st_size
        fake = gpsfake()
        eventually(lambda: record.stat().st_size > before, 60)
    finally:
        _end(fake)
        process.terminate()
        _, words = process.communicate(timeout=20)
    connected = words.count("gps: connected")
    assert connected >= 2
    # Once for each time that it was away, however often it was tried meanwhile.
    assert words.count("it is tried again until it works") <= connected + 1


def _end(process: subprocess.Popen[bytes]) -> None:
    import os
    import signal

    os.killpg(process.pid, signal.SIGTERM)
    process.wait(10)
