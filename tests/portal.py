"""A real web process to talk to, and a way to wait for what it does."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx
from django.conf import settings

T = TypeVar("T")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Reading the machine's certificates takes 30 ms, which a client that talks to loopback by http need not spend."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Portal:
    """A running web process."""

    url: str
    port: int
    pid: int
    log: Path

    def client(self, secret: str = "", **headers: str) -> httpx.Client:
        """A client with a bearer credential."""
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=NO_TLS)

    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """The test database, as another process reaches it."""
    database = settings.DATABASES["default"]
    host, port = database["HOST"], database["PORT"]
    place = quote(host, safe="") + (f":{port}" if port else "")
    return f"postgresql://{quote(database['USER'])}:{quote(database['PASSWORD'])}@{place}/{quote(database['NAME'])}"


@contextmanager
def running_portal(folder: Path, **environment: str) -> Iterator[Portal]:
    """Start a web process on the test database; stop it at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "web.log"
    variables = {**os.environ, "DATABASE_URL": database_url(), "PORT": str(port), "BASE_URL": url, **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet.web"], cwd=ROOT, env=variables, stdout=output, stderr=output
        )
    try:
        eventually(lambda: answers(url, process), seconds=40)
        yield Portal(url, port, process.pid, log)
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the process ended"
    try:
        return httpx.get(f"{url}/ready", timeout=2, trust_env=False, verify=NO_TLS).status_code == 200
    except httpx.HTTPError:
        return False


def eventually(check: Callable[[], T], seconds: float = 10) -> T:
    """The first true result of ``check``, asked again and again; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
