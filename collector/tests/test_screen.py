"""The EV Smart Screen's protocol, row by row: every field, every action, and what the old backend let through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from motorpool_collector import screen as screen_module
from motorpool_collector.agent import Agent
from motorpool_collector.carriers import HttpCarrier
from motorpool_collector.driver import CollectorError
from motorpool_collector.drivers import make_driver
from motorpool_collector.screen import ScreenServer, host_and_port
from motorpool_collector.settings import Settings
from motorpool_collector.spool import Spool
from motorpool_collector.uplink import Uplink
from websockets.sync.client import ClientConnection, connect


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    spool = Spool(str(tmp_path / "spool.sqlite3"))
    car = make_driver("simulator", {"model": "ev", "hz": 10, "seed": 3})
    made = Agent(
        [car],
        spool,
        Uplink(HttpCarrier("http://127.0.0.1:1", "mpd_x"), spool),
        None,
        Settings(str(tmp_path / "set.json")),
    )
    for _ in range(3):
        for frame in car.read():
            made.latest.update(frame.values)
        time.sleep(0.01)
    yield made
    spool.close()


@pytest.fixture
def screen(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientConnection]:
    """A connected screen, told ten times as often as in a car, so that the tests need not wait."""
    monkeypatch.setattr(screen_module, "PERIOD", 0.1)
    server = ScreenServer(agent, "127.0.0.1", 0)
    with connect(f"ws://127.0.0.1:{server.port}/any/path") as socket:
        yield socket
    server.stop()


@pytest.fixture
def car_screen(agent: Agent) -> Iterator[ClientConnection]:
    """A screen as in a car."""
    server = ScreenServer(agent, "127.0.0.1", 0)
    with connect(f"ws://127.0.0.1:{server.port}/any/path") as socket:
        yield socket
    server.stop()


def answer(screen: ClientConnection, message: Any) -> dict[str, Any]:
    """The answer to a message; telemetry that comes between is skipped."""
    screen.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    while True:
        found: dict[str, Any] = json.loads(screen.recv(5))
        if found["type"] not in ("telemetry", "connection"):
            return found


def telemetry(screen: ClientConnection) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(screen.recv(5))
        if found["type"] == "telemetry":
            return found


def test_a_screen_is_greeted_and_told_every_second(car_screen: ClientConnection) -> None:
    screen = car_screen
    assert json.loads(screen.recv(5)) == {
        "type": "connection", "status": "connected", "message": "Connected to EV Backend Server",
    }  # fmt: skip
    telemetry(screen)
    begun = time.monotonic()
    telemetry(screen)
    telemetry(screen)
    assert 1.7 < time.monotonic() - begun < 2.6


def test_the_document_has_every_field(screen: ClientConnection) -> None:
    found = telemetry(screen)
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is None
    numbers = ("ambient_temp", "humidity", "cabin_temp", "speed", "range_km", "battery_soc", "battery_voltage",
               "battery_current", "battery_soh", "motor_rpm", "motor_temp", "power_kw", "efficiency_score",
               "wheel_speed")  # fmt: skip
    for name in numbers:
        assert isinstance(found[name], (int, float)), name
    for name, fields in {
        "gps": ("latitude", "longitude", "altitude", "satellites", "speed_gps", "heading"),
        "tire_pressure": ("front_left", "front_right", "rear_left", "rear_right"),
        "battery_cells": ("block_a", "block_b", "block_c"),
    }.items():
        assert set(found[name]) == set(fields)
        assert all(isinstance(value, (int, float)) for value in found[name].values()), name
    assert found["connectivity"] == {"wifi": True, "bluetooth": True, "can_bus": True}
    assert 30 < found["tire_pressure"]["front_left"] < 40  # psi
    assert set(found["media"]) == {
        "connected", "device_name", "track_title", "track_artist", "duration", "position", "is_playing",
    }  # fmt: skip
    assert found["settings"] == {
        "charge_limit": 80, "regen_level": "standard", "drive_mode": "eco", "brightness": 60, "light_theme": False,
        "predictions_on": True, "twin_mode": "3d",
    }  # fmt: skip
    power = found["battery_voltage"] * found["battery_current"] / 1000
    assert power == pytest.approx(found["power_kw"], abs=0.1)  # one car, not independent random numbers


@pytest.mark.parametrize(
    ("action", "value", "setting"),
    [
        ("set_charge_limit", 90, "charge_limit"),
        ("set_regen_level", "high", "regen_level"),
        ("set_drive_mode", "sport", "drive_mode"),
        ("set_brightness", 0, "brightness"),
        ("set_theme", True, "light_theme"),
        ("toggle_predictions", False, "predictions_on"),
        ("set_twin_mode", "2d", "twin_mode"),
    ],
)
def test_settings_are_set(screen: ClientConnection, action: str, value: Any, setting: str) -> None:
    expected = {"type": "response", "action": action, "status": "success", "value": value}
    assert answer(screen, {"action": action, "value": value}) == expected
    telemetry(screen)
    assert telemetry(screen)["settings"][setting] == value


def test_media_is_moved(car_screen: ClientConnection) -> None:
    screen = car_screen
    for action, more in (
        ("play_music", {}), ("next_track", {}), ("previous_track", {}), ("set_volume", {"volume": 0.25}),
        ("connect_bluetooth", {"device_address": "00:1a:7D:da:71:13"}), ("pause_music", {}), ("play_music", {}),
    ):  # fmt: skip
        expected = {"type": "response", "action": action, "status": "success"}
        assert answer(screen, {"action": action, **more}) == expected
    telemetry(screen)
    first, second = telemetry(screen)["media"], telemetry(screen)["media"]
    assert first["is_playing"] is True
    assert second["position"] > first["position"]
    answer(screen, {"action": "next_track"})
    telemetry(screen)
    assert telemetry(screen)["media"]["track_title"] != first["track_title"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"action": "set_charge_limit", "value": 5000}, "from 50 to 100"),
        ({"action": "set_charge_limit", "value": "80"}, "is a number"),
        ({"action": "set_charge_limit"}, "is a number"),
        ({"action": "set_regen_level", "value": "banana"}, "one of off, low"),
        ({"action": "set_drive_mode", "value": {"x": 1}}, "one of eco"),
        ({"action": "set_brightness", "value": -1}, "from 0 to 100"),
        ({"action": "set_brightness", "value": True}, "is a number"),
        ({"action": "set_theme", "value": "light"}, "true or false"),
        ({"action": "toggle_predictions"}, "true or false"),
        ({"action": "set_twin_mode", "value": "4d"}, "2d, 3d"),
        ({"action": "set_volume", "volume": 99}, "from 0 to 1"),
        ({"action": "set_volume", "value": 0.5}, "is a number"),
        ({"action": "connect_bluetooth", "device_address": "phone"}, "AA:BB"),
        ({"action": "update_gps", "latitude": 91, "longitude": 0}, "latitude"),
        ({"action": "nope"}, "Invalid action: nope"),
        ({"action": ["set_theme"]}, "Invalid action"),
        ({}, "Invalid action"),
        ("not json", "Invalid JSON format"),
        (b"\x00\x01", "Invalid JSON format"),
        ("[1]", "Invalid JSON format"),
        ("5", "Invalid JSON format"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(screen: ClientConnection, message: Any, words: str) -> None:
    refused = answer(screen, message)
    assert refused["type"] == "error"
    assert words in refused["message"]
    assert answer(screen, {"action": "pause_music"})["status"] == "success"  # the connection stays open


def test_a_position_of_the_screen_is_taken(screen: ClientConnection, agent: Agent) -> None:
    sent = {"action": "update_gps", "latitude": 48.5, "longitude": 9.25, "source": "phone"}
    assert answer(screen, sent)["status"] == "success"
    assert agent.latest["location.latitude"] == 48.5


def test_settings_outlive_the_agent(tmp_path: Path, screen: ClientConnection) -> None:
    answer(screen, {"action": "set_charge_limit", "value": 70})
    assert Settings(str(tmp_path / "set.json")).values["charge_limit"] == 70
    (tmp_path / "set.json").write_text('{"charge_limit": 7000, "drive_mode": "snow"}')
    again = Settings(str(tmp_path / "set.json")).values
    assert (again["charge_limit"], again["drive_mode"]) == (80, "snow")


def test_addresses_to_listen_at() -> None:
    assert host_and_port(":8765", 1) == ("0.0.0.0", 8765)
    assert host_and_port("8765", 1) == ("127.0.0.1", 8765)
    assert host_and_port("10.0.0.1:9", 1) == ("10.0.0.1", 9)
    with pytest.raises(CollectorError):
        host_and_port("here:there", 1)
