"""Webhooks while Redis is away and processes are killed: as fast as ever, each kept once, all of them processed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.webhooks import TOKEN, measure
from chaos.world import World, running_world

COUNT = 5_000
LEAST_PER_SECOND = 500
MOST_P99_MS = 200.0
WAITING = "SELECT count(*) FROM smartcar_webhookevent WHERE state = 'waiting'"
KEPT = "SELECT count(*) FROM smartcar_webhookevent"


def run(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A report for each state of Redis."""
    reports = []
    with running_world(SMARTCAR_MANAGEMENT_TOKEN=TOKEN) as world:
        port = int(world.url.rpartition(":")[2])
        measure(port, 500)  # the first requests import and prepare
        faults: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
            ("with Redis", lambda: None, lambda: None),
            ("Redis stopped", world.redis.kill, world.redis.start),
            ("Redis frozen", world.redis.freeze, world.redis.thaw),
            ("worker killed", world.worker.kill, world.worker.ensure),
        ]
        for name, begin, end in faults:
            say(name)
            before = _count(world, KEPT)
            begin()
            time.sleep(1)
            result = measure(port, COUNT)
            end()
            settled = _processed_within(world, 90)
            kept = _count(world, KEPT) - before
            p99 = result.percentile(0.99)
            reports.append(
                {
                    "fault": name, "answered": len(result.latencies), "refused": len(result.failures), "kept": kept,
                    "per_second": round(result.per_second), "p99_ms": round(p99, 1),
                    "processed_after_s": round(settled, 1),
                    "good": kept == COUNT and not result.failures and p99 <= MOST_P99_MS and settled < 90
                    and result.per_second >= LEAST_PER_SECOND,
                }
            )  # fmt: skip
    return reports


def _count(world: World, query: str) -> int:
    return int(str(world.sql(query)[0][0]))


def _processed_within(world: World, seconds: float) -> float:
    begun = time.monotonic()
    while _count(world, WAITING) and time.monotonic() - begun < seconds:
        for part in (world.web, world.worker, world.beat):
            part.ensure()
        time.sleep(0.5)
    return time.monotonic() - begun
