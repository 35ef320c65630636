"""The way in for a worker that fetched readings itself: the same decoding, checks and commit as for a device's request.

Cost per call: one transaction, whatever the number of vehicles and readings.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.lib import bell
from fleet.lib.public_ids import Kind, number_of, public_id
from telemetry import store
from telemetry.ingest import names as directory
from telemetry.ingest.decode import decode, wanted_names
from telemetry.ingest.format import MOST_FRAMES, Body, Row
from telemetry.ingest.parts import parts_of
from telemetry.ingest.queue import Job
from telemetry.ingest.writer import Writer
from telemetry.live import messages, notify
from telemetry.readings import Outcome

_own = threading.local()


@dataclass(frozen=True)
class Reading:
    """Values of one instant of one vehicle: epoch seconds, and values by signal name in the catalog's units."""

    vehicle_id: int
    time: float
    values: Mapping[str, float | bool | str]


@dataclass(frozen=True)
class Stored:
    """What storing did."""

    readings: int
    duplicates: int
    rejected: int
    reasons: tuple[str, ...]
    rejections: tuple[tuple[int, float | None, str], ...] = ()
    """The first rejected readings: vehicle id, epoch seconds, and the reason with its signal."""


def store_readings(organization_id: int, source: str, readings: Sequence[Reading]) -> Stored:
    """Store readings of an organization's own vehicles; returns when they are committed.

    Raises:
        MotorpoolError: nothing was stored; 503 where trying again helps.
    """
    rows = [
        Row(reading.time, dict(reading.values), public_id(Kind.VEHICLE, reading.vehicle_id), source)
        for reading in readings
    ]
    totals = [0, 0, 0]
    rejections: list[tuple[int, float | None, str]] = []
    for start in range(0, len(rows), MOST_FRAMES):
        done, more = _store(organization_id, rows[start : start + MOST_FRAMES])
        totals = [total + count for total, count in zip(totals, done, strict=True)]
        rejections += more
    reasons = tuple(words for _, _, words in rejections[:5])
    return Stored(totals[0], totals[1], totals[2], reasons, tuple(rejections))


def close() -> None:
    """Let go of this thread's connections."""
    if hasattr(_own, "writer"):
        _own.writer.close()


def _store(organization_id: int, rows: list[Row]) -> tuple[tuple[int, int, int], list[tuple[int, float | None, str]]]:
    body = Body(rows=rows)
    parts = parts_of(body)
    sender = directory.Sender(0, organization_id, None)
    names = directory.organization_names(organization_id)
    wanted = wanted_names(parts, names, sender)
    if wanted:
        directory.load(names, wanted.vehicles, wanted.sources, wanted.signals)
    decoded = decode(body, parts, names, sender, time.time_ns() // 1_000)
    outcomes: list[Outcome] = []
    if decoded.blocks or decoded.refused.kept:
        job = Job(decoded, str(uuid.uuid4()), organization_id, 0, lambda _: None)
        outcomes = _writer().commit([job])[0]
    changed = [(b, o) for b, o in zip(decoded.blocks, outcomes, strict=True) if o.changed]
    if changed:
        notify.publish_encoded(organization_id, [messages.of_block(b, o.version) for b, o in changed])
        bell.announce("telemetry.tasks.run_sinks", expires=30)
    duplicates = sum(outcome.duplicates for outcome in outcomes)
    rejections = [
        (number_of(Kind.VEHICLE, entry.vehicle), entry.time, f"{entry.signal or 'vehicle'}: {entry.detail}")
        for entry in decoded.refused.kept
    ]
    return (decoded.readings, duplicates, decoded.refused.count), rejections


def _writer() -> Writer:
    if not hasattr(_own, "writer"):
        _own.writer = Writer(store.Partitions(), lambda: True)
    writer: Writer = _own.writer
    return writer
