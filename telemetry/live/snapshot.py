"""What a subscription starts with: the latest readings, or, for a client that returns, what it missed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, public_id
from telemetry import directory, store
from telemetry.selectors import latest_states
from vehicles.access import find_vehicle_ids

MOST_FRAMES_RESUMED = 5_000
MOST_BATCHES_RESUMED = 500


def resolve(organization_id: int, vehicles: list[str] | None) -> set[int] | None:
    """Vehicle ids of what a client named; None for all.

    Raises:
        MotorpoolError: one of them is not the organization's.
    """
    if vehicles is None:
        return None
    wanted = set(vehicles)
    found = find_vehicle_ids(organization_id, wanted)
    for identifier in wanted - found.keys():
        raise MotorpoolError(f"There is no vehicle {identifier[:50]!r} here.", code="not_found")
    return set(found.values())


def build(
    organization_id: int, vehicles: set[int] | None, signals: frozenset[str] | None, resume: dict[int, int]
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """The first messages of a subscription, and the version that each vehicle is at after them.

    A vehicle in ``resume`` gets the frames of the batches after that version; where these are too many, a ``gap``
    and its snapshot like every other.
    """
    rows = store.read_latest(organization_id, vehicles)
    versions = {vehicle_id: row.version for vehicle_id, row in rows.items()}
    messages: list[dict[str, Any]] = []
    fresh = []
    left = MOST_FRAMES_RESUMED
    for vehicle_id, row in rows.items():
        since = resume.get(vehicle_id)
        if since is None or since > row.version:
            fresh.append(vehicle_id)
        elif since < row.version:
            missed = _missed(organization_id, vehicle_id, since, signals, left)
            if missed is None:
                messages.append({"type": "gap", "vehicle": public_id(Kind.VEHICLE, vehicle_id)})
                fresh.append(vehicle_id)
            else:
                messages += missed
                left -= sum(len(message["frames"]) for message in missed)
    states = latest_states(organization_id, {i: rows[i] for i in fresh})
    for vehicle_id in fresh:
        row = rows[vehicle_id]
        infos = directory.signals(row.signals.tolist())
        values = {
            infos[s].name: [t / 1e6, text if text is not None else v]
            for s, t, v, text in zip(
                row.signals.tolist(), row.times.tolist(), row.values.tolist(), row.texts, strict=True
            )
            if s in infos and (signals is None or infos[s].name in signals)
        }
        messages.append(
            {
                "type": "snapshot",
                "vehicle": public_id(Kind.VEHICLE, vehicle_id),
                "seq": row.version,
                "state": states[vehicle_id],
                "signals": values,
            }
        )
    return messages, versions


def _missed(
    organization_id: int, vehicle_id: int, since: int, signals: frozenset[str] | None, most: int
) -> list[dict[str, Any]] | None:
    """The frames of the batches after ``since``, None where they are too many."""
    batches = store.read_batches(organization_id, vehicle_id, since, MOST_BATCHES_RESUMED + 1)
    if len(batches) > MOST_BATCHES_RESUMED or sum(batch.frames for batch in batches) > most:
        return None
    messages = []
    previous = since
    for batch in batches:
        span = store.Range(organization_id, vehicle_id, batch.first_time, batch.last_time + 1, batch.source_id)
        frames = store.read_frames(span, most + 1)
        most -= len(frames)
        if most < 0:
            return None  # a sparse batch over a long span holds much that is not its own
        names: dict[str, None] = {}
        rows = []
        for time, _, ids, values, texts in frames:
            infos = directory.signals([*ids.tolist(), *map(int, texts or {})])
            row: dict[str, Any] = {infos[s].name: v for s, v in zip(ids.tolist(), values.tolist(), strict=True)}
            row |= {infos[int(s)].name: text for s, text in (texts or {}).items()}
            rows.append((time, row))
            names.update(dict.fromkeys(name for name in row if signals is None or name in signals))
        messages.append(
            {
                "type": "frames",
                "vehicle": public_id(Kind.VEHICLE, vehicle_id),
                "source": directory.source(batch.source_id),
                "seq": batch.version,
                "prev": previous,
                "signals": list(names),
                "frames": [[time / 1e6, *(_or_none(row.get(name)) for name in names)] for time, row in rows],
            }
        )
        previous = batch.version
    return messages


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
