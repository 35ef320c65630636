"""Store blocks: one transaction for all that arrived together. Cost per batch, not per reading.

1. The upsert of the latest state locks the vehicles in order and counts their versions on.
2. Where a vehicle's newest frame is older than the blocks, they cannot repeat anything: their frames are copied
   straight in. Otherwise what is stored at those instants is read under the lock and merged per signal.
   (Asking first costs one indexed query and only where it can matter; a COPY that fails on a duplicate and is
   rolled back leaves dead rows behind and needs a second way in anyway.)
3. One batch row per block that changed something: the outbox.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from psycopg import Connection

from telemetry.aggregates import HOUR
from telemetry.readings import Block, Ids, Outcome, Texts, Times, Values
from telemetry.store import wire
from telemetry.store.dictionaries import SIGNAL_SETS
from telemetry.store.latest import write_latest
from telemetry.store.merge import Merged, fetch_stored, merge
from telemetry.store.rows import COPY_HEADER, COPY_TRAILER, FRAME_COLUMNS, frame_rows

Key = tuple[int, int]


def append(connection: Connection[Any], dictionary: Connection[Any], blocks: list[Block]) -> list[Outcome]:
    """Store blocks inside the caller's transaction.

    Args:
        connection: in a transaction; the caller commits.
        dictionary: another connection, in autocommit mode, for new signal sets.
        blocks: in order of arrival; their partitions exist.

    Returns:
        one outcome per block.

    Raises:
        psycopg.errors.CheckViolation: a partition is missing after all.
    """
    by_vehicle: dict[int, list[Block]] = {}
    for block in blocks:
        by_vehicle.setdefault(block.vehicle_id, []).append(block)
    by_vehicle = dict(sorted(by_vehicle.items()))
    versions = write_latest(connection, by_vehicle)
    outcomes: dict[int, Outcome] = {}
    fresh: list[Block] = []
    suspect: dict[Key, list[Block]] = {}
    for vehicle_id, group in by_vehicle.items():
        version, prior = versions[vehicle_id]
        for offset, block in enumerate(group):
            outcomes[id(block)] = Outcome(version - len(group) + 1 + offset)
        if _cannot_repeat(group, prior):
            fresh += group
        else:
            for block in group:
                suspect.setdefault((block.vehicle_id, block.source_id), []).append(block)
    writes = [_frames_of(block) for block in fresh]
    writes += _merge_all(connection, suspect, outcomes)
    rows = _encode(dictionary, writes)
    if rows:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY telemetry_frame ({FRAME_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.write(b"".join([COPY_HEADER, *rows, COPY_TRAILER]))
    ordered = [outcomes[id(block)] for block in blocks]
    _write_batches(connection, [(b, o) for b, o in zip(blocks, ordered, strict=True) if o.changed])
    return ordered


def _cannot_repeat(group: list[Block], prior: int | None) -> bool:
    """Whether all frames are newer than any stored one, and no two of the blocks can share an instant."""
    if prior is not None and any(int(block.times[0]) <= prior for block in group):
        return False
    last: dict[int, int] = {}
    for block in group:
        times = block.times
        if int(times[0]) <= last.get(block.source_id, -1):
            return False
        if len(times) > 1 and not (times[1:] > times[:-1]).all():
            return False
        last[block.source_id] = int(times[-1])
    return True


class _Frames(NamedTuple):
    """Frames that are to be written: organization, vehicle and source, and their arrays."""

    key: tuple[int, int, int]
    times: Times
    signals: Ids
    values: Values
    texts: list[bytes | None] | None


def _frames_of(block: Block | Merged, key: tuple[int, int, int] | None = None) -> _Frames:
    own = key or (block.organization_id, block.vehicle_id, block.source_id)  # type: ignore[union-attr]
    signals, values = _without_empty_columns(block.signals, block.values)
    texts = None if block.texts is None else _encode_texts(block.text_signals, block.texts)
    return _Frames(own, block.times, signals, values, texts)


def _encode(dictionary: Connection[Any], writes: list[_Frames]) -> list[bytes]:
    """The rows of frames for COPY; all their signal sets are looked up at once."""
    sets = SIGNAL_SETS.ids_of(dictionary, [frames.signals for frames in writes]) if writes else {}
    return [
        frame_rows(*frames.key, sets[frames.signals.tobytes()], frames.times, frames.values, frames.texts)
        for frames in writes
    ]


def _without_empty_columns(signals: Ids, values: Values) -> tuple[Ids, Values]:
    empty = np.isnan(values).all(axis=0)
    return (signals[~empty], values[:, ~empty]) if empty.any() else (signals, values)


def _encode_texts(signals: Ids, texts: Texts) -> list[bytes | None]:
    names = [str(signal) for signal in signals]
    encoded: dict[tuple[Any, ...], bytes | None] = {}
    rows: list[bytes | None] = []
    for row in map(tuple, texts):
        if row not in encoded:
            given = {name: text for name, text in zip(names, row, strict=True) if text is not None}
            encoded[row] = msgspec.json.encode(given) if given else None
        rows.append(encoded[row])
    return rows


def _merge_all(
    connection: Connection[Any], suspect: dict[Key, list[Block]], outcomes: dict[int, Outcome]
) -> list[_Frames]:
    if not suspect:
        return []
    keys = [(*key, np.unique(np.concatenate([block.times for block in group]))) for key, group in suspect.items()]
    stored = fetch_stored(connection, keys)
    writes: list[_Frames] = []
    replaced: list[tuple[int, int, Times]] = []
    for key, group in sorted(suspect.items()):
        merged = merge(group, [outcomes[id(block)] for block in group], stored.get(key))
        if merged is None:
            continue
        writes.append(_frames_of(merged, (group[0].organization_id, *key)))
        if len(merged.replaced):
            replaced.append((*key, merged.replaced))
    if replaced:
        _delete(connection, replaced)
    return writes


def _delete(connection: Connection[Any], replaced: list[tuple[int, int, Times]]) -> None:
    times = np.concatenate([times for _, _, times in replaced])
    connection.execute(
        "DELETE FROM telemetry_frame f"
        " USING unnest(%s::int4[], %s::int4[], %s::timestamptz[]) AS k (vehicle_id, source_id, time)"
        " WHERE f.vehicle_id = k.vehicle_id AND f.time = k.time AND f.source_id = k.source_id"
        " AND f.time BETWEEN %s AND %s",
        [
            wire.int4_array(np.concatenate([np.full(len(t), vehicle, np.int32) for vehicle, _, t in replaced])),
            wire.int4_array(np.concatenate([np.full(len(t), source, np.int32) for _, source, t in replaced])),
            wire.timestamp_array(times),
            wire.timestamp(int(times.min())),
            wire.timestamp(int(times.max())),
        ],
    )


def _write_batches(connection: Connection[Any], stored: list[tuple[Block, Outcome]]) -> None:
    if not stored:
        return

    def numbers(of: Callable[[Block, Outcome], int]) -> wire.Int8Array:
        return wire.int8_array([of(block, outcome) for block, outcome in stored])

    def times(of: Callable[[Block], Any]) -> wire.TimestampArray:
        return wire.timestamp_array(np.array([of(block) for block, _ in stored]))

    connection.execute(
        "INSERT INTO telemetry_batch (vehicle_id, version, organization_id, source_id, batch, boot, seq,"
        " first_time, last_time, frames, readings, ahead, hours, signals, created_at)"
        " SELECT v, n, o, s, b::uuid, t, nullif(q, -1), first, last, f, r, a, h::int4[], g::int4[], now()"
        " FROM unnest(%s::int8[], %s::int8[], %s::int8[], %s::int8[], %s::text[], %s::text[],"
        " %s::int8[], %s::timestamptz[], %s::timestamptz[], %s::int8[], %s::int8[], %s::int8[], %s::text[], %s::text[])"
        " AS u (v, n, o, s, b, t, q, first, last, f, r, a, h, g)",
        [
            numbers(lambda b, o: b.vehicle_id),
            numbers(lambda b, o: o.version),
            numbers(lambda b, o: b.organization_id),
            numbers(lambda b, o: b.source_id),
            wire.text_array([b.batch for b, _ in stored]),
            wire.text_array([b.boot for b, _ in stored]),
            numbers(lambda b, o: -1 if b.seq is None else b.seq),
            times(lambda b: b.times[0]),
            times(lambda b: b.times[-1]),
            numbers(lambda b, o: len(b.times)),
            numbers(lambda b, o: b.readings),
            numbers(lambda b, o: len(b.times) - b.live),
            wire.text_array([_scattered_hours(b.times) for b, _ in stored]),
            wire.text_array([_array(b.signals.tobytes(), b.text_signals.tobytes()) for b, _ in stored]),
        ],
        prepare=True,
    )


@functools.lru_cache(1_000)
def _array(signals: bytes, text_signals: bytes) -> str:
    """The signals of a block as PostgreSQL writes an array."""
    ids = [*np.frombuffer(signals, np.int32).tolist(), *np.frombuffer(text_signals, np.int32).tolist()]
    return "{" + ",".join(map(str, ids)) + "}"


def _scattered_hours(times: Times) -> str:
    """The hours of a block that spans more than two, as PostgreSQL writes an array; else none."""
    if times[-1] // HOUR - times[0] // HOUR <= 1:
        return "{}"
    return "{" + ",".join(map(str, np.unique(times // HOUR).tolist())) + "}"


__all__ = ["append"]
