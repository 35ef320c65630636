"""What a web process counts, for Prometheus; `fleet.metrics` serves it.

With several processes each writes its numbers to files in `PROMETHEUS_MULTIPROC_DIR`, which `fleet.web` makes.
"""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector

ACKED = Counter("motorpool_ingest_acked_requests", "Requests acknowledged: what they hold is committed.")
READINGS = Counter("motorpool_ingest_readings", "Readings by what became of them.", ["result"])
REFUSED = Counter("motorpool_ingest_refused_requests", "Requests that stored nothing.", ["status"])
SOCKETS = Gauge("motorpool_live_sockets", "Open live sockets.", multiprocess_mode="livesum")


def registry() -> CollectorRegistry:
    """What is served: of all web processes where several count into one folder, else of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together
