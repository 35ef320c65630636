"""``/metrics`` for Prometheus: what this machine's web processes counted, and what the database says of the sinks."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fleet.accounts.second_factor import is_trusted_staff
from telemetry import store
from telemetry.metrics import registry
from telemetry.sinks import SINKS


class _Database(Collector):
    """Gauges that are asked for at each scrape; without a database there are none."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("motorpool_sink_waiting_vehicles", "Vehicles with batches to do.", labels=["sink"])
        age = GaugeMetricFamily("motorpool_outbox_age_seconds", "Age of the oldest batch that waits.", labels=["sink"])
        dead = GaugeMetricFamily("motorpool_sink_dead_vehicles", "Vehicles on the dead list.", labels=["sink"])
        size = GaugeMetricFamily("motorpool_store_bytes", "Bytes on disk, indexes included.", labels=["part"])
        partitions = GaugeMetricFamily("motorpool_frame_partitions", "Partitions of the frames.")
        try:
            for sink in store.sink_health(list(SINKS)):
                waiting.add_metric([sink.name], sink.waiting)
                age.add_metric([sink.name], sink.oldest_s)
                dead.add_metric([sink.name], sink.dead)
            found = store.sizes()
        except DatabaseError:
            return
        partitions.add_metric([], found.pop("partitions"))
        for part, value in found.items():
            size.add_metric([part], value)
        yield from (waiting, age, dead, size, partitions)


_database = CollectorRegistry()
_database.register(_Database())


def metrics(request: HttpRequest) -> HttpResponse:
    """For staff, or a scraper with ``Authorization: Bearer METRICS_TOKEN``."""
    token: str = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "")
    scraper = bool(token) and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    if not scraper:
        try:
            staff = is_trusted_staff(request.user)
        except DatabaseError:
            staff = False
        if not staff:
            return HttpResponse("Send the scrape token.\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(generate_latest(registry()) + generate_latest(_database), content_type=CONTENT_TYPE_LATEST)
