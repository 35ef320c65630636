"""Generated histories of readings, their delivery in batches, and the rules that they are tried on."""

from __future__ import annotations

import random
from typing import Any

from shapely.geometry import box, mapping

from alerts.rules.definition import All, AtFence, Compare, FenceEvent, NoData, Operator, Rule, Stands
from alerts.rules.definition import Any as OneOf
from alerts.rules.fences import fence_of
from alerts.rules.schedules import Schedule
from tests.alerts.oracle import ACCURACY, LATITUDE, LONGITUDE, History

SECOND, MINUTE = 1_000_000, 60_000_000
START = 1_767_603_600 * SECOND  # Monday 2026-01-05, 09:00 UTC
SPEED, TEMPERATURE, CHARGE = 1, 2, 3
BOXES = {7: (10.0, 50.0, 10.02, 50.02)}
FENCES = {fence: fence_of(mapping(box(*edges))) for fence, edges in BOXES.items()}
POSITION = (LONGITUDE, LATITUDE, ACCURACY)


def _above(signal: int, value: float, operator: Operator = Operator.GREATER, **more: Any) -> Compare:
    return Compare(signal, operator, value, **more)


_HOT, _FAST, _LOW = (
    _above(TEMPERATURE, 50),
    _above(SPEED, 60, Operator.GREATER_EQUAL),
    _above(CHARGE, 20, Operator.LESS),
)
_MONDAY = Schedule(frozenset([0]), 9 * 60 + 3, 9 * 60 + 8, "UTC")
_KINDS: list[dict[str, Any]] = [
    {"condition": _HOT},
    {"condition": _HOT, "lasting": 7 * SECOND},
    {"condition": _HOT, "lasting": 7 * SECOND, "clear": _above(TEMPERATURE, 30, Operator.LESS)},
    {"condition": _HOT, "clear": _above(TEMPERATURE, 40, Operator.LESS_EQUAL), "clear_lasting": 11 * SECOND},
    {"condition": All((_HOT, _FAST)), "lasting": 3 * SECOND},
    {"condition": OneOf((_LOW, All((_HOT, _FAST)))), "clear_lasting": 5 * SECOND},
    {"condition": _above(CHARGE, 20, Operator.EQUAL)},
    {"condition": _above(CHARGE, 20, Operator.DIFFERENT), "lasting": 13 * SECOND},
    {"condition": _HOT, "times": 3, "within": 2 * MINUTE, "clear_lasting": 20 * SECOND},
    {"condition": _HOT, "lasting": 2 * SECOND, "times": 2, "within": MINUTE, "clear_lasting": MINUTE},
    {"condition": _above(TEMPERATURE, 25, rate=20 * SECOND)},
    {"condition": _above(CHARGE, -15, Operator.LESS, rate=MINUTE), "lasting": 2 * SECOND},
    {"condition": NoData(45 * SECOND)},
    {"condition": NoData(30 * SECOND, TEMPERATURE)},
    {"condition": All((NoData(20 * SECOND, SPEED), _HOT)), "hold": 2 * MINUTE},
    {"condition": AtFence(7, FenceEvent.INSIDE)},
    {"condition": AtFence(7, FenceEvent.INSIDE), "lasting": 15 * SECOND},
    {"condition": AtFence(7, FenceEvent.OUTSIDE), "lasting": 4 * SECOND},
    {"condition": AtFence(7, FenceEvent.ENTER)},
    {"condition": AtFence(7, FenceEvent.EXIT)},
    {"condition": All((AtFence(7, FenceEvent.ENTER), _FAST))},
    {"condition": _above(TEMPERATURE, 50, attribute="limit")},
    {"condition": _HOT, "schedule": _MONDAY},
    {"condition": _HOT, "schedule": _MONDAY, "lasting": 10 * SECOND},
    {"condition": _HOT, "hold": 8 * SECOND, "lasting": 6 * SECOND},
    {"condition": _HOT, "begins": START + 3 * MINUTE, "lasting": 5 * SECOND},
    {"condition": All((Stands("moving"), _HOT)), "lasting": 4 * SECOND},
    {"condition": OneOf((Stands("moving"), _LOW)), "clear": All((Stands("parked"), NoData(5 * SECOND)))},
]
RULES = [Rule(id=i, revision=1, **{"hold": 40 * SECOND, **kind}) for i, kind in enumerate(_KINDS, 1)]

Reading = tuple[int, int, float]
"""Instant, signal, value."""


def history(numbers: random.Random) -> tuple[History, list[list[Reading]]]:
    """A vehicle's readings, and the batches in which they arrive: shuffled, repeated, late, with gaps."""
    told: dict[int, dict[int, float]] = {}
    now = START + numbers.randrange(0, 3 * MINUTE, 500_000)
    place = [10.01 + numbers.uniform(-0.02, 0.02), 50.01 + numbers.uniform(-0.02, 0.02)]
    placed_at = now
    for _ in range(numbers.randrange(3, 22)):
        now += numbers.choice([500_000, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 35 * SECOND, 70 * SECOND, 700 * SECOND][
            : numbers.choice([3, 5, 7, 8])])  # fmt: skip
        values: dict[int, float] = {}
        if numbers.random() < 0.8:
            values[TEMPERATURE] = float(numbers.choice([20, 30, 35, 45, 50, 51, 60, 80]))
        if numbers.random() < 0.6:
            values[SPEED] = float(numbers.choice([0, 30, 60, 90]))
        if numbers.random() < 0.5:
            values[CHARGE] = float(numbers.choice([10, 19, 20, 21, 40]))
        if numbers.random() < 0.6:
            # No faster than the portal believes.
            step = min(0.02, 0.003 + 0.0007 * (now - placed_at) / SECOND)
            place = [place[0] + numbers.uniform(-step, step), place[1] + numbers.uniform(-step, step)]
            placed_at = now
            values[LONGITUDE], values[LATITUDE] = place
        if values:
            told[now] = values
    readings = [(t, signal, value) for t, values in told.items() for signal, value in values.items()]
    frames: list[list[Reading]] = [[r for r in readings if r[0] == t] for t in told]
    batches: list[list[Reading]] = []
    while frames:
        size = numbers.choice([1, 1, 2, 3, 8])
        batches.append([reading for frame in frames[:size] for reading in frame])
        frames = frames[size:]
    disorder = numbers.random()
    if disorder < 0.3:
        numbers.shuffle(batches)
    elif disorder < 0.7 and len(batches) > 1:
        for _ in range(numbers.randrange(1, 4)):
            late = batches.pop(numbers.randrange(len(batches)))
            batches.insert(numbers.randrange(len(batches) + 1), late)
    for _ in range(numbers.randrange(0, 3)):
        batches.insert(numbers.randrange(len(batches) + 1), numbers.choice(batches) if batches else [])
    attributes = {"limit": float(numbers.choice([30, 70]))} if numbers.random() < 0.5 else {}
    standing = {fact: _spans(numbers, min(told, default=START)) for fact in ("moving", "parked")}
    return History(told, attributes, BOXES, standing), [batch for batch in batches if batch]


def _spans(numbers: random.Random, first: int) -> list[tuple[int, int]]:
    edges = sorted(first + numbers.randrange(-MINUTE, 10 * MINUTE, 250_000) for _ in range(2 * numbers.randrange(4)))
    spans = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]
    return [*spans, (edges[-1] + SECOND, 2**62)] if edges and numbers.random() < 0.5 else spans
