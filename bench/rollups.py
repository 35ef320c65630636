"""What rollups give and cost: a day and a month read back, their space, and the rate of ingest beside their sink."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from django.db import connection

from bench import data
from bench.load import run
from bench.portal import settle
from fleet.accounts.models import Organization
from telemetry import sinks
from vehicles.models import Vehicle

if TYPE_CHECKING:
    from bench.run import Bench

DAY = 86_400
SPARSE_VEHICLES = 1_000
SUSTAINED_SECONDS = 40
_WORKER = (
    "import django; django.setup()\nfrom telemetry import sinks\n{}\nfrom fleet.celery import app\n"
    "app.worker_main(['worker', '--pool', 'solo', '--without-gossip', '--without-mingle', '--loglevel', 'WARNING'])"
)


def roll_up() -> None:
    """Do the sink's work now, whatever rest it would take."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE telemetry_sinkprogress SET lease_until = NULL WHERE sink = 'rollups'")
    sinks.run_all()


def reading(bench: Bench) -> None:
    """A day at 10 Hz and a month at 1 Hz, to 500 points."""
    vehicle = bench.portal.vehicles[2]
    begin = float(int(time.time()) // 3_600 * 3_600 - 80 * DAY) + 1_234.5
    days = 3 if bench.quick else 30
    for start, step, count in ((begin, 0.1, DAY * 10), (begin + DAY, 1.0, (days - 1) * DAY)):
        rows = data.frames(0, 1_000, vehicle)
        requests = [
            data.post(
                bench.portal.key, vehicle,
                [[round(start + (first + i) * step, 1), *row[1:]] for i, row in enumerate(rows)],
            )
            for first in range(0, count, 1_000)
        ]  # fmt: skip
        assert not run(bench.portal.port, [requests]).failures
    begun = time.perf_counter()
    roll_up()
    took = time.perf_counter() - begun
    frames = DAY * 10 + (days - 1) * DAY
    bench.note("(g) rolling up", frames * len(data.SIGNALS) / took, "readings/s")
    settle()
    for name, span in (("24 h at 10 Hz", DAY), (f"{days} days", days * DAY)):
        query = f"signals=engine.rpm&points=500&from={begin}&to={begin + span}"
        bench.get(
            f"(g) history, {name}, to 500 points", f"/api/v1/vehicles/{data.name_of(vehicle)}/history?{query}", 50
        )


def space(bench: Bench) -> None:
    """Rollups of 1,000 vehicles at one frame per minute, beside the frames."""
    organization = Organization.objects.get(pk=bench.portal.organization_id)
    rows = Vehicle.objects.bulk_create(
        Vehicle(organization=organization, name=f"sparse {i}") for i in range(SPARSE_VEHICLES)
    )
    start = float(int(time.time()) - 20 * DAY)
    requests = []
    for row in rows:
        frames = [[start + i * 60, *frame[1:]] for i, frame in enumerate(data.frames(0, 1_440, row.pk))]
        requests.append(data.post(bench.portal.key, row.pk, frames))
    assert not run(bench.portal.port, [requests[i::4] for i in range(4)]).failures
    roll_up()
    ids = [row.pk for row in rows]
    with connection.cursor() as cursor:
        sizes = []
        for table in ("telemetry_frame", "telemetry_rollup"):
            cursor.execute(f"SELECT sum(pg_column_size(t.*)) FROM {table} t WHERE vehicle_id = ANY(%s)", [ids])
            sizes.append(float(cursor.fetchone()[0]))
    bench.note("(g) frames of 1,000 vehicles, a day at 1 per minute", sizes[0] / 1e6, "MB")
    bench.note("(g) their rollups", sizes[1] / 1e6, "MB", share=round(sizes[1] / sizes[0], 3))


def sustained(bench: Bench) -> None:
    """Bulk ingest for a while beside a worker, without the rollup sink and with it."""
    rates = []
    for name, change in (("without rollups", "sinks.SINKS.pop('rollups')"), ("with rollups", "")):
        worker = subprocess.Popen([sys.executable, "-c", _WORKER.format(change)])
        time.sleep(5)
        seconds, rounds = 0.0, 0
        while seconds < (10 if bench.quick else SUSTAINED_SECONDS):
            requests = bench.bulk_requests()
            seconds += run(bench.portal.port, [requests[i::4] for i in range(4)]).seconds
            rounds += 1
        worker.terminate()
        worker.wait()
        rates.append(rounds * data.READINGS / seconds)
        bench.note(f"(g) bulk beside a worker, {name}", rates[-1], "readings/s")
    print(f"{'with / without rollups':<52} {rates[1] / rates[0]:>14.2f}", flush=True)


def disk(bench: Bench) -> None:
    """Bytes per reading of the frames with their index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)), (SELECT sum(readings) FROM telemetry_batch)"
            " FROM pg_inherits WHERE inhparent = 'telemetry_frame'::regclass"
        )
        size, readings = cursor.fetchone()
    bench.note(
        "bytes per reading on disk, index included", float(size) / float(readings), "bytes", readings=int(readings)
    )
