"""What is sent: 100 vehicles, 16 signals, instants 0.1 s apart."""

from __future__ import annotations

import json
import random
from typing import Any

from bench.load import request
from fleet.lib.public_ids import Kind, public_id

VEHICLES = 100
FRAMES = 1_000
SIGNALS = [
    "engine.rpm", "engine.load", "engine.throttle", "engine.coolant_temp", "engine.intake_temp", "engine.oil_temp",
    "engine.maf", "engine.intake_pressure", "engine.fuel_pressure", "engine.boost", "engine.timing_advance",
    "engine.air_fuel_ratio", "engine.turbo_speed", "fuel.level", "vehicle.speed", "electrical.voltage",
]  # fmt: skip
READINGS = VEHICLES * FRAMES * len(SIGNALS)


def frames(start: float, count: int, seed: int) -> list[list[float]]:
    """Instants of one vehicle: a time and 16 values that wander within every signal's range."""
    chance = random.Random(seed)
    values = [chance.uniform(8, 16) for _ in SIGNALS]
    rows = []
    for index in range(count):
        values = [min(16.0, max(8.0, value + chance.gauss(0, 0.05))) for value in values]
        rows.append([round(start + index * 0.1, 1), *(round(value, 3) for value in values)])
    return rows


def name_of(vehicle: int) -> str:
    """What requests call a vehicle."""
    return public_id(Kind.VEHICLE, vehicle)


def post(key: str, vehicle: int, rows: list[list[float]]) -> bytes:
    """A whole ingest request."""
    return post_body(
        key, {"blocks": [{"vehicle": name_of(vehicle), "source": "obd", "signals": SIGNALS, "frames": rows}]}
    )


def post_body(key: str, body: Any) -> bytes:
    """An ingest request with any body."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return request("POST", "/api/v1/telemetry", json.dumps(body, separators=(",", ":")).encode(), headers)
