"""Frames that may exist already: what is new, what repeats, what corrects. One wide matrix per vehicle and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from telemetry.readings import NO_IDS, Block, Ids, Outcome, Texts, Times, Values
from telemetry.store import wire
from telemetry.store.dictionaries import SIGNAL_SETS


@dataclass
class Stored:
    """Frames that the database has at some of the wanted instants."""

    times: Times
    signals: list[Ids]
    values: list[Values]
    texts: list[dict[str, str] | None]


@dataclass
class Merged:
    """What has to be written: frames of one vehicle and source, ``replaced`` of which exist in an older form."""

    times: Times
    signals: Ids
    values: Values
    text_signals: Ids
    texts: Texts | None
    replaced: Times


def fetch_stored(connection: Connection[Any], keys: list[tuple[int, int, Times]]) -> dict[tuple[int, int], Stored]:
    """Stored frames at exact instants, in one query.

    Args:
        keys: vehicle, source and instants; the caller holds the vehicles' locks.
    """
    vehicles = np.concatenate([np.full(len(times), vehicle, np.int32) for vehicle, _, times in keys])
    sources = np.concatenate([np.full(len(times), source, np.int32) for _, source, times in keys])
    times = np.concatenate([times for _, _, times in keys])
    rows = connection.execute(
        "SELECT f.vehicle_id, f.source_id, f.time, f.signal_set_id,"
        " array_replace(f.values, NULL, 'NaN'), f.texts::text"
        " FROM unnest(%s::int4[], %s::int4[], %s::timestamptz[]) AS k (vehicle_id, source_id, time)"
        " JOIN telemetry_frame f ON f.vehicle_id = k.vehicle_id AND f.time = k.time AND f.source_id = k.source_id"
        " WHERE f.time BETWEEN %s AND %s"
        " ORDER BY f.vehicle_id, f.source_id, f.time",
        [
            wire.int4_array(vehicles),
            wire.int4_array(sources),
            wire.timestamp_array(times),
            wire.timestamp(int(times.min())),
            wire.timestamp(int(times.max())),
        ],
        binary=True,
    ).fetchall()
    sets = SIGNAL_SETS.signals_of(connection, sorted({row[3] for row in rows}))
    grouped: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        grouped.setdefault((row[0], row[1]), []).append(row)
    return {
        key: Stored(
            np.array([row[2] for row in group], np.int64),
            [sets[row[3]] for row in group],
            [row[4] for row in group],
            [msgspec.json.decode(row[5]) if row[5] else None for row in group],
        )
        for key, group in grouped.items()
    }


def merge(blocks: list[Block], outcomes: list[Outcome], stored: Stored | None) -> Merged | None:
    """Lay blocks of one vehicle and source over what is stored, in order of arrival.

    Fills in the outcomes' counts. Per signal the later write wins; what is missing in it stays as it was.
    Returns None where nothing changes.
    """
    times = np.unique(np.concatenate([block.times for block in blocks]))
    signals = _union([block.signals for block in blocks] + (stored.signals if stored else []))
    text_ids = _union([block.text_signals for block in blocks] + ([_text_ids(stored)] if stored else []))
    values = np.full((len(times), len(signals)), np.nan)
    texts: Texts = np.full((len(times), len(text_ids)), None, object)
    if stored:
        _lay_stored(stored, times, signals, values, text_ids, texts)
    changed = np.zeros(len(times), bool)
    for block, outcome in zip(blocks, outcomes, strict=True):
        outcome.changed = False
        for part in _without_repeats(block):
            rows = np.searchsorted(times, part.times)
            touched = _lay(values, rows, np.searchsorted(signals, part.signals), part.values, outcome)
            if part.texts is not None:
                columns = np.searchsorted(text_ids, part.text_signals)
                touched |= _lay_texts(texts, rows, columns, part.texts, outcome)
            changed[rows] |= touched
            outcome.changed |= bool(touched.any())
    if not changed.any():
        return None
    values, texts = values[changed], texts[changed]
    used, used_texts = ~np.isnan(values).all(axis=0), (texts != None).any(axis=0)  # noqa: E711  (elementwise)
    return Merged(
        times[changed],
        signals[used],
        values[:, used],
        text_ids[used_texts],
        texts[:, used_texts] if used_texts.any() else None,
        np.intersect1d(stored.times, times[changed]) if stored else np.empty(0, np.int64),
    )


def _union(ids: list[Ids]) -> Ids:
    if not ids:
        return NO_IDS
    return np.unique(np.concatenate(ids)).astype(np.int32)


def _text_ids(stored: Stored) -> Ids:
    return np.array(sorted({int(key) for texts in stored.texts if texts for key in texts}), np.int32)


def _lay_stored(stored: Stored, times: Times, signals: Ids, values: Values, text_ids: Ids, texts: Texts) -> None:
    rows = np.searchsorted(times, stored.times)
    groups: dict[bytes, list[int]] = {}
    for index, ids in enumerate(stored.signals):
        groups.setdefault(ids.tobytes(), []).append(index)
    for indexes in groups.values():
        columns = np.searchsorted(signals, stored.signals[indexes[0]])
        values[np.ix_(rows[indexes], columns)] = np.stack([stored.values[i] for i in indexes])
    for row, entry in zip(rows, stored.texts, strict=True):
        for key, text in (entry or {}).items():
            texts[row, np.searchsorted(text_ids, int(key))] = text


def _without_repeats(block: Block) -> list[Block]:
    """The block itself, or, where it names an instant more than once, parts that do not, in order."""
    if len(block.times) < 2 or (block.times[1:] != block.times[:-1]).all():
        return [block]
    starts = np.concatenate([[0], np.flatnonzero(block.times[1:] != block.times[:-1]) + 1])
    rank = np.arange(len(block.times)) - np.repeat(starts, np.diff(np.append(starts, len(block.times))))
    parts = []
    for level in range(int(rank.max()) + 1):
        rows = rank == level
        texts = None if block.texts is None else block.texts[rows]
        parts.append(
            Block(
                block.organization_id, block.vehicle_id, block.source_id, block.times[rows], block.signals,
                block.values[rows], block.text_signals, texts,
            )
        )  # fmt: skip
    return parts


def _lay(
    values: Values, rows: NDArray[np.intp], columns: NDArray[np.intp], new: Values, outcome: Outcome
) -> NDArray[np.bool_]:
    place = np.ix_(rows, columns)
    old = values[place]
    given = ~np.isnan(new)
    same = given & (old == new)
    outcome.duplicates += int(same.sum())
    outcome.corrected += int((given & ~same & ~np.isnan(old)).sum())
    values[place] = np.where(given, new, old)
    return (given & ~same).any(axis=1)  # type: ignore[no-any-return]


def _lay_texts(
    texts: Texts, rows: NDArray[np.intp], columns: NDArray[np.intp], new: Texts, outcome: Outcome
) -> NDArray[np.bool_]:
    place = np.ix_(rows, columns)
    old = texts[place]
    given = new != None  # noqa: E711  (elementwise)
    same = given & (old == new)
    outcome.duplicates += int(same.sum())
    outcome.corrected += int((given & ~same & (old != None)).sum())  # noqa: E711  (elementwise)
    texts[place] = np.where(given, new, old)
    return (given & ~same).any(axis=1)  # type: ignore[no-any-return]
