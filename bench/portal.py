"""A portal to measure: prepared database, an organization, a web process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from bench.webhooks import TOKEN
from fleet.accounts.models import Membership, Role, User
from fleet.accounts.services import organization_create, token_create
from vehicles.models import Vehicle
from vehicles.services import device_create

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """The running portal."""

    port: int
    pid: int
    organization_id: int
    vehicles: list[int]
    key: str
    tokens: list[str]

    def cpu(self) -> float:
        """CPU seconds of the web process."""
        return process_cpu(self.pid)

    def memory(self) -> float:
        """Resident memory of the web process in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def process_cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def postgres_cpu() -> float:
    """CPU seconds of our server's backends and helpers that live now, where they are on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity")
        pids = [row[0] for row in cursor.fetchall()]
    total = 0.0
    for pid in pids:
        try:
            total += process_cpu(pid)
        except OSError:
            continue
    return total


def settle(seconds: float = 90) -> None:
    """Wait until no autovacuum worker runs: on two cores it would be measured too."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'")
            quiet = 0 if cursor.fetchone()[0] else quiet + 1
        time.sleep(1)


@contextmanager
def measured_portal(vehicles: int) -> Iterator[Measured]:
    """Prepare the database, make an organization with five admins, start the web process."""
    call_command("prepare")
    people = [User.objects.create(email=f"bench-{time.time_ns()}-{index}@example.com") for index in range(5)]
    organization = organization_create(name="Bench", owner=people[0])
    Membership.objects.bulk_create(
        Membership(organization=organization, user=person, role=Role.ADMIN) for person in people[1:]
    )
    tokens = [token_create(organization=organization, user=person, name="bench")[1] for person in people]
    rows = Vehicle.objects.bulk_create(Vehicle(organization=organization, name=f"v{i}") for i in range(vehicles))
    _, key = device_create(organization=organization, user=people[0], name="bench")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    variables = {
        **os.environ,
        "DATABASE_POOL_SIZE": "8",
        "PORT": str(port),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "LOG_LEVEL": "warning",
        "API_CALLS_PER_MINUTE": "1000000",
        "SMARTCAR_MANAGEMENT_TOKEN": TOKEN,
    }
    process = subprocess.Popen([sys.executable, "-m", "fleet.web"], env=variables)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Measured(port, process.pid, organization.pk, [row.pk for row in rows], key, tokens)
    finally:
        process.terminate()
        process.wait(20)
