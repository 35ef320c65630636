"""Steady requests at a fixed rate, each noted with its time, status and latency."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

THREADS = 16


@dataclass
class Sample:
    """One request: seconds since the probe began, seconds that it took, status (0: no answer), Retry-After present."""

    at: float
    took: float
    status: int
    retry_after: bool


@dataclass
class Probe:
    """Sends one small frame per request while it is entered."""

    url: str
    key: str
    vehicle: int
    rate: float
    threads: int = THREADS
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Probe:
        self._stop = threading.Event()
        self._begun = time.monotonic()
        self._workers = [
            threading.Thread(target=self._work, args=(index,), daemon=True) for index in range(self.threads)
        ]
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join(15)

    def now(self) -> float:
        """Seconds since the probe began."""
        return time.monotonic() - self._begun

    def _work(self, index: int) -> None:
        address = urlsplit(self.url)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        client: HTTPConnection | None = None
        period = self.threads / self.rate
        due = self._begun + period * index / self.threads
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += period
            row = {
                "vehicle": self.vehicle,
                "source": f"probe{index}",
                "time": time.time(),
                "values": {"engine.rpm": 900},
            }
            begun = time.monotonic()
            status, retry_after = 0, False
            try:
                client = client or HTTPConnection(str(address.hostname), address.port, timeout=10)
                client.request("POST", "/api/v1/telemetry", json.dumps({"rows": [row]}), headers)
                answer = client.getresponse()
                answer.read()
                status, retry_after = answer.status, bool(answer.getheader("Retry-After"))
                if answer.will_close:
                    client = None
            except (OSError, HTTPException):
                client = None
            took = time.monotonic() - begun
            self.samples.append(Sample(begun - self._begun, took, status, retry_after))

    def between(self, start: float, end: float) -> list[Sample]:
        """The requests sent in a span of seconds since the beginning."""
        return [sample for sample in list(self.samples) if start <= sample.at < end]


def p99(samples: list[Sample]) -> float:
    """The 99th percentile of the latencies in milliseconds."""
    ordered = sorted(sample.took for sample in samples) or [0.0]
    return 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
