"""What a web process counts, for Prometheus; `fleet.metrics` serves it."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge

ACKED = Counter("motorpool_ingest_acked_requests", "Requests acknowledged: what they hold is committed.")
READINGS = Counter("motorpool_ingest_readings", "Readings by what became of them.", ["result"])
REFUSED = Counter("motorpool_ingest_refused_requests", "Requests that stored nothing.", ["status"])
SOCKETS = Gauge("motorpool_live_sockets", "Open live sockets of this process.")

__all__ = ["ACKED", "READINGS", "REFUSED", "REGISTRY", "SOCKETS"]
