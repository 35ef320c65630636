"""The collector against the real portal: simulated drives, real recordings, and nothing lost on the way."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motorpool_collector.drivers.simulated_ev import SCENARIOS as EV_SCENARIOS
from motorpool_collector.drivers.simulated_ev import ElectricCar
from motorpool_collector.drivers.simulated_focus import SCENARIOS, FocusST
from motorpool_collector.recordings import read_recording

from telemetry.catalog import BY_NAME
from tests.conftest import Team
from tests.portal import ROOT, Portal, eventually, free_port

PSI = 6.894757
# The Focus ST gateway's documented ranges, in the portal's units.
FOCUS_RANGES = {
    "engine.rpm": (800, 6500), "vehicle.speed": (0, 155 * 1.609344), "engine.throttle": (0, 100),
    "engine.load": (0, 100), "engine.coolant_temp": (26.6, 104.5), "engine.intake_temp": (15.5, 82.3),
    "engine.maf": (2, 250), "engine.intake_pressure": (10 * PSI - 0.01, 25 * PSI + 0.01),
    "engine.timing_advance": (-10, 30), "engine.fuel_pressure": (40 * PSI - 0.1, 65 * PSI + 0.1),
    "engine.boost": (-5 * PSI - 0.01, 22 * PSI + 0.01), "engine.oil_temp": (26.6, 137.8),
    "engine.turbo_speed": (0, 240000), "engine.air_fuel_ratio": (10, 16), "fuel.level": (0, 100),
    "electrical.voltage": (12.0, 14.8),
}  # fmt: skip


def collector(portal: Portal, key: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A collector process of its own."""
    command = [sys.executable, "-m", "motorpool_collector", *arguments, "--portal", portal.url]
    command += ["--spool", str(folder / "spool.sqlite3")]
    environment = {**os.environ, "MOTORPOOL_KEY": key, "PYTHONPATH": str(ROOT / "collector" / "src")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def bound_key(team: Team) -> str:
    from vehicles.services import device_create

    return device_create(organization=team.organization, user=None, name="c", vehicles=[team.vehicle])[1]


def api(portal: Portal, team: Team, what: str, **query: Any) -> Any:
    with portal.client(team.tokens["viewer"]) as client:
        return client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/{what}", params=query).json()


@given(st.sampled_from(SCENARIOS), st.integers(0, 1000))
def test_a_focus_stays_within_its_documented_ranges(scenario: str, seed: int) -> None:
    car = FocusST(scenario, seed)
    for _ in range(200):
        readings = car.step(0.5)
        for name, (low, high) in FOCUS_RANGES.items():
            value = readings[name]
            assert isinstance(value, (int, float))
            assert low <= value <= high, (name, value)


def test_a_focus_is_coherent() -> None:
    car = FocusST("acceleration", 1)
    rows = [car.step(0.1) for _ in range(200)]
    assert rows[-1]["vehicle.speed"] > rows[0]["vehicle.speed"]  # type: ignore[operator]
    assert rows[-1]["engine.coolant_temp"] > rows[0]["engine.coolant_temp"]  # type: ignore[operator]
    assert rows[-1]["fuel.level"] < rows[0]["fuel.level"]  # type: ignore[operator]
    idle = FocusST("idle", 1)
    assert [idle.step(0.1)["vehicle.speed"] for _ in range(50)][-1] == 0
    assert FocusST("cruising", 7).step(0) == FocusST("cruising", 7).step(0)  # a seed repeats


@given(st.sampled_from(EV_SCENARIOS), st.integers(0, 1000))
def test_an_ev_stays_within_the_catalog_and_obeys_power(scenario: str, seed: int) -> None:
    car = ElectricCar(scenario, seed)
    for _ in range(200):
        readings = car.step(0.5)
        for name, value in readings.items():
            signal_of = BY_NAME[name]
            if signal_of.minimum is not None and signal_of.maximum is not None:
                assert signal_of.minimum <= float(value) <= signal_of.maximum, (name, value)
        watts = float(readings["traction_battery.voltage"]) * float(readings["traction_battery.current"])
        assert watts / 1000 == pytest.approx(float(readings["traction_battery.power"]), abs=0.05)


def test_a_simulated_drive_reaches_the_portal_at_its_rate(portal: Portal, team: Team, tmp_path: Path) -> None:
    process = collector(portal, bound_key(team), tmp_path, "simulate", "--hz", "10", "--duration", "4")
    assert process.wait(20) == 0
    summary = api(portal, team, "summary")["signals"]
    assert 36 <= summary["engine.rpm"]["count"] <= 42
    assert set(FOCUS_RANGES) <= set(summary)


def test_nothing_is_lost_while_the_portal_is_away_or_the_agent_is_killed(
    portal: Portal, team: Team, tmp_path: Path
) -> None:
    key = bound_key(team)
    dead = Portal(f"http://127.0.0.1:{free_port()}", 0, 0, tmp_path)
    first = collector(dead, key, tmp_path, "simulate", "--hz", "20")
    spool = tmp_path / "spool.sqlite3"
    eventually(lambda: spool.exists() and _spooled(spool) >= 4, 20)
    first.send_signal(signal.SIGKILL)
    first.wait()
    waiting = _spooled(spool)
    second = collector(portal, key, tmp_path, "simulate", "--hz", "1", "--duration", "2")
    assert second.wait(30) == 0
    eventually(lambda: _spooled(spool) == 0, 20)
    assert api(portal, team, "summary")["signals"]["engine.rpm"]["count"] >= waiting


def _spooled(path: Path) -> int:
    """How many batches wait; none while the file is being made."""
    with sqlite3.connect(path, timeout=5) as database:
        made = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'batch'").fetchone()[0]
        return int(database.execute("SELECT count(*) FROM batch").fetchone()[0]) if made else 0


TORQUE = "obd_csv/torque_volt_2013/DD-tracklog-20130105.csv"
# Column -> signal and conversion: written down from the file's own header, apart from the collector's table.
KNOWN = {
    "Longitude": ("location.longitude", lambda v: v),
    "Latitude": ("location.latitude", lambda v: v),
    "GPS Speed (Meters/second)": ("location.speed", lambda v: v * 3.6),
    "Horizontal Dilution of Precision": ("location.hdop", lambda v: v),
    "Altitude": ("location.altitude", lambda v: v),
    "Bearing": ("location.heading", lambda v: v),
    "*?Engine Oil Temp(°F)": ("engine.oil_temp", lambda v: (v - 32) / 1.8),
    "*?Fuel Level(%)": ("fuel.level", lambda v: v),
    "*master Engine Coolant Temp(°F)": ("engine.coolant_temp", lambda v: (v - 32) / 1.8),
    "*master Engine RPM(rpm)": ("engine.rpm", lambda v: v),
    "*master Hybrid Pack Remaining (SOC)(%)": ("traction_battery.soc", lambda v: v),
    "*master Intake Air Temp IAT(°F)": ("engine.intake_temp", lambda v: (v - 32) / 1.8),
    "*master Intake Manifold Press(psi)": ("engine.intake_pressure", lambda v: v * PSI),
    "*master Spark Advance(Deg)": ("engine.timing_advance", lambda v: v),
    "*master ECM Amb Temp(°F)": ("ambient.temp", lambda v: (v - 32) / 1.8),
    "*master Speed(km/hr)": ("vehicle.speed", lambda v: v),
}


def test_a_real_torque_recording_is_found_in_history_value_by_value(
    portal: Portal, team: Team, tmp_path: Path, shared_data: Path
) -> None:
    file = shared_data / TORQUE
    process = collector(portal, bound_key(team), tmp_path, "replay", str(file), "--speed", "max")
    assert process.wait(60) == 0, process.stderr
    rows = list(csv.reader(file.open(encoding="utf-8"), skipinitialspace=True))
    header = [name.strip() for name in rows[0]]
    data = [row for row in rows[1:] if row[0].strip() != "GPS Time"]
    mountain = timezone(timedelta(hours=-7))
    times = [
        datetime.strptime(row[header.index("Device Time")].strip(), "%d-%b-%Y %H:%M:%S.%f").replace(tzinfo=mountain).timestamp()
        for row in data
    ]  # fmt: skip
    query = {"from": min(times) - 1, "to": max(times) + 1, "points": 10_000}
    body = api(portal, team, "history", signals=",".join(s for s, _ in KNOWN.values()), **query)
    assert body["resolution"] == "raw"
    places = {round(moment, 3): index for index, moment in enumerate(body["times"])}
    checked = 0
    for column, (name, convert) in KNOWN.items():
        expected = {
            round(moment, 3): convert(float(row[header.index(column)]))
            for moment, row in zip(times, data, strict=True)
            if row[header.index(column)].strip() not in ("-", "")
            and not (name == "vehicle.speed" and float(row[header.index(column)]) == 255)
        }
        series = body["series"][name]["avg"]
        found = {moment: series[index] for moment, index in places.items() if series[index] is not None}
        assert found.keys() == expected.keys(), name
        for moment, value in expected.items():
            assert found[moment] == pytest.approx(value, abs=1e-6), (name, moment)
        checked += len(expected)
    assert checked > 4000


def test_a_replay_can_happen_now(portal: Portal, team: Team, tmp_path: Path) -> None:
    file = tmp_path / "drive.csv"
    file.write_text(
        "time,engine.rpm,speed (mph),odd,Turns\n"
        + "".join(f"2020-05-01 10:00:{i:02},{800 + i},{i},x,{i}\n" for i in range(40))
    )
    arguments = ["replay", str(file), "--speed", "20", "--rebase", "--map", "turns=my.turns"]
    begun = time.time()
    assert collector(portal, bound_key(team), tmp_path, *arguments).wait(30) == 0
    latest = api(portal, team, "latest")
    assert latest["signals"]["vehicle.speed"]["value"] == pytest.approx(39 * 1.609344)
    assert latest["signals"]["my.turns"]["value"] == 39
    assert begun <= datetime.fromisoformat(latest["time"]).timestamp() <= time.time()


def test_recordings_survive_their_quirks(tmp_path: Path) -> None:
    file = tmp_path / "quirks.csv"
    file.write_text("\ufeff Time ,*master Speed(km/hr), Boost(psi)\n1.7e9,255,1\n,5,5\n1700000001,-,2\n Time ,*master Speed(km/hr), Boost(psi)\n1700000002000,12,nan\n")  # fmt: skip
    frames = read_recording(str(file)).frames
    assert [(f.time, f.values) for f in frames] == [
        (1_700_000_000, {"engine.boost": pytest.approx(PSI)}),
        (1_700_000_001, {"engine.boost": pytest.approx(2 * PSI)}),
        (1_700_000_002, {"vehicle.speed": 12}),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "/no/such/file"], "cannot be read"),
        (["run", "--driver", "teleport"], "no driver"),
        (["run", "--driver", "simulator:model=boat"], "no model"),
        (["run", "--driver", "simulator:colour=red"], "colour"),
        (["simulate", "--scenario", "flying"], "scenarios"),
    ],
)
def test_mistakes_are_told_in_one_line(portal: Portal, tmp_path: Path, arguments: list[str], words: str) -> None:
    process = collector(portal, "mpd_x", tmp_path, *arguments)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert words in errors
    assert "Traceback" not in errors
