"""Run a Redis of our own on a loopback port with a random password; it keeps nothing on disk."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from fleet.embedded.binaries import Program
from fleet.embedded.errors import EmbeddedError
from fleet.embedded.identity import Account, dies_with_parent, make_private
from fleet.embedded.postgres import _as_account, free_port

START_SECONDS = 15


@dataclass
class Redis:
    """A running Redis."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self, seconds: float = 2) -> None:
        """SIGTERM, then SIGKILL after ``seconds``."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start(
    program: Program, home: Path, account: Account, password: str, log: Path, cancelled: Callable[[], bool]
) -> Redis:
    """Start Redis; raises `EmbeddedError` where it does not answer within `START_SECONDS`."""
    folder = home / "redis"
    make_private(folder, account)
    deadline = time.monotonic() + START_SECONDS
    while True:
        server = _spawn(program, folder, account, password, log)
        client = redis.Redis.from_url(server.url, socket_timeout=2, socket_connect_timeout=2)
        while server.process.poll() is None and time.monotonic() < deadline and not cancelled():
            with contextlib.suppress(redis.RedisError):
                client.ping()
                client.close()
                return server
            time.sleep(0.02)
        alive = server.process.poll() is None
        server.stop()
        # A port that was free a moment ago can be taken: another one then, until the time is up.
        if alive or time.monotonic() > deadline or cancelled():
            raise EmbeddedError(f"Redis does not start; see {log}")


def _spawn(program: Program, folder: Path, account: Account, password: str, log: Path) -> Redis:
    port = free_port()
    # The configuration goes through standard input, so that no process list shows the password.
    configuration = (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\n"
        'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\n'
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(program.path), "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM),
            **_as_account(account),
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(configuration.encode())
        process.stdin.close()
    return Redis(f"redis://:{password}@127.0.0.1:{port}/0", process)
