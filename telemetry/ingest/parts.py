"""A request's frames, gathered into parts of equal vehicle, source and signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from telemetry.ingest.format import Body

Place = Callable[[int], dict[str, int]]
"""A frame's place in the request, from its index in the part."""


@dataclass
class Part:
    """Frames with the same vehicle, source and signals, from a block or from rows."""

    vehicle: str | int | None
    source: str
    signals: list[str]
    frames: list[list[Any]]
    place: Place
    block_place: dict[str, int]


def parts_of(body: Body) -> list[Part]:
    """The blocks, and the rows gathered into blocks of equal vehicle, source and signals."""
    parts = [
        Part(
            block.vehicle, block.source, block.signals, block.frames,
            lambda frame, index=index: {"block": index, "frame": frame},  # type: ignore[misc]
            {"block": index},
        )
        for index, block in enumerate(body.blocks)
    ]  # fmt: skip
    for (vehicle, source, *signals), indexes in _groups(body):
        frames = [[body.rows[i].time, *body.rows[i].values.values()] for i in indexes]
        place = lambda frame, indexes=indexes: {"row": indexes[frame]}  # noqa: E731
        parts.append(Part(vehicle, source, signals, frames, place, {"row": indexes[0]}))
    return parts


def _groups(body: Body) -> list[tuple[tuple[Any, ...], list[int]]]:
    """Rows by vehicle, source and signals. A row joins its group unless a later group has its instant already:
    the later write wins, so the order of rows of one instant has to last.
    """
    groups: list[tuple[tuple[Any, ...], list[int]]] = []
    newest: dict[tuple[Any, ...], int] = {}
    last_at: dict[tuple[Any, ...], int] = {}
    for index, row in enumerate(body.rows):
        key = (row.vehicle, row.source, *row.values)
        instant = (row.vehicle, row.source, str(row.time))
        place = newest.get(key, -1)
        if place < last_at.get(instant, 0) or place < 0:
            place = newest[key] = len(groups)
            groups.append((key, []))
        groups[place][1].append(index)
        last_at[instant] = place
    return groups
