"""Older memories of vehicles, so that late data is evaluated from just before it and not from the beginning.

Per level two slots: the newer moves to the older one once it is a period old, so the older is one to two periods old.
The first memory of a vehicle stands in all of them and is kept for the longest period at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alerts.rules.memory import Memory, pack, unpack
from telemetry import store
from telemetry.store import wire

SECOND = 1_000_000
PERIODS = (30 * SECOND, 300 * SECOND, 3_600 * SECOND, 43_200 * SECOND, 604_800 * SECOND)


@dataclass(frozen=True)
class Slots:
    """One vehicle's checkpoints of one level, by their times; ``older`` may be missing."""

    older: tuple[int, bytes] | None
    newer: tuple[int, bytes] | None


def read(vehicle_ids: list[int]) -> dict[int, dict[int, Slots]]:
    """All checkpoints of some vehicles, by vehicle and level."""
    found: dict[int, dict[int, Slots]] = {}
    with store.cursor() as opened:
        rows = opened.execute(
            "SELECT vehicle_id, level, older_time, older, newer_time, newer FROM alerts_checkpoint"
            " WHERE vehicle_id = ANY(%s)",
            [wire.int4_array(np.array(vehicle_ids, np.int32))],
        )
        for vehicle_id, level, older_time, older, newer_time, newer in rows:
            slots = Slots(
                None if older_time is None else (older_time, older), None if newer_time is None else (newer_time, newer)
            )
            found.setdefault(vehicle_id, {})[level] = slots
    return found


def before(levels: Mapping[int, Slots], instant: int) -> Memory | None:
    """The newest memory from before an instant."""
    known = [s for slots in levels.values() for s in (slots.older, slots.newer) if s is not None and s[0] < instant]
    return unpack(max(known)[1]) if known else None


def times_from(levels: Mapping[int, Slots], instant: int) -> list[int]:
    """The times of the memories that data at an instant makes worthless."""
    known = [s[0] for slots in levels.values() for s in (slots.older, slots.newer) if s is not None]
    return sorted({time for time in known if time >= instant})


def replaced(levels: Mapping[int, Slots], anew: Mapping[int, Memory]) -> dict[int, Slots]:
    """The slots with those memories that were made anew, by their times."""

    def swap(slot: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
        return (slot[0], pack(anew[slot[0]])) if slot is not None and slot[0] in anew else slot

    return {level: Slots(swap(slots.older), swap(slots.newer)) for level, slots in levels.items()}


def promoted(levels: Mapping[int, Slots], memory: Memory) -> dict[int, Slots]:
    """The levels that are to be written, given a vehicle's memory now."""
    data: bytes | None = None
    changed = {}
    for level, period in enumerate(PERIODS):
        slots = levels.get(level, Slots(None, None))
        if slots.newer is None or memory.time - slots.newer[0] >= period:
            data = data or pack(memory)
            changed[level] = Slots(slots.newer, (memory.time, data))
    return changed


def write(changed: Mapping[int, Mapping[int, Slots]]) -> None:
    """Write slots, by vehicle and level: one statement."""
    rows = [(vehicle, level, slots) for vehicle, levels in changed.items() for level, slots in levels.items()]
    if not rows:
        return
    query = (
        "INSERT INTO alerts_checkpoint (vehicle_id, level, older_time, older, newer_time, newer) VALUES "
        + ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(rows))
        + " ON CONFLICT (vehicle_id, level) DO UPDATE SET older_time = excluded.older_time, older = excluded.older,"
        " newer_time = excluded.newer_time, newer = excluded.newer"
    )
    parameters: list[object] = []
    for vehicle, level, slots in rows:
        parameters += [vehicle, level]
        for slot in (slots.older, slots.newer):
            parameters += [None, None] if slot is None else [wire.timestamp(slot[0]), slot[1]]
    with store.cursor() as opened:
        opened.execute(query, parameters)
