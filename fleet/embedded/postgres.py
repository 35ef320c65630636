"""Run a PostgreSQL of our own: SCRAM, a random password, an application role without special rights."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from fleet.embedded.binaries import Program
from fleet.embedded.errors import EmbeddedError
from fleet.embedded.identity import Account, dies_with_parent, make_private, write_private

START_SECONDS = 40
LONGEST_SOCKET_PATH = 100
NAME = "motorpool"

CONFIGURATION = """
fsync = on
synchronous_commit = on
max_connections = 100
shared_buffers = 256MB
wal_buffers = 16MB
max_wal_size = 2GB
min_wal_size = 256MB
work_mem = 32MB
checkpoint_timeout = 15min
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
password_encryption = 'scram-sha-256'
"""


@dataclass
class Postgres:
    """A running PostgreSQL."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self, seconds: float = 6) -> None:
        """Fast shutdown; an immediate one (recovery at the next start) after ``seconds``."""
        for signum, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, 2.0)):
            if self.process.poll() is not None:
                return
            self.process.send_signal(signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start(
    program: Program, home: Path, account: Account, secrets: dict[str, str], log: Path, cancelled: Callable[[], bool]
) -> Postgres:
    """Create the cluster below ``home`` where there is none, start the server and prepare role and database.

    Args:
        secrets: ``superuser`` and ``application`` passwords.
        cancelled: asked while waiting; true ends the wait.

    Raises:
        EmbeddedError: it does not start; the log says why.
    """
    cluster = home / "postgres"
    if not (cluster / "PG_VERSION").exists():
        # Beside its place first: what is interrupted here is begun anew, and never taken for a cluster.
        draft = cluster.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        _initdb(program, draft, account, secrets["superuser"])
        if cluster.exists():
            cluster.rmdir()
        draft.rename(cluster)
    run = home / "run"
    make_private(run, account)
    if len(str(run / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        host, port = str(run), 5432
        network = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={run}", "-p", "5432"]
    else:
        host, port = "127.0.0.1", free_port()
        network = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(port)]
    command = [str(program.path / "postgres"), "-D", str(cluster), *network]
    deadline = time.monotonic() + START_SECONDS
    while True:
        process = spawn(command, account, cluster, log)
        try:
            _await_ready(process, host, port, secrets["superuser"], deadline, cancelled, log)
            break
        except _DiedError:
            # After a kill -9 the old backends may hold the shared memory for a moment: try again.
            if time.monotonic() > deadline or cancelled():
                raise EmbeddedError(f"PostgreSQL does not start: {_last_line(log)} (see {log})") from None
            time.sleep(0.5)
    server = Postgres("", process)
    try:
        _prepare(host, port, secrets)
    except BaseException:
        server.stop()
        raise
    place = f"{quote(host, safe='')}" if host.startswith("/") else f"{host}:{port}"
    server.url = f"postgresql://{NAME}:{quote(secrets['application'])}@{place}/{NAME}"
    return server


def free_port() -> int:
    """A loopback TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _DiedError(Exception):
    pass


def spawn(command: list[str], account: Account, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the server as another user, in a session of its own; it ends with this process."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGINT),
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"},
            **_as_account(account),
        )


def _as_account(account: Account) -> dict[str, Any]:
    if account.is_current:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _initdb(program: Program, cluster: Path, account: Account, password: str) -> None:
    make_private(cluster, account)
    password_file = cluster.parent / "initdb-password"
    write_private(password_file, password + "\n")
    if not account.is_current:
        os.chown(password_file, account.uid, account.gid)
    command = [str(program.path / "initdb"), "-D", str(cluster), "-U", "postgres", "-A", "scram-sha-256"]
    command += ["--encoding=UTF8", "--locale=C", f"--pwfile={password_file}"]
    # Filling a new WAL segment with zeros holds up every commit: 16 MB, the default, for 50 ms again and again.
    command += ["--wal-segsize=1"]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=cluster,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"},
            **_as_account(account),
        )
    finally:
        password_file.unlink(missing_ok=True)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise EmbeddedError(f"initdb failed: {reason}")
    with (cluster / "postgresql.conf").open("a") as file:
        file.write(CONFIGURATION)


def _await_ready(
    process: subprocess.Popen[bytes],
    host: str,
    port: int,
    password: str,
    deadline: float,
    cancelled: Callable[[], bool],
    log: Path,
) -> None:
    while True:
        if process.poll() is not None:
            raise _DiedError
        try:
            _connect(host, port, password).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or cancelled():
                Postgres("", process).stop(2)
                raise EmbeddedError(f"PostgreSQL does not answer: {error} (see {log})") from None
        time.sleep(0.05)


def _connect(host: str, port: int, password: str) -> psycopg.Connection:
    return psycopg.connect(
        host=host, port=port, user="postgres", dbname="postgres", password=password, connect_timeout=3, autocommit=True
    )


def _prepare(host: str, port: int, secrets: dict[str, str]) -> None:
    """The application's role (no superuser, no BYPASSRLS; CREATEDB for test databases) and its database."""
    with _connect(host, port, secrets["superuser"]) as connection:
        role = sql.Identifier(NAME)
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone()
        verb = sql.SQL("ALTER" if known else "CREATE")
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB PASSWORD {}").format(
                verb, role, sql.Literal(secrets["application"])
            )
        )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
