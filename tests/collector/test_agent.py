"""The agent by its command line, against the portal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.collector.test_collector import api, bound_key, collector
from tests.conftest import Team
from tests.portal import ROOT, Portal, eventually


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "collector" / "src"), **environment}
    words = [sys.executable, "-m", "motorpool_collector", *arguments]
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=60)


def test_from_nothing_to_readings_by_the_guide(portal: Portal, team: Team, tmp_path: Path) -> None:
    arguments = ["init", "--portal", portal.url, "--key", bound_key(team), "--driver", "simulator:model=ev,hz=5"]
    made = command(*arguments, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "collector.key").stat().st_mode & 0o777 == 0o600
    assert "mpd_" not in (tmp_path / "collector.toml").read_text()
    assert "is there already" in command(*arguments, folder=tmp_path).stderr
    checked = command("check", folder=tmp_path)
    assert (checked.returncode, checked.stdout[:2]) == (0, "ok")
    ran = command("run", "--duration", "3", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert api(portal, team, "summary")["signals"]["motor.rpm"]["count"] >= 10
    status = json.loads(command("status", "--json", folder=tmp_path).stdout)
    assert (status["batches"], status["dropped_frames"]) == (0, 0)
    assert status["acked"] > time.time() - 60
    assert "simulator: open" in command("status", folder=tmp_path).stdout


def test_a_missing_package_disables_its_driver_with_one_line(portal: Portal, team: Team, tmp_path: Path) -> None:
    arguments = ["run", "--driver", "dht11:pin=4", "--driver", "simulator:hz=5", "--duration", "3"]
    process = collector(portal, bound_key(team), tmp_path, *arguments)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert log.count("pip install 'motorpool-collector[dht11]'") == 1
    assert api(portal, team, "summary")["signals"]["engine.rpm"]["count"] >= 10


def test_a_recording_of_ones_own_is_replayed(portal: Portal, team: Team, tmp_path: Path) -> None:
    record = tmp_path / "drive.jsonl"
    first = collector(portal, bound_key(team), tmp_path, "simulate", "--duration", "2", "--record", str(record))
    assert first.wait(30) == 0
    before = api(portal, team, "summary")["signals"]["engine.rpm"]
    arguments = ["replay", str(record), "--speed", "max", "--source", "simulator"]
    assert collector(portal, bound_key(team), tmp_path, *arguments).wait(30) == 0
    assert api(portal, team, "summary")["signals"]["engine.rpm"] == before  # the same readings, stored once


def test_a_replay_that_waits_for_its_portal_can_be_stopped(tmp_path: Path) -> None:
    file = tmp_path / "drive.csv"
    file.write_text("time,engine.rpm\n1700000000,800\n")
    dead = Portal("http://127.0.0.1:1", 0, 0, tmp_path)
    process = collector(dead, "mpd_x", tmp_path, "replay", str(file), "--speed", "max")
    assert process.stderr is not None
    while "cannot be reached" not in process.stderr.readline():
        pass
    process.terminate()
    assert process.wait(15) == 1


def test_a_can_log_that_is_away_is_awaited(portal: Portal, team: Team, tmp_path: Path, shared_data: Path) -> None:
    log = tmp_path / "drive.log"
    dbc = shared_data / "can/dbc/toyota_new_mc_pt_generated.dbc"
    drivers = ["--driver", f"replay:file={log},dbc={dbc},speed=max,source=can", "--driver", "simulator:hz=2"]
    process = collector(portal, bound_key(team), tmp_path, "run", *drivers)
    eventually(lambda: "engine.rpm" in api(portal, team, "latest")["signals"], 20)
    shutil.copy(shared_data / "can/comma2k19_rav4/rav4_0-15s.candump.log", log)
    eventually(lambda: any(name.startswith("can.") for name in api(portal, team, "latest")["signals"]), 30)
    process.terminate()
    _, words = process.communicate(timeout=30)
    assert process.returncode == 0
    assert words.count("it is tried again until it works") == 1
