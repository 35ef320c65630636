"""Both servers together, as the environment and the data folder ask for them."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fleet.embedded import binaries, postgres, redis
from fleet.embedded.errors import EmbeddedError
from fleet.embedded.identity import make_private, server_account, server_home, write_private


@dataclass
class Servers:
    """What runs for us, and the addresses of both servers, ours or given."""

    database_url: str
    redis_url: str
    running: list[postgres.Postgres | redis.Redis] = field(default_factory=list)

    def stop(self) -> None:
        """Stop what we started, Redis first."""
        for server in reversed(self.running):
            server.stop()

    def alive(self) -> bool:
        return all(server.process.poll() is None for server in self.running)


def data_folder() -> Path:
    """``MOTORPOOL_DATA``, by default ``.motorpool`` in the working folder."""
    return Path(os.environ.get("MOTORPOOL_DATA") or ".motorpool").absolute()


def open_data_folder(data: Path) -> int:
    """Create and lock the data folder; returns the lock's handle, to be kept open.

    Raises:
        EmbeddedError: it cannot be written, or another process holds it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / "log").mkdir(mode=0o700, exist_ok=True)
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        raise EmbeddedError(
            f"{data} belongs to another user: set MOTORPOOL_DATA to a folder of yours, or chown it."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise EmbeddedError(f"Motorpool already runs on {data}: stop it first, or set MOTORPOOL_DATA.") from None
    os.set_inheritable(handle, False)
    return handle


def start(data: Path, cancelled: Callable[[], bool] = lambda: False) -> Servers:
    """Start what ``DATABASE_URL`` and ``REDIS_URL`` do not name.

    The data folder remembers which programs made it; ``auto`` never opens it with others.
    """
    database_url = os.environ.get("DATABASE_URL", "")
    redis_url = os.environ.get("REDIS_URL", "")
    servers = Servers(database_url, redis_url)
    if database_url and redis_url:
        return servers
    record_path = data / "servers.json"
    record: dict[str, str] = json.loads(record_path.read_text()) if record_path.exists() else {}
    wanted = binaries.choice()
    account = server_account()
    home = Path(record["home"]) if "home" in record else server_home(data, account)
    make_private(home, account)
    # One after the other and in this thread: a child ends with the thread that started it (PR_SET_PDEATHSIG).
    try:
        if not database_url:
            program = _postgres_program(wanted, record, data)
            for name in ("superuser", "application"):
                record.setdefault(name, secrets.token_urlsafe(24))
            record.update(home=str(home), kind=program.kind, major=str(program.major), account=account.name)
            write_private(record_path, json.dumps(record, indent=1))
            program = binaries.readable_copy(program, home, account)
            database = postgres.start(program, home, account, record, data / "log" / "postgres.log", cancelled)
            servers.running.append(database)
            servers.database_url = database.url
        if not redis_url:
            program = binaries.readable_copy(binaries.find_redis(wanted), home, account)
            password = secrets.token_hex(24)
            broker = redis.start(program, home, account, password, data / "log" / "redis.log", cancelled)
            servers.running.append(broker)
            servers.redis_url = broker.url
    except BaseException:
        servers.stop()
        raise
    return servers


def _postgres_program(wanted: str, record: dict[str, str], data: Path) -> binaries.Program:
    made_by = record.get("kind")
    if made_by is None:
        return binaries.find_postgres(wanted)
    program = binaries.find_postgres(made_by if wanted == "auto" else wanted)
    if str(program.major) != record["major"]:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {record['major']} ({made_by}), this is {program.major} ({program.kind}): "
            f"set MOTORPOOL_SERVERS={made_by}, install that version, or set MOTORPOOL_DATA to a new folder."
        )
    return program
