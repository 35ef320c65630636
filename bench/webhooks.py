"""How many webhooks a second the receiver takes: verified, kept and committed before each is answered."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from bench.load import Result, request, run
from integrations.sources.smartcar.signature import sign

if TYPE_CHECKING:
    from bench.run import Bench

TOKEN = "bench-management-token"


def body() -> bytes:
    """A delivery of twelve signals, as Smartcar writes it."""
    signals = [
        {"code": f"tractionbattery-signal{i}", "name": f"Signal{i}", "group": "TractionBattery",
         "body": {"value": 50 + i, "unit": "percent"},
         "meta": {"oemUpdatedAt": 1_795_172_935_000, "retrievedAt": 1_795_172_998_000},
         "status": {"value": "SUCCESS"}}
        for i in range(12)
    ]  # fmt: skip
    event: dict[str, Any] = {
        "eventId": str(uuid.uuid4()), "eventType": "VEHICLE_STATE",
        "data": {"user": {"id": str(uuid.uuid4())}, "vehicle": {"id": str(uuid.uuid4()), "make": "TESLA"},
                 "signals": signals},
        "meta": {"version": "4.0", "deliveryId": str(uuid.uuid4()), "deliveredAt": 1_795_173_000_000, "mode": "LIVE"},
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def measure(port: int, count: int, connections: int = 16) -> Result:
    """Send different deliveries over kept-alive connections."""
    requests = []
    for _ in range(count):
        data = body()
        headers = {"Content-Type": "application/json", "SC-Signature": sign(TOKEN, data)}
        requests.append(request("POST", "/webhook", data, headers))
    return run(port, [requests[i::connections] for i in range(connections)])


def receive(bench: Bench) -> None:
    """How fast they are taken in."""
    result = measure(bench.portal.port, 2_000 if bench.quick else 10_000)
    assert not result.failures, result.failures[:3]
    bench.note(
        "(i) webhooks, 16 connections", result.per_second, "webhooks/s",
        p50_ms=round(result.percentile(0.5), 1), p99_ms=round(result.percentile(0.99), 1),
    )  # fmt: skip
