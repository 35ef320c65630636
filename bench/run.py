"""``make bench``: Motorpool, bare PostgreSQL and the peers in one run; a table, and a JSON file.

Machines are shared and noisy: compare the ratios of one run. ``ARGS="--quick"`` sends less, ``--large`` also fills
the store with 5x10^7 readings to see whether a batch costs more then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
import numpy as np
import psycopg

os.environ.setdefault("DATABASE_POOL_SIZE", "0")
django.setup()

from django.db import connection  # noqa: E402

from bench import alerts, collector, data, peers, rollups, webhooks  # noqa: E402
from bench.live import Watcher, open_socket, watch  # noqa: E402
from bench.load import Connection, Result, request, run  # noqa: E402
from bench.portal import Measured, measured_portal, postgres_cpu, process_cpu, settle  # noqa: E402
from telemetry import store  # noqa: E402
from telemetry.store import rows as rows_of  # noqa: E402

RESULTS = Path("bench-results")
SINGLE_CONNECTIONS = 16
Row = dict[str, Any]


class Bench:
    """One run."""

    def __init__(self, portal: Measured, quick: bool) -> None:
        self.portal = portal
        self.quick = quick
        self.rows: list[Row] = []
        self.start = float(int(time.time()) - 5 * 86_400)

    def note(self, what: str, rate: float, unit: str, **more: Any) -> None:
        """Keep and print a figure."""
        self.rows.append({"what": what, "rate": round(rate, 1), "unit": unit, **more})
        extra = "  ".join(f"{name} {value}" for name, value in more.items())
        print(f"{what:<52} {rate:>14,.0f} {unit:<11} {extra}", flush=True)

    def bulk(self) -> float:
        """Bulk over HTTP at the best of several connection counts; returns readings per second."""
        best = 0.0
        for connections in (1, 4) if self.quick else (1, 2, 4, 8):
            requests = self.bulk_requests()
            web, database = self.portal.cpu(), postgres_cpu()
            result = run(self.portal.port, [requests[i::connections] for i in range(connections)])
            assert not result.failures, result.failures[:3]
            rate = data.READINGS / result.seconds
            cpu = self.portal.cpu() - web + postgres_cpu() - database
            self.note(
                f"(a) bulk over HTTP, {connections} connections", rate, "readings/s", **_latency(result),
                cpu_us_per_reading=round(cpu / data.READINGS * 1e6, 2), memory_MB=round(self.portal.memory()),
            )  # fmt: skip
            best = max(best, rate)
        return best

    def bulk_requests(self) -> list[bytes]:
        """The bulk's requests, at times that were not used yet."""
        start = self._advance(data.FRAMES * 0.1)
        return [data.post(self.portal.key, v, data.frames(start, data.FRAMES, v)) for v in self.portal.vehicles]

    def _advance(self, seconds: float) -> float:
        self.start += seconds + 1
        return self.start - seconds - 1

    def bare_copy(self) -> float:
        """The same batches by binary COPY on one connection into an empty table of the same shape."""
        start = self._advance(data.FRAMES * 0.1)
        batches = []
        for vehicle in self.portal.vehicles:
            table = np.array(data.frames(start, data.FRAMES, vehicle))
            times = np.rint(table[:, 0] * 1e6).astype(np.int64)
            rows = rows_of.frame_rows(1, vehicle, 1, 1, times, table[:, 1:], None)
            batches.append(rows_of.COPY_HEADER + rows + rows_of.COPY_TRAILER)
        with store.open_connection() as bare:
            bare.execute("DROP TABLE IF EXISTS bench_frame")
            bare.execute("CREATE TABLE bench_frame (LIKE telemetry_frame, PRIMARY KEY (vehicle_id, time, source_id))")
            begun = time.perf_counter()
            for batch in batches:
                with bare.transaction(), bare.cursor() as cursor, cursor.copy(
                    f"COPY bench_frame ({rows_of.FRAME_COLUMNS}) FROM STDIN (FORMAT BINARY)"
                ) as copy:  # fmt: skip
                    copy.write(batch)
            rate = data.READINGS / (time.perf_counter() - begun)
            bare.execute("DROP TABLE bench_frame")
        self.note("(b) bare binary COPY, one connection", rate, "readings/s")
        return rate

    def peers_bulk_and_single(self) -> None:
        """The peers, where installed: the same bulk, then one line per request."""
        for start_peer in (peers.victoria_metrics, peers.influxdb):
            with start_peer() as peer:
                if peer is None:
                    print(f"(c) {start_peer.__name__} is not installed: skipped", flush=True)
                    continue
                for connections in (1, 4):
                    start = self._advance(data.FRAMES * 0.1)
                    requests = [
                        request("POST", peer.path, peers.lines(v, data.SIGNALS, data.frames(start, data.FRAMES, v)))
                        for v in self.portal.vehicles
                    ]
                    cpu = process_cpu(peer.pid)
                    result = run(peer.port, [requests[i::connections] for i in range(connections)], good=204)
                    used = process_cpu(peer.pid) - cpu
                    rate = data.READINGS / result.seconds
                    cost = round(used / data.READINGS * 1e6, 2)
                    assert not result.failures, result.failures[:3]
                    what = f"(c) {peer.name} bulk, {connections} connections"
                    self.note(what, rate, "readings/s", **_latency(result), cpu_us_per_reading=cost)
                result = run(
                    peer.port,
                    self._singles(lambda v, rows: request("POST", peer.path, peers.lines(v, data.SIGNALS, rows))),
                    good=204,
                )
                assert not result.failures, result.failures[:3]
                self.note(
                    f"(d) {peer.name}, one frame per request", result.per_second, "requests/s", **_latency(result)
                )

    def single(self) -> None:
        """One frame per request on 16 connections."""
        for _ in range(2):
            web, database = self.portal.cpu(), postgres_cpu()
            result = run(self.portal.port, self._singles(lambda v, rows: data.post(self.portal.key, v, rows)))
            assert not result.failures, result.failures[:3]
            cpu = self.portal.cpu() - web + postgres_cpu() - database
            self.note(
                "(d) one frame per request, 16 connections", result.per_second, "requests/s", **_latency(result),
                cpu_us_per_request=round(cpu / len(result.latencies) * 1e6),
            )  # fmt: skip

    def _singles(self, make: Any) -> list[list[bytes]]:
        count = 2_000 if self.quick else 8_000
        start = self._advance(count / data.VEHICLES * 0.1)
        rows = {v: data.frames(start, count // data.VEHICLES, v) for v in self.portal.vehicles}
        per_connection: list[list[bytes]] = [[] for _ in range(SINGLE_CONNECTIONS)]
        for index in range(count):
            vehicle = self.portal.vehicles[index % data.VEHICLES]
            row = rows[vehicle][index // data.VEHICLES]
            per_connection[index % data.VEHICLES % SINGLE_CONNECTIONS].append(make(vehicle, [row]))
        return per_connection

    def reading(self) -> None:
        """Latest of all vehicles and history, over HTTP, p50, once the server has tidied up behind the writing."""
        settle()
        self.get("(e) latest of 100 vehicles", "/api/v1/vehicles/latest", 50)
        slow, fast = self.portal.vehicles[0], self.portal.vehicles[1]
        begin = float(int(time.time()) - 40 * 86_400)
        frames = 36_000 if self.quick else 864_000
        for vehicle, step, count in ((slow, 3.6, 1_000), (fast, 0.1, frames)):
            rows = data.frames(0, 1_000, vehicle)
            requests = []
            for first in range(0, count, 1_000):
                moved = [[round(begin + (first + i) * step, 1), *row[1:]] for i, row in enumerate(rows)]
                requests.append(data.post(self.portal.key, vehicle, moved))
            assert not run(self.portal.port, [requests]).failures
        settle()
        for name, vehicle, span in (
            ("1 h at 3.6 s", slow, 3_600), ("1 h at 10 Hz", fast, 3_600), ("24 h at 10 Hz", fast, 86_400),
        ):  # fmt: skip
            if span == 86_400 and self.quick:
                continue
            query = f"signals=engine.rpm&points=500&from={begin}&to={begin + span}"
            path = f"/api/v1/vehicles/{data.name_of(vehicle)}/history?{query}"
            self.get(f"(e) history, {name}, to 500 points", path, 8 if span == 86_400 else 25)

    def get(self, what: str, path: str, times: int) -> None:
        """The median latency of a request."""
        opened = Connection(self.portal.port)
        data_of = request("GET", path, headers={"Authorization": f"Bearer {self.portal.tokens[0]}"})
        latencies = []
        for _ in range(times):
            begun = time.perf_counter()
            status, body = opened.send(data_of)
            latencies.append(1000 * (time.perf_counter() - begun))
            assert status == 200, body[:300]
        opened.close()
        ordered = sorted(latencies)
        self.note(what, statistics.median(latencies), "ms (p50)", p99_ms=round(ordered[int(len(ordered) * 0.99)], 1))

    def live(self) -> None:
        """Fan-out to 50 sockets, then 1,000 sockets at 1 Hz."""
        watched = self.portal.vehicles[:30]
        names = [data.name_of(vehicle) for vehicle in watched]
        wishes = {"vehicles": names, "signals": ["engine.rpm", "vehicle.speed", "engine.load"], "max_hz": 100}
        sockets = [open_socket(self.portal.port, self.portal.tokens[0], wishes) for _ in range(50)]
        self._live("(f) 50 sockets, 30 vehicles at 12 Hz", sockets, watched, 12, 8)
        one = {"vehicles": names[:1], "signals": "all", "max_hz": 10}
        many = [open_socket(self.portal.port, self.portal.tokens[i % 5], one) for i in range(1_000)]
        watch(many, 2)
        self._live("(f) 1,000 sockets, one vehicle at 1 Hz", many, watched[:1], 1, 12)

    def _live(self, what: str, sockets: list[Watcher], vehicles: list[int], hz: float, seconds: float) -> None:
        stop = threading.Event()

        def feed() -> None:
            opened = Connection(self.portal.port)
            begun, rounds = time.monotonic(), 0
            row = [8.0] * len(data.SIGNALS)
            while not stop.is_set():
                for vehicle in vehicles:
                    opened.send(data.post(self.portal.key, vehicle, [[time.time(), *row]]))
                rounds += 1
                stop.wait(max(0.0, begun + rounds / hz - time.monotonic()))

        feeder = threading.Thread(target=feed)
        feeder.start()
        cpu = self.portal.cpu()
        watch(sockets, seconds)
        used = (self.portal.cpu() - cpu) / seconds
        stop.set()
        feeder.join()
        latencies = sorted(latency for socket in sockets for latency in socket.latencies) or [0.0]
        self.note(
            what, sum(socket.frames for socket in sockets) / seconds, "frames/s",
            p50_ms=round(1000 * statistics.median(latencies), 1),
            p99_ms=round(1000 * latencies[int(len(latencies) * 0.99)], 1), web_core=f"{used:.0%}",
            memory_MB=round(self.portal.memory()),
        )  # fmt: skip
        for socket in sockets:
            socket.connection.close()

    def growth(self, total: int) -> None:
        """Whether a batch costs more as the store grows: medians of the per-batch time along the way."""
        stored, medians = 0, []
        while stored < total:
            requests = self.bulk_requests()
            result = run(self.portal.port, [requests])
            stored += data.READINGS
            medians.append((stored, 1000 * statistics.median(result.latencies)))
        early = statistics.median(m for n, m in medians[:5])
        late = statistics.median(m for n, m in medians[-5:])
        self.note(f"per-batch time after {stored:,} readings", late, "ms (p50)", at_first_ms=round(early, 1))
        self.rows[-1]["medians_ms"] = [round(median, 2) for _, median in medians]


def _latency(result: Result) -> dict[str, float]:
    return {"p50_ms": round(result.percentile(0.5), 1), "p99_ms": round(result.percentile(0.99), 1)}


def main() -> None:
    """Run all parts and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--quick", "--large"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--only", default="abcdefghij", help="parts to run, such as ad")
    options = parser.parse_args()
    with measured_portal(data.VEHICLES) as portal:
        bench = Bench(portal, options.quick)
        if "a" in options.only:
            best = bench.bulk()
            bare = bench.bare_copy()
            print(f"{'bulk over HTTP / bare COPY':<52} {best / bare:>14.2f}", flush=True)
            rollups.disk(bench)
        if "d" in options.only:
            bench.single()
        if "c" in options.only:
            bench.peers_bulk_and_single()
        if "e" in options.only:
            bench.reading()
        if "f" in options.only:
            bench.live()
        if "g" in options.only:
            rollups.reading(bench)
            rollups.space(bench)
            rollups.sustained(bench)
        if "h" in options.only:
            collector.collector(bench)
        if "i" in options.only:
            webhooks.receive(bench)
        if "j" in options.only:
            alerts.measure(bench)
        if options.large:
            bench.growth(50_000_000)
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        server = psycopg.__version__, connection.pg_version  # type: ignore[attr-defined]
        path.write_text(json.dumps({"cpus": os.cpu_count(), "psycopg_postgres": server, "rows": bench.rows}, indent=1))
        print(f"written to {path}")


if __name__ == "__main__":
    main()
