"""Start the portal's processes on one machine, watch them, and stop all of them in order.

The same processes as in the Procfile, in front of them PostgreSQL and Redis where none is given. Any signal
may reach any process, in any order and more than once: the supervisor only notes that it has to stop.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass
from pathlib import Path

import httpx

from fleet.embedded import servers as embedded
from fleet.embedded.errors import EmbeddedError
from fleet.embedded.identity import become_owner, dies_with_parent, write_private
from fleet.embedded.simulated_cloud import command_of, settings_of
from fleet.embedded.stopping import Stop

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 8
READY_SECONDS = 120
PYTHON = sys.executable


@dataclass
class Child:
    """A process that should run until we stop."""

    name: str
    process: subprocess.Popen[bytes]


class Stopped(Exception):
    """A signal asked us to end."""


class Supervisor:
    """One run of ``make demo`` or ``make run``."""

    def __init__(self, demo: bool) -> None:
        self.demo = demo
        self.data = embedded.data_folder()
        self.port = os.environ.get("PORT") or "8000"
        self.url = f"http://127.0.0.1:{self.port}"
        self.stopping = Stop()
        self.children: list[Child] = []
        self.environment: dict[str, str] = {}
        self.simulated_cloud = False

    def run(self) -> int:
        """Run until a signal or the death of a child; returns the exit status."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        os.umask(0o022)
        become_owner(self.data)
        lock = embedded.open_data_folder(self.data)
        try:
            self._refuse_taken_port()
            say(f"Data in {self.data}. Starting PostgreSQL and Redis …")
            servers = embedded.start(self.data, self.stopping.is_set)
        except EmbeddedError:
            os.close(lock)
            if self.stopping.is_set():
                return 0
            raise
        try:
            self._prepare(servers)
            self._start_all()
            self._await_ready()
            self._announce()
            return self._watch(servers)
        except Stopped:
            return 0
        finally:
            self._stop_children()
            servers.stop()
            os.close(lock)
            say("Stopped.")

    def _on_signal(self, signum: int, frame: types.FrameType | None) -> None:
        # A plain flag: an Event's lock may be held by the very code that a second signal interrupts.
        self.stopping.requested = True

    def _refuse_taken_port(self) -> None:
        if not self.port.isdecimal() or not 1 <= int(self.port) <= 65_535:
            raise EmbeddedError(f"PORT is {self.port!r}; it can be 1 to 65535.")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", int(self.port)))
            except OSError as error:
                raise EmbeddedError(f"Port {self.port} cannot be used ({error.strerror}): set PORT.") from None

    def _prepare(self, servers: embedded.Servers) -> None:
        given = {**secrets_of(self.data), **defaults_of(self.url, self.data), **os.environ}
        # Whoever has an application of their own shows that one.
        cloud = settings_of(self.data, ROOT) if self.demo and not given.get("SMARTCAR_APPLICATION_ID") else {}
        self.environment = {**given, **cloud}
        self.simulated_cloud = bool(cloud)
        self.environment |= {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "PORT": self.port}
        self.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "collector" / "src")])
        say("Preparing the database …")
        command = [PYTHON, "manage.py", "prepare"]
        if self.demo:
            command += ["--demo", "--demo-file", str(self.data / "demo.json"), "--url", self.url]
        else:
            command += ["--url", self.url]
        with (self.data / "log" / "prepare.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
            while process.poll() is None:
                if self.stopping.wait(0.05):
                    process.terminate()
                    process.wait(STOP_SECONDS)
                    raise Stopped
        assert process.stdout is not None
        self.setup_words = process.stdout.read().decode()
        if process.returncode != 0:
            if self.stopping.is_set():
                raise Stopped
            tail = (self.data / "log" / "prepare.log").read_text(errors="replace").strip().splitlines()[-1:]
            raise EmbeddedError(f"Preparing the database failed: {' '.join(tail)} (see {self.data}/log/prepare.log)")

    def _start_all(self) -> None:
        python = [PYTHON, "-m"]
        self._start("web", [*python, "fleet.web"])
        worker = [*python, "celery", "-A", "fleet.celery", "worker", "--concurrency", "2", "--loglevel", "INFO"]
        self._start("worker", [*worker, "--without-gossip", "--without-mingle"])
        schedule = str(self.data / "celerybeat-schedule")
        self._start("beat", [*python, "celery", "-A", "fleet.celery", "beat", "--schedule", schedule, "--pidfile", ""])
        if self.demo:
            fleet = json.loads((self.data / "demo.json").read_text())
            if self.simulated_cloud:
                address = fleet["smartcar"]["webhook_url"]
                self._start("simulated-cloud", [PYTHON, *command_of(self.environment, self.data, address, self.url)])
            for collector in fleet["collectors"]:
                spool = self.data / "spool" / f"{collector['name']}.sqlite3"
                spool.parent.mkdir(exist_ok=True)
                command = [*python, "motorpool_collector", "simulate", "--portal", self.url]
                command += ["--model", collector["model"], "--hz", str(collector["hz"]), "--spool", str(spool)]
                command += ["--scenario", collector["scenario"], "--seed", str(collector["seed"])]
                environment = {**self.environment, "MOTORPOOL_KEY": fleet["device_keys"][collector["name"]]}
                self._start(f"collector-{collector['name']}", command, environment)

    def _start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        if self.stopping.is_set():
            raise Stopped
        with (self.data / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment or self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
        self.children.append(Child(name, process))

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.stopping.is_set():
                raise Stopped
            self._fail_on_death()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/ready", timeout=2, trust_env=False).status_code == 200:
                    return
            self.stopping.wait(0.1)
        raise EmbeddedError(f"The portal is not ready after {READY_SECONDS} s; see {self.data}/log/web.log")

    def _announce(self) -> None:
        say(f"Motorpool is ready: {self.url}")
        if self.demo:
            fleet = json.loads((self.data / "demo.json").read_text())
            for role in ("admin", "operator", "viewer"):
                user = fleet["users"][role]
                say(f"  sign in as {role:<9} {user['email']}  {user['password']}")
            say(f"  Django admin       {fleet['staff']['email']}  {fleet['staff']['password']}")
            if self.simulated_cloud:
                say(f"  simulated cloud    {self.environment['SMARTCAR_CONNECT_URL']} (Connections, Connect a car)")
            say(f"  keys and tokens    {self.data / 'demo.json'}")
        elif self.setup_words.strip():
            say(self.setup_words.strip())
        say("Ctrl-C stops everything.")

    def _watch(self, servers: embedded.Servers) -> int:
        while not self.stopping.wait(0.5):
            self._fail_on_death()
            if not servers.alive() and not self.stopping.wait(1):
                raise EmbeddedError(f"PostgreSQL or Redis has ended; see {self.data}/log")
        return 0

    def _fail_on_death(self) -> None:
        for child in self.children:
            status = child.process.poll()
            # Whoever signalled the child may be about to signal us.
            if status is not None and not self.stopping.wait(1):
                raise EmbeddedError(f"{child.name} ended with status {status}; see {self.data}/log/{child.name}.log")

    def _stop_children(self) -> None:
        for child in reversed(self.children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            # A child's own children share its session: none may outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def execute(command: list[str]) -> int:
    """Run one command with servers in a folder that is thrown away, or with those that are given."""
    with tempfile.TemporaryDirectory(prefix="motorpool-") as folder:
        data = Path(folder)
        data.chmod(0o755)
        (data / "log").mkdir()
        servers = embedded.start(data)
        process: subprocess.Popen[bytes] | None = None

        def forward(signum: int, frame: types.FrameType | None) -> None:
            if process and process.poll() is None:
                process.send_signal(signum)

        signal.signal(signal.SIGTERM, forward)
        signal.signal(signal.SIGINT, forward)
        try:
            environment = {**secrets_of(data), **defaults_of("http://127.0.0.1:8000", data), **os.environ}
            environment |= {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
            environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "collector" / "src")])
            process = subprocess.Popen(command, env=environment, preexec_fn=dies_with_parent())
            return process.wait()
        finally:
            servers.stop()


def say(words: str) -> None:
    """A line for the person at the console."""
    with contextlib.suppress(BrokenPipeError):
        print(words, flush=True)


def secrets_of(data: Path) -> dict[str, str]:
    """The instance's own random secrets, made once and kept in the data folder (mode 0600)."""
    path = data / "secrets.json"
    if not path.exists():
        made = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        write_private(path, json.dumps(made))
    values: dict[str, str] = json.loads(path.read_text())
    return values


def defaults_of(url: str, data: Path) -> dict[str, str]:
    """Settings of an instance at ``url``, for what the environment does not say."""
    return {
        "DJANGO_SETTINGS_MODULE": "fleet.settings",
        "BASE_URL": url,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "STATIC_ROOT": str(data / "static"),
        "EMAIL_URL": f"filemail:///{data.resolve() / 'mail'}",  # the first slash belongs to the address
    }
