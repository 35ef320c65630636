"""From the ELM327 emulator through the agent to the portal: readings, trouble codes, queries, unplugging."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.collector.conftest import Emulator
from tests.collector.test_collector import api, bound_key, collector
from tests.conftest import Team
from tests.portal import Portal, eventually


def ask(portal: Portal, team: Team, kind: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Make a command and await its outcome."""
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/vehicles/{team.vehicle.public_id}/commands"
        answer = client.post(path, json={"type": kind, "arguments": arguments or {}, **more})
        assert answer.status_code == 202, answer.text
        made: dict[str, Any] = answer.json()

        def outcome() -> Any:
            nonlocal made
            made = client.get(f"/api/v1/commands/{made['id']}").json()
            return made["state"] not in ("queued", "sent")

        eventually(outcome, 30)
    return made


def codes(portal: Portal, team: Team) -> dict[str, str]:
    with portal.client(team.tokens["viewer"]) as client:
        rows = client.get(f"/api/v1/dtcs?vehicle={team.vehicle.public_id}").json()["results"]
    return {row["code"]: row["status"] for row in rows}


def signals(portal: Portal, team: Team) -> dict[str, Any]:
    return dict(api(portal, team, "latest")["signals"])


def test_a_car_is_read_diagnosed_and_cleared(portal: Portal, team: Team, tmp_path: Path, emulator: Emulator) -> None:
    arguments = ["run", "--driver", f"obd:port={emulator.port},baudrate=38400"]
    process = collector(portal, bound_key(team), tmp_path, *arguments)
    try:
        wanted = {"engine.rpm", "vehicle.speed", "engine.coolant_temp", "engine.intake_temp"}
        eventually(lambda: wanted <= signals(portal, team).keys(), 40)
        begun = time.monotonic()
        answer = ask(portal, team, "pid_query", {"pid": "01 0C", "formula": "(A*256+B)/4"})
        assert time.monotonic() - begun < 3
        assert answer["state"] == "succeeded", answer
        found = answer["result"]["answers"][0]
        high, low = bytes.fromhex(found["bytes"])[:2]
        assert found["value"] == (high * 256 + low) / 4
        result = ask(portal, team, "dtc_read")["result"]
        assert result["vin"] == "WP0ZZZ99ZTS390000"  # whole, as the emulator tells it
        assert result["mil"] is True
        told = {
            "P0143": "confirmed",
            "P0196": "confirmed",
            "P0234": "confirmed",
            "P0300": "pending",
            "P0420": "permanent",
        }
        assert codes(portal, team) == told
        assert "freeze_frame" not in result  # this car keeps none: mode 02 says code 0000
        # The emulator's speed jumps: codes are cleared at a moment at which the car stands.
        outcome = _clear(portal, team)
        assert outcome["state"] == "succeeded", outcome
        ask(portal, team, "dtc_read")
        assert set(codes(portal, team).values()) == {"cleared"}
        wrong = ask(portal, team, "pid_query", {"pid": "010C", "formula": "Z*2"})
        assert (wrong["state"], "no byte Z" in wrong["detail"]) == ("failed", True)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _clear(portal: Portal, team: Team) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/vehicles/{team.vehicle.public_id}/commands"
        while True:
            answer = client.post(path, json={"type": "dtc_clear", "confirm": True})
            if answer.status_code == 202:
                break
            assert "moves" in answer.json()["detail"], answer.text
            assert time.monotonic() < deadline
            time.sleep(0.2)
        made: dict[str, Any] = answer.json()
        eventually(lambda: client.get(f"/api/v1/commands/{made['id']}").json()["state"] not in ("queued", "sent"), 30)
        return dict(client.get(f"/api/v1/commands/{made['id']}").json())


@pytest.mark.long
def test_unplugging_is_said_once_and_mended(portal: Portal, team: Team, tmp_path: Path, tcp_emulator: Emulator) -> None:
    arguments = ["run", "--driver", f"obd:port={tcp_emulator.port}", "--driver", "simulator:model=ev,hz=2"]
    process = collector(portal, bound_key(team), tmp_path, *arguments)
    eventually(lambda: "engine.rpm" in signals(portal, team), 40)
    tcp_emulator.stop()
    time.sleep(4)
    assert process.poll() is None
    stood = signals(portal, team)["engine.rpm"]["time"]
    tcp_emulator.start()
    eventually(lambda: signals(portal, team)["engine.rpm"]["time"] > stood, 60)
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert log.count("it is tried again until it works") == 1, log
    assert log.count("obd: connected") == 2
    assert "motor.rpm" in signals(portal, team)  # the other driver went on
