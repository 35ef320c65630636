"""From a parsed request to blocks of arrays and a list of what was refused. Pure: no clock, no database.

Cost per block: a fixed number of array operations. Only what is refused costs Python per reading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet.lib.errors import MotorpoolError
from telemetry.catalog import LONGEST_TEXT
from telemetry.ingest.format import BadFormat, Body, TooLarge
from telemetry.ingest.names import Columns, OrganizationNames, Sender
from telemetry.ingest.parts import Part
from telemetry.ingest.refusals import (
    OLDEST,
    SECOND,
    Cells,
    Kept,
    Refused,
    frame_refused,
    place_of,
    reading_refused,
    refuse_columns,
    refuse_implausible,
    refuse_times,
    whole_refused,
)
from telemetry.readings import CLOCK_TOLERANCE_US, Block, Texts, Values

FACTORS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
FURTHEST_AHEAD = 24 * 3600 * SECOND
WEEKS_1024 = 1024 * 7 * 86_400 * SECOND
ROLLOVER_BEFORE, ROLLOVER_AFTER = 7 * 86_400 * SECOND, 86_400 * SECOND
"""Around 1,024 weeks ago a time is one of now by a receiver whose week number has run over, sent up to a week late."""
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
MOST_NEW_SIGNALS = 4_096


class Forgotten(MotorpoolError):
    """A name that was just looked up was dropped from memory by a flood of others (503: nothing was stored)."""

    status, code = 503, "unavailable"

    def __init__(self) -> None:
        super().__init__("Too many names at once; send it again shortly.")


@dataclass
class Decoded:
    """A request, decoded."""

    blocks: list[Block]
    refused: Refused
    frames: int
    readings: int


@dataclass
class Wanted:
    """Names that have to be looked up before a request can be decoded."""

    vehicles: set[str] = field(default_factory=set)
    soon: set[str] = field(default_factory=set)
    """Vehicles to look up beside the request: what is known of them still holds."""
    sources: set[str] = field(default_factory=set)
    signals: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.vehicles or self.sources or self.signals)


def wanted_names(parts: Sequence[Part], names: OrganizationNames, sender: Sender) -> Wanted:
    """What of the parts' names is not remembered.

    Raises:
        BadFormat: a part names no vehicle and the key is not bound to exactly one.
    """
    wanted = Wanted()
    for part in parts:
        if part.vehicle is None:
            if sender.only_vehicle is None:
                raise BadFormat("vehicle is missing, and the key is not bound to exactly one.")
        elif names.vehicles.get(str(part.vehicle)) is None:
            wanted.vehicles.add(str(part.vehicle))
        elif names.vehicles.due(str(part.vehicle)):
            wanted.soon.add(str(part.vehicle))
        if part.source not in names.sources:
            wanted.sources.add(part.source)
        undecided = bool(names.undecided) and not names.undecided.isdisjoint(part.signals)
        if part.frames and (undecided or names.columns_of(part.signals) is None):
            for index, name in enumerate(part.signals):
                unknown = not names.knows(name) or name in names.undecided
                if unknown and not wanted.signals.get(name):
                    wanted.signals[name] = _kind_of(part, index + 1)
    if len(wanted.signals) > MOST_NEW_SIGNALS:
        raise TooLarge(f"A request may bring {MOST_NEW_SIGNALS} signals that were not used lately; send several.")
    return wanted


def decode(body: Body, parts: Sequence[Part], names: OrganizationNames, sender: Sender, now: int) -> Decoded:
    """Blocks ready to store.

    Args:
        now: the clock, in microseconds since 1970.
    """
    refused = Refused()
    blocks: list[Block] = []
    for part in parts:
        vehicle_id = _vehicle_of(part, names, sender)
        source_id = names.sources.get(part.source)
        columns = names.columns_of(part.signals) if part.frames else None
        if vehicle_id is None:
            refused.note(whole_refused(part, "unknown_vehicle", _no_vehicle(part)))
        elif source_id is None:
            refused.note(whole_refused(part, "source_quota", "The organization has too many sources."))
        elif part.frames:
            if columns is None:
                raise Forgotten
            block = _block(body, part, columns, refused, now, (names.organization_id, vehicle_id, source_id))
            if block is not None:
                blocks.append(block)
    return Decoded(blocks, refused, sum(len(block.times) for block in blocks), sum(block.readings for block in blocks))


def _vehicle_of(part: Part, names: OrganizationNames, sender: Sender) -> int | None:
    if part.vehicle is None:
        return sender.only_vehicle
    try:
        vehicle_id = names.vehicles.last(str(part.vehicle))
    except KeyError:
        raise Forgotten from None
    return vehicle_id if vehicle_id is not None and sender.may_write(vehicle_id) else None


def _no_vehicle(part: Part) -> str:
    return f"No vehicle of this key answers to {str(part.vehicle)[:50]!r}: use its id, its VIN or one of its aliases."


def _kind_of(part: Part, column: int) -> str:
    """The kind that a new signal's values suggest: empty where all are numbers in quotes, which may be either."""
    kind = "number"
    for frame in part.frames:
        value = frame[column] if column < len(frame) else None
        if isinstance(value, str):
            if not _NUMBER.fullmatch(value):
                return "text"
            kind = ""
        elif value is not None:
            return "boolean" if isinstance(value, bool) else "number"
    return kind


def _block(
    body: Body, part: Part, columns: Columns, refused: Refused, now: int, ids: tuple[int, int, int]
) -> Block | None:
    width = len(part.signals) + 1
    frames = part.frames
    kept: Kept = None  # places of the frames that are left, None for all
    if set(map(len, frames)) != {width}:
        ragged = [i for i, frame in enumerate(frames) if len(frame) != width]
        words = f"A frame needs a time and {width - 1} values, one per signal."
        refused.add(len(ragged), first=lambda i: frame_refused(part, ragged[i], "wrong_length", words))
        kept = np.array([i for i, frame in enumerate(frames) if len(frame) == width], np.intp)
        frames = [frames[i] for i in kept]
        if not frames:
            return None
    if body.numeric:
        table = np.array(frames, float)
        clock, values = table[:, 0], table[:, 1:] if columns.in_order else table[:, 1 + columns.numbers]
        texts = None
    else:
        cells = list(zip(*frames, strict=True))
        clock = _clock(cells[0], 1e6 / FACTORS[body.time_unit])
        seconds = clock * (FACTORS[body.time_unit] / 1e6)
        values, texts = _mixed_columns(part, columns, cells, seconds, kept, refused)
    micros = clock * FACTORS[body.time_unit]
    latest = now + FURTHEST_AHEAD
    good = (micros >= OLDEST) & (micros <= latest)
    rollover = now - WEEKS_1024
    if not (micros > rollover + ROLLOVER_AFTER).all():
        good &= (micros < rollover - ROLLOVER_BEFORE) | (micros > rollover + ROLLOVER_AFTER)
    if not good.all():
        refuse_times(part, np.flatnonzero(~good), clock, kept, frames, refused, FACTORS[body.time_unit], latest)
        rows = np.flatnonzero(good)
        kept = rows if kept is None else kept[rows]
        micros, values, texts = micros[rows], values[rows], None if texts is None else texts[rows]
        frames = [frames[i] for i in rows]
    times = np.rint(micros).astype(np.int64)
    reasons = columns.unknown
    if body.numeric and len(columns.texts):
        reasons = reasons | {int(column): ("wrong_type", "This signal takes text.") for column in columns.texts}
    if reasons:
        refuse_columns(part, reasons, frames, times, kept, refused)
    refuse_implausible(Cells(part, columns, values, times, kept, refused), ids[1:])
    return _finish(columns, times, values, texts, now, ids, body)


def _finish(
    columns: Columns,
    times: NDArray[np.int64],
    values: Values,
    texts: Texts | None,
    now: int,
    ids: tuple[int, int, int],
    body: Body,
) -> Block | None:
    """Leave out empty frames, put the rest in order of time."""
    missing = np.isnan(values)
    if missing.any() or not values.shape[1]:
        some = ~missing.all(axis=1)
        if texts is not None:
            some |= (texts != None).any(axis=1)  # noqa: E711  (elementwise)
        if not some.all():
            times, values, texts = times[some], values[some], None if texts is None else texts[some]
    if not len(times):
        return None
    if len(times) > 1 and (times[1:] < times[:-1]).any():
        order = np.argsort(times, kind="stable")
        times, values, texts = times[order], values[order], None if texts is None else texts[order]
    if texts is not None and not (texts != None).any():  # noqa: E711  (elementwise)
        texts = None
    latest = now + CLOCK_TOLERANCE_US
    live = len(times) if times[-1] <= latest else int(np.searchsorted(times, latest, "right"))
    return Block(
        *ids, times, columns.number_ids, values, columns.text_ids if texts is not None else columns.text_ids[:0], texts,
        live=live, boot=body.boot, seq=body.seq,
    )  # fmt: skip


def _clock(cells: tuple[Any, ...], per_second: float) -> NDArray[np.float64]:
    """Times as sent, in the request's unit; NaN for what is none."""
    if set(map(type, cells)) <= {float, int}:
        return np.array(cells, float)
    return np.array([_moment(cell, per_second) for cell in cells], float)


def _moment(cell: Any, per_second: float) -> float:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return np.nan
    if not isinstance(cell, str):
        return float(cell)
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return np.nan
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    # Microseconds as an integer first: a float of seconds would lose the last one.
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
    return micros * per_second / 1e6


_MICROSECOND = datetime.resolution


def _mixed_columns(
    part: Part,
    columns: Columns,
    cells: list[tuple[Any, ...]],
    seconds: NDArray[np.float64],
    kept: Kept,
    refused: Refused,
) -> tuple[Values, Texts | None]:
    values = np.full((len(seconds), len(columns.numbers)), np.nan)
    texts: Texts | None = np.full((len(seconds), len(columns.texts)), None, object) if len(columns.texts) else None
    booleans = set(columns.booleans.tolist())

    def refuse(column: int, rows: list[int], cells: tuple[Any, ...], code: str, words: str) -> None:
        refused.add(
            len(rows),
            first=lambda i: reading_refused(
                part, place_of(kept, rows[i]), column, code, words, seconds[rows[i]], cells[rows[i]]
            ),
        )

    for place, column in enumerate(columns.numbers):
        column_cells = cells[column + 1]
        allowed = {float, int, type(None)} | ({bool} if place in booleans else set())
        if not set(map(type, column_cells)) <= allowed:
            wrong = [i for i, cell in enumerate(column_cells) if type(cell) not in allowed]
            refuse(int(column), wrong, column_cells, "wrong_type", "This signal takes numbers.")
            column_cells = tuple(cell if type(cell) in allowed else None for cell in column_cells)
        values[:, place] = np.array(column_cells, float)
    for place, column in enumerate(columns.texts):
        column_cells = cells[column + 1]
        wrong = [i for i, cell in enumerate(column_cells) if cell is not None and not isinstance(cell, str)]
        refuse(int(column), wrong, column_cells, "wrong_type", "This signal takes text.")
        long = [i for i, cell in enumerate(column_cells) if isinstance(cell, str) and len(cell) > LONGEST_TEXT]
        refuse(int(column), long, column_cells, "too_long", f"A text may have {LONGEST_TEXT} characters.")
        good = [cell if isinstance(cell, str) and len(cell) <= LONGEST_TEXT else None for cell in column_cells]
        assert texts is not None
        texts[:, place] = good
    return values, texts
