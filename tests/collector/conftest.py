"""What stands in for a car: the third-party ELM327 emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal import eventually, free_port

EMULATOR = Path(__file__).parent / "emulator.py"


class Emulator:
    """A running emulator; `port` is what the obd driver opens."""

    def __init__(self, tcp: bool, folder: Path) -> None:
        self.tcp = free_port() if tcp else 0
        self._log = folder / "emulator.log"
        self.start()

    def start(self) -> None:
        """Plug it in."""
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(EMULATOR), str(self.tcp)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE,
                cwd=self._log.parent,  # it writes a log of its own there
            )
        self.port = f"socket://127.0.0.1:{self.tcp}"
        if self.tcp:
            eventually(lambda: _listens(self.tcp), 20)
        else:
            eventually(lambda: "/dev/pts/" in self._log.read_text(errors="replace"), 20)
            found = re.search(r"/dev/pts/\d+", self._log.read_text(errors="replace"))
            assert found
            self.port = found.group()

    def stop(self) -> None:
        """Unplug it."""
        self.process.kill()
        self.process.wait()


def _listens(port: int) -> bool:
    # Looked up, not tried: the emulator serves one client at a time.
    wanted = f":{port:04X} "
    return any(
        wanted in line and line.split()[3] == "0A"
        for path in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in (Path(path).read_text().splitlines()[1:] if Path(path).exists() else ())
    )


@pytest.fixture(params=["tcp", "pty"])
def emulator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Emulator]:
    running = Emulator(request.param == "tcp", tmp_path)
    yield running
    running.stop()


@pytest.fixture
def tcp_emulator(tmp_path: Path) -> Iterator[Emulator]:
    running = Emulator(True, tmp_path)
    yield running
    running.stop()
