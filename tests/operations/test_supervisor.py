"""`make demo` from the outside: what it writes, how it ends, how it starts again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fleet import env
from fleet.embedded.stopping import Stop
from fleet.embedded.supervisor import defaults_of
from tests.portal import ROOT, answers, eventually, free_port


def processes_naming(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in line:
                found.append(int(entry.name))
    return found


@pytest.mark.long
@pytest.mark.parametrize("who", ["supervisor", "everybody"])
def test_a_signal_ends_everything_and_a_second_start_keeps_the_data(tmp_path: Path, who: str) -> None:
    data = tmp_path / "data"
    tmp_path.chmod(0o755)
    port = free_port()
    removed = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BASE_URL", "STATIC_ROOT", "DATABASE_URL", "REDIS_URL")
    variables = {k: v for k, v in os.environ.items() if k not in removed}
    variables |= {"PORT": str(port), "MOTORPOOL_DATA": str(data)}
    url = f"http://127.0.0.1:{port}"
    facts = []
    for turn in range(2):
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "fleet.embedded", "demo"], cwd=ROOT, env=variables)
        eventually(lambda process=process: answers(url, process), 240 if turn == 0 else 15)  # type: ignore[misc]
        assert turn == 0 or time.monotonic() - begun < 15
        facts.append(json.loads((data / "demo.json").read_text()))
        targets = [process.pid] if who == "supervisor" else [*processes_naming(data), process.pid, process.pid]
        for pid in targets:
            os.kill(pid, signal.SIGTERM)
        assert process.wait(20) == 0
        assert processes_naming(data) == []
    assert facts[0] == facts[1]


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    for changes, words in (
        ({"PORT": "abc"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"MOTORPOOL_SERVERS": "docker"}, "MOTORPOOL_SERVERS"),
    ):
        variables = {"PATH": os.environ["PATH"], "MOTORPOOL_DATA": str(tmp_path / "d"), "PORT": str(free_port())}
        result = subprocess.run(
            [sys.executable, "-m", "fleet.embedded", "run"],
            cwd=ROOT, env={**variables, **changes}, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 1
        assert words in result.stdout.strip().splitlines()[-1]
        assert "Traceback" not in result.stderr


def test_f26_signals_that_come_while_a_signal_is_handled_hold_nothing_up() -> None:
    stop = Stop()

    def ask(number: int, frame: object) -> None:
        stop.requested = True
        stop.is_set()
        if len(asked) < 500:
            asked.append(number)
            os.kill(os.getpid(), signal.SIGUSR1)  # again, inside of the handler

    asked: list[int] = []
    before = signal.signal(signal.SIGUSR1, ask)
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert stop.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert asked


def test_mail_of_a_demo_is_written_into_its_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", defaults_of("http://127.0.0.1:1", tmp_path)["EMAIL_URL"])
    assert env.email()["EMAIL_FILE_PATH"] == str(tmp_path.resolve() / "mail")
