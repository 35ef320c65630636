"""The one thing that the collector and the portal share: a batch, and its answer, as files that both are held to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from motorpool_collector.batches import BatchBuilder, request_body
from motorpool_collector.driver import Frame

from tests.conftest import Team
from tests.portal import Portal

HERE = Path(__file__).parent


def golden(name: str) -> Any:
    return json.loads((HERE / name).read_text())


def body() -> bytes:
    """The golden batch as the collector makes it."""
    builder = BatchBuilder("golden-car")
    builder.add("obd", [Frame(1767225600.1, {"engine.rpm": 812.0, "vehicle.speed": 0.0})])
    builder.add("gps", [Frame(1767225600.0, {"location.latitude": 52.0907, "location.longitude": 5.1214})])
    builder.add("obd", [Frame(1767225600.2, {"engine.rpm": 815.5, "vehicle.speed": 1.25})])
    builder.add("simulator", [Frame(1767225600.5, {"vehicle.gear": "D", "vehicle.ignition": True})])
    return request_body("golden", 7, [builder.take()[0]])


def test_the_collector_makes_the_golden_batch() -> None:
    assert json.loads(gzip.decompress(body())) == golden("batch.json")


def test_the_portal_answers_it_as_agreed(portal: Portal, team: Team) -> None:
    team.vehicle.aliases.create(organization=team.organization, alias="golden-car")
    headers = {"Content-Type": "application/json"}
    with portal.client(team.key, **headers) as client:
        for content, encoding in ((body(), {"Content-Encoding": "gzip"}), ((HERE / "batch.json").read_bytes(), {})):
            answer = client.post("/api/v1/telemetry", content=content, headers=encoding).json()
            assert answer.pop("batch")
            expected = golden("answer.json")
            expected["duplicates"] = 0 if encoding else expected["readings"]  # the second time it changes nothing
            assert answer == expected
