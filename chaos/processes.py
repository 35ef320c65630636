"""Processes that can be killed, frozen and started again, with all their children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


class Part:
    """One of the portal's processes. Start it from the main thread only: it dies with the thread that started it."""

    def __init__(self, name: str, spawn: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.kills = 0
        self.died = 0
        """How often it ended without being killed."""
        self._spawn = spawn
        self.process = spawn()

    def kill(self) -> None:
        """``kill -9`` of the whole family."""
        self.kills += 1
        self._signal(signal.SIGKILL)
        self.process.wait()

    def kill_child(self) -> None:
        """``kill -9`` of one of its children, as the kernel does when memory runs out."""
        children = family(self.process.pid)[1:]
        if children:
            self.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(children[-1], signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the whole family where it stands."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def stop(self, signum: int = signal.SIGTERM, seconds: float = 25) -> float:
        """Ask it to end; returns after how many seconds it did.

        Raises:
            subprocess.TimeoutExpired: it did not.
        """
        begun = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(seconds)
        return time.monotonic() - begun

    def start(self) -> None:
        """Start it again."""
        self.process = self._spawn()

    def ensure(self) -> None:
        """What a platform does: start it again where it ended."""
        if self.process.poll() is not None:
            self.died += 1
            self.start()

    def memory(self) -> float:
        """Resident memory of the process in MB, without its children: to look for those would disturb who measures."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _signal(self, signum: int) -> None:
        # Twice: what was forked meanwhile is found the second time.
        for _ in range(2):
            for pid in family(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
