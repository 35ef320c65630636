"""A portal of its own in a folder that is thrown away: PostgreSQL, Redis, web, worker and beat as `Part`s."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from redis import Redis

from chaos.processes import Part
from fleet.embedded import postgres, servers
from fleet.embedded.identity import dies_with_parent, server_account
from fleet.embedded.supervisor import ROOT, defaults_of, secrets_of
from telemetry.sinks import SINKS

READY_SECONDS = 60
Spawn = Callable[[], "subprocess.Popen[bytes]"]


@dataclass
class World:
    """The running parts."""

    folder: Path
    environment: dict[str, str]
    url: str
    postgres: Part
    redis: Part
    web: Part
    worker: Part
    beat: Part

    @property
    def parts(self) -> list[Part]:
        """All of them, in the order in which they start."""
        return [self.postgres, self.redis, self.web, self.worker, self.beat]

    def ensure(self) -> None:
        """Start again what ended."""
        for part in self.parts:
            part.ensure()

    def ready(self) -> bool:
        """Whether the portal answers."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/ready", timeout=2, trust_env=False).status_code == 200
        return False

    def await_ready(self) -> None:
        """Wait for the portal, keeping its parts alive."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the portal is not ready; see {self.folder}/log")
            self.ensure()
            time.sleep(0.1)

    def sql(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Ask the database, around the portal."""
        with psycopg.connect(self.environment["DATABASE_URL"], connect_timeout=5) as opened:
            return opened.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def broker(self) -> Redis:
        """A client of Redis, around the portal."""
        return Redis.from_url(self.environment["REDIS_URL"], socket_timeout=3)

    def team(self, name: str, vehicles: int = 4) -> dict[str, list[int] | str | int]:
        """A new organization: its id, its vehicles' ids, and a device key."""
        made = subprocess.run(
            [sys.executable, "-m", "chaos.team", name, str(vehicles)],
            cwd=ROOT, env=self.environment, capture_output=True, check=True, text=True,
        )  # fmt: skip
        found: dict[str, list[int] | str | int] = json.loads(made.stdout.splitlines()[-1])
        return found

    def derived_work_within(self, seconds: float) -> float:
        """Wait until the sinks have processed what is stored now; returns how long it took.

        At most ``seconds``; web, worker and beat are started again where they ended, as a platform does.
        """
        begun = time.monotonic()
        versions: dict[Any, Any] = dict(self.sql("SELECT vehicle_id, version FROM telemetry_latest"))  # type: ignore[arg-type]
        query = "SELECT vehicle_id, min(version), count(*) FROM telemetry_sinkprogress GROUP BY 1"
        while time.monotonic() - begun < seconds:
            done: dict[Any, Any] = {
                vehicle: version for vehicle, version, sinks in self.sql(query) if sinks == len(SINKS)
            }
            if all(done.get(vehicle, 0) >= version for vehicle, version in versions.items()):
                break
            for part in (self.web, self.worker, self.beat):
                part.ensure()
            time.sleep(0.5)
        return time.monotonic() - begun


@contextmanager
def running_world(variant: str = "none", keep: bool = False, **settings: str) -> Iterator[World]:
    """A world with its parts running; ``variant`` names a sabotage of `chaos.process`.

    Args:
        settings: environment variables of the portal.
    """
    folder = Path(tempfile.mkdtemp(prefix="motorpool-chaos-"))
    folder.chmod(0o755)
    (folder / "log").mkdir()
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    started = servers.start(folder)
    database, broker = started.running
    url = f"http://127.0.0.1:{postgres.free_port()}"
    environment = {**os.environ, **secrets_of(folder), **defaults_of(url, folder), "LOG_LEVEL": "warning", **settings}
    environment |= {"DATABASE_URL": started.database_url, "REDIS_URL": started.redis_url}
    environment |= {"PORT": str(urlsplit(url).port), "PYTHONPATH": str(ROOT)}
    parts: list[Part] = []
    try:
        parts.append(Part("postgres", _spawn_postgres(folder, database, variant)))
        parts.append(Part("redis", _spawn_redis(folder, broker, started.redis_url)))
        _await_database(started.database_url)
        subprocess.run(
            [sys.executable, "manage.py", "prepare"], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        parts += [Part(name, _spawn_python(folder, name, variant, environment)) for name in ("web", "worker", "beat")]
        world = World(folder, environment, url, *parts)
        world.await_ready()
        yield world
    finally:
        for part in reversed(parts):
            part.thaw()
            part.kill()
        if keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _spawn_postgres(folder: Path, first: Any, variant: str) -> Spawn:
    command: list[str] = list(first.process.args)
    if variant == "synchronous_commit_off":
        command += ["-c", "synchronous_commit=off", "-c", "wal_writer_delay=5s", "-c", "wal_writer_flush_after=0"]
    cluster = Path(command[command.index("-D") + 1])
    first.stop()

    def spawn() -> subprocess.Popen[bytes]:
        deadline = time.monotonic() + 30
        while True:
            process = postgres.spawn(command, server_account(), cluster, folder / "log" / "postgres.log")
            time.sleep(0.3)
            # The old backends may hold the shared memory for a moment after a kill -9.
            if process.poll() is None or time.monotonic() > deadline:
                return process

    return spawn


def _spawn_redis(folder: Path, first: Any, url: str) -> Spawn:
    program = first.process.args[0]
    first.stop()
    address = urlsplit(url)
    configuration = (
        f"bind 127.0.0.1\nport {address.port}\nrequirepass {address.password}\ndir {folder}\n"
        'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\n'
    )

    def spawn() -> subprocess.Popen[bytes]:
        with (folder / "log" / "redis.log").open("ab") as log:
            started = subprocess.Popen(
                [str(program), "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, preexec_fn=dies_with_parent()
            )
        assert started.stdin is not None
        started.stdin.write(configuration.encode())
        started.stdin.close()
        return started

    return spawn


def _spawn_python(folder: Path, name: str, variant: str, environment: dict[str, str]) -> Spawn:
    def spawn() -> subprocess.Popen[bytes]:
        with (folder / "log" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "chaos.process", variant, name, str(folder)],
                cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=dies_with_parent(),
            )  # fmt: skip

    return spawn


def _await_database(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
