"""Redis and PostgreSQL stopped, frozen, wiped and full, under steady requests; then overload and partitions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from chaos import flood
from chaos.probe import Probe, p99
from chaos.world import World, running_world
from fleet.embedded.identity import dies_with_parent
from fleet.embedded.supervisor import ROOT

Report = dict[str, Any]
REDIS_RATE = 50.0
POSTGRES_RATE = 20.0
QUIET_RATE = 40.0
BUSY_RATE = 500.0
PARTITIONS = 8
RETIRE = "import django; django.setup(); from telemetry import retention; retention.apply()"


def redis_faults(seconds: float, wanted: Sequence[str], say: Callable[[str], None]) -> list[Report]:
    """Ingest goes on as if nothing were; the sinks' work is done within a minute of Redis' return."""
    reports = []
    with running_world() as world:
        team = world.team("redis")
        vehicles: Any = team["vehicles"]
        with Probe(world.url, str(team["key"]), vehicles[0], REDIS_RATE) as probe:
            time.sleep(5)
            begun = probe.now()
            time.sleep(seconds)
            quiet = p99(probe.between(begun, probe.now()))
            for name, begin, end in _redis_faults(world):
                if name not in wanted:
                    continue
                say(f"redis {name} for {seconds:.0f} s")
                begun = probe.now()
                begin()
                _keep(world, seconds)
                end()
                ended = probe.now()
                settled = world.derived_work_within(75)
                samples = probe.between(begun, ended)
                failed = sum(1 for sample in samples if sample.status != 200)
                reports.append(
                    {
                        "fault": f"redis {name}", "requests": len(samples), "not_200": failed,
                        "p99_ms": round(p99(samples), 1), "quiet_p99_ms": round(quiet, 1),
                        "derived_done_after_s": round(settled, 1),
                        "good": not failed and p99(samples) <= quiet + 50 and settled <= 60,
                    }
                )  # fmt: skip
                _keep(world, 5)
    return reports


def _redis_faults(world: World) -> list[tuple[str, Callable[[], None], Callable[[], None]]]:
    def stopped() -> None:
        world.redis.kill()

    def full() -> None:
        world.broker().config_set("maxmemory", "1")

    def roomy() -> None:
        world.broker().config_set("maxmemory", "0")

    def flushed() -> None:
        world.broker().flushall()

    return [
        ("stopped", stopped, world.redis.start),
        ("frozen", world.redis.freeze, world.redis.thaw),
        ("flushed", flushed, flushed),
        ("full", full, roomy),
    ]


def _keep(world: World, seconds: float) -> None:
    """Wait, doing what a platform does: start web, worker and beat again where they ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for part in (world.web, world.worker, world.beat):
            part.ensure()
        time.sleep(0.1)


def postgres_faults(seconds: float, say: Callable[[str], None]) -> list[Report]:
    """Each request is refused within 2 s, and accepted again within 5 s of PostgreSQL's return."""
    reports = []
    with running_world() as world:
        team = world.team("postgres")
        vehicles: Any = team["vehicles"]
        with Probe(world.url, str(team["key"]), vehicles[0], POSTGRES_RATE, threads=64) as probe:
            time.sleep(5)
            for name, begin, end in (
                ("stopped", world.postgres.kill, world.postgres.start),
                ("frozen", world.postgres.freeze, world.postgres.thaw),
            ):
                say(f"postgres {name} for {seconds:.0f} s")
                begun = probe.now()
                begin()
                _keep(world, seconds)
                end()
                ended = probe.now()
                _keep(world, 15)
                during = probe.between(begun, ended)
                slowest = max(sample.took for sample in during)
                # What was sent before the fault and answered 200 just after it is no refusal.
                odd = [s for s in during if s.status not in (200, 503) or (s.status == 503 and not s.retry_after)]
                back = [sample.at - ended for sample in probe.between(ended, ended + 15) if sample.status == 200]
                steady = [s for s in probe.between(ended + 5, ended + 15) if s.status != 200]
                for sample in during:
                    if sample.took > 2:
                        say(f"slow: {sample} (the fault began at {begun:.1f})")
                reports.append(
                    {
                        "fault": f"postgres {name}", "requests": len(during), "odd": len(odd),
                        "slowest_s": round(slowest, 2), "first_200_after_s": round(min(back, default=99), 2),
                        "not_200_later_than_5_s": len(steady),
                        "derived_done_after_s": round(world.derived_work_within(75), 1),
                        "good": not odd and slowest <= 2.0 and min(back, default=99) <= 5 and not steady,
                    }
                )  # fmt: skip
    return reports


def overload(seconds: float, say: Callable[[str], None]) -> list[Report]:
    """One tenant floods; another, which sends a little, hardly notices."""
    with running_world() as world:
        loud, quiet = world.team("loud", flood.CONNECTIONS), world.team("quiet")
        vehicles: Any = quiet["vehicles"]
        with Probe(world.url, str(quiet["key"]), vehicles[0], QUIET_RATE, threads=4) as probe:
            time.sleep(5)
            begun = probe.now()
            time.sleep(seconds)
            alone = p99(probe.between(begun, probe.now()))
            say(f"50 connections flood for {seconds:.0f} s; alone the quiet tenant's p99 was {alone:.1f} ms")
            process = _start_flood(world, loud, seconds)
            begun, most = probe.now(), 0.0
            while process.poll() is None:
                most = max(most, world.web.memory())
                time.sleep(0.25)
            among = probe.between(begun, probe.now() - 0.5)
        assert process.stdout is not None
        counts: dict[str, int] = json.loads(process.stdout.read())
        (row,) = world.sql(
            "SELECT coalesce(sum(readings), 0)::int8 FROM telemetry_batch WHERE organization_id = %s",
            loud["organization"],
        )
        stored: Any = row[0]
        statuses = {name for name in counts if name.isdecimal()}
        refused_well = statuses <= {"200", "429", "503"} and not counts["without_retry_after"]
        return [
            {
                "fault": "overload", **counts, "stored_readings": stored, "web_memory_MB": round(most),
                "quiet_p99_alone_ms": round(alone, 1), "quiet_p99_ms": round(p99(among), 1),
                "quiet_requests": len(among), "quiet_not_200": sum(1 for sample in among if sample.status != 200),
                "good": refused_well and stored >= counts["readings"] and most < 400 and p99(among) <= 2 * alone,
            }
        ]  # fmt: skip


def _start_flood(world: World, team: Any, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chaos.flood", world.environment["PORT"], team["key"], str(seconds)]
    process = subprocess.Popen(
        command + [str(vehicle) for vehicle in team["vehicles"]],
        cwd=ROOT, env=world.environment, stdout=subprocess.PIPE, preexec_fn=dies_with_parent(),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def partitions(seconds: float, say: Callable[[str], None]) -> list[Report]:
    """Under 500 requests a second partitions are made on demand and dropped whole: nobody fails, nobody waits."""
    with running_world() as world:
        team, old = world.team("busy", 1), world.team("old", 1)
        vehicles: Any = team["vehicles"]
        with Probe(world.url, str(team["key"]), vehicles[0], BUSY_RATE) as probe:
            time.sleep(3)
            begun = probe.now()
            before = _partition_names(world)
            for year in range(2001, 2001 + PARTITIONS):
                _send_old(world, old, year)
                time.sleep(seconds / PARTITIONS / 2)
            made = _partition_names(world) - before
            keep = "UPDATE accounts_organization SET frame_days = 30 WHERE id = %s RETURNING 1"
            world.sql(keep, old["organization"])
            say(f"{len(made)} partitions were made, now they are dropped")
            subprocess.run(
                [sys.executable, "-c", RETIRE],
                cwd=ROOT, env=world.environment, check=True, capture_output=True,
            )  # fmt: skip
            dropped = made - _partition_names(world)
            time.sleep(seconds / 2)
            samples = probe.between(begun, probe.now())
        failed = sum(1 for sample in samples if sample.status != 200)
        slowest = max(sample.took for sample in samples)
        return [
            {
                "fault": "partitions made and dropped", "requests": len(samples), "not_200": failed,
                "made": len(made), "dropped": len(dropped), "slowest_s": round(slowest, 3),
                "p99_ms": round(p99(samples), 1),
                "good": not failed and slowest <= 1 and len(made) == len(dropped) == PARTITIONS,
            }
        ]  # fmt: skip


def _partition_names(world: World) -> set[str]:
    rows = world.sql("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry_frame'::regclass")
    return {str(name) for (name,) in rows}


def _send_old(world: World, team: Any, year: int) -> None:
    row = {"vehicle": team["vehicles"][0], "time": f"{year}-06-01T00:00:00Z", "values": {"engine.rpm": 1}}
    answer = httpx.post(
        f"{world.url}/api/v1/telemetry", json={"rows": [row]}, timeout=10, trust_env=False,
        headers={"Authorization": f"Bearer {team['key']}"},
    )  # fmt: skip
    answer.raise_for_status()
