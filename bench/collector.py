"""The collector agent: a week's backlog beside a live drive, and what an agent at 10 Hz costs."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from motorpool_collector.spool import Spool

from bench import data
from bench.portal import process_cpu, settle
from vehicles.models import Vehicle

if TYPE_CHECKING:
    from bench.run import Bench

WEEK_FRAMES = 6_048_000
"""A week at 10 Hz."""
BATCH = 1_000


def collector(bench: Bench) -> None:
    """Both figures."""
    with tempfile.TemporaryDirectory() as folder:
        _steady(bench, Path(folder))
        _backlog(bench, Path(folder), WEEK_FRAMES // (20 if bench.quick else 1))


def _start(bench: Bench, spool: Path, vehicle: int, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "motorpool_collector", *arguments, "--log-level", "warning"]
    command += ["--portal", f"http://127.0.0.1:{bench.portal.port}", "--spool", str(spool)]
    environment = {**os.environ, "MOTORPOOL_KEY": bench.portal.key}
    return subprocess.Popen([*command, "--vehicle", data.name_of(vehicle)], env=environment)


def _steady(bench: Bench, folder: Path) -> None:
    """One core's share and memory of an agent that reads 18 signals at 10 Hz."""
    agent = _start(bench, folder / "steady.sqlite3", bench.portal.vehicles[0], "simulate", "--hz", "10")
    time.sleep(5)
    before, begun = process_cpu(agent.pid), time.monotonic()
    time.sleep(15 if bench.quick else 40)
    share = 100 * (process_cpu(agent.pid) - before) / (time.monotonic() - begun)
    memory = int(Path(f"/proc/{agent.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    agent.terminate()
    agent.wait()
    bench.note("(h) agent at 10 Hz", share, "% of a core", memory_MB=round(memory))


def _backlog(bench: Bench, folder: Path, frames: int) -> None:
    """An agent on one core with a full spool and a live drive: readings a second, and the age of what is live."""
    path = folder / "week.sqlite3"
    vehicle = Vehicle.objects.create(organization_id=bench.portal.organization_id, name="agent").pk
    _fill(path, vehicle, frames, time.time() - frames / 10 - 60)
    settle()
    agent = _start(bench, path, vehicle, "simulate", "--hz", "10")
    os.sched_setaffinity(agent.pid, {0})
    ages: list[float] = []
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(bench, vehicle, ages, stop))
    watcher.start()
    begun = time.monotonic()
    spool = Spool(str(path))
    while spool.depth() > 20:
        time.sleep(0.5)
    took = time.monotonic() - begun
    spool.close()
    stop.set()
    watcher.join()
    agent.terminate()
    agent.wait()
    ages.sort()
    bench.note(
        "(h) a week's backlog beside a live drive", frames * len(data.SIGNALS) / took, "readings/s",
        live_age_p50_s=round(statistics.median(ages), 2), live_age_max_s=round(ages[-1], 2), frames=frames,
    )  # fmt: skip


def _fill(path: Path, vehicle: int, frames: int, start: float) -> None:
    """Spool what the agent would have read meanwhile, at times of its own."""
    spool = Spool(str(path), most_bytes=20_000_000_000)
    spool._database.execute("PRAGMA synchronous=OFF")  # this is not what is measured
    values = [json.dumps(row[1:])[1:] for row in data.frames(0, BATCH, 1)]
    head = f'{{"source":"obd","vehicle":"{data.name_of(vehicle)}","signals":{json.dumps(data.SIGNALS)},"frames":['
    for first in range(0, frames, BATCH):
        rows = ",".join(f"[{start + (first + i) / 10:.1f}, {value}" for i, value in enumerate(values))
        spool.add(gzip.compress(f"{head}{rows}]}}".encode(), 1), BATCH)
    spool.close()


def _watch(bench: Bench, vehicle: int, ages: list[float], stop: threading.Event) -> None:
    """How old the newest live reading is, seen by a client of the API."""
    headers = {"Authorization": f"Bearer {bench.portal.tokens[0]}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{bench.portal.port}", headers=headers, trust_env=False) as client:
        stop.wait(3)
        while not stop.wait(0.5):
            latest = client.get(f"/api/v1/vehicles/{data.name_of(vehicle)}/latest").json()
            reading = latest["signals"].get("vehicle.ignition")  # only the live drive has it
            ages.append(reading["age_s"] if reading else 99.0)
