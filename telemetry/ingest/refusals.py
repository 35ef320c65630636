"""What is refused of a request: each refusal with its place and a reason that tells what to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest import quality
from telemetry.ingest.names import Columns
from telemetry.ingest.parts import Part
from telemetry.readings import Rejection, Times, Values

SECOND = 1_000_000
OLDEST = 946_684_800 * SECOND
"""2000-01-01, in microseconds."""
TIME_CODES = {
    "invalid_time": "A time is a number or an RFC 3339 text.",
    "time_out_of_range": "The time is before 2000 or more than 24 h ahead: check the clock and time_unit.",
    "wrong_clock": "The time is 1,024 weeks behind: the week number of the GPS receiver has run over. Update the "
    "receiver, or correct the time before sending.",
}
MOST_LISTED = 100
MOST_KEPT = 1_000
UNKNOWN_NAMES = ("unknown_signal", "signal_quota")
NO_POSITION = "This is no position: 0, 0, half of one, or one that is known to 10 km at best."
POSITION_JUMP = (
    "The position cannot be reached from the one before it at 500 km/h; it is believed once a second one agrees."
)

Kept = NDArray[np.intp] | None
"""Places of the frames that are left, None for all."""


@dataclass
class Refused:
    """What was refused: all are counted, the first are kept."""

    kept: list[Rejection] = field(default_factory=list)
    count: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By code and signal; names that the organization does not know are counted together."""

    def note(self, entry: Rejection) -> None:
        """Count one refusal."""
        self.add(1, first=lambda _: entry)

    def add(
        self, count: int, *, first: Callable[[int], Rejection], reasons: Mapping[tuple[str, str], int] | None = None
    ) -> None:
        """Count ``count`` refusals; ``first(i)`` makes the entry of the i-th while there is room.

        Args:
            reasons: how many of each code and signal; None: all are as the first one.
        """
        if not count:
            return
        self.count += count
        if reasons is None:
            sample = first(0)
            reasons = {(sample.code, "" if sample.code in UNKNOWN_NAMES else (sample.signal or "")[:100]): count}
        self.counts.update(reasons)
        for index in range(min(count, MOST_KEPT - len(self.kept))):
            self.kept.append(first(index))


def whole_refused(part: Part, code: str, detail: str) -> Rejection:
    """A whole block or row."""
    return Rejection(code, detail, part.block_place, vehicle=str(part.vehicle or ""), source=part.source)


def frame_refused(part: Part, row: int, code: str, detail: str, value: object = "") -> Rejection:
    """One frame."""
    return Rejection(
        code, detail, part.place(row), vehicle=str(part.vehicle or ""), source=part.source, value=str(value)[:100]
    )


def reading_refused(part: Part, row: int, column: int, code: str, detail: str, time: float, value: object) -> Rejection:
    """One reading."""
    return Rejection(
        code, detail, part.place(row), part.signals[column], str(part.vehicle or ""), part.source, float(time),
        str(value)[:100],
    )  # fmt: skip


def place_of(kept: Kept, row: Any) -> int:
    """A frame's place in the request, from its place among those that are left."""
    return int(row) if kept is None else int(kept[row])


def refuse_times(
    part: Part,
    rows: NDArray[np.intp],
    clock: NDArray[np.float64],
    kept: Kept,
    frames: list[list[Any]],
    refused: Refused,
    per_unit: float,
    latest: int,
) -> None:
    """Refuse frames whose time is none, out of bounds, or 1,024 weeks behind.

    Args:
        per_unit: microseconds in a unit of ``clock``; ``latest``: the latest time that is let through, microseconds.
    """

    def entry(i: int) -> Rejection:
        row = int(rows[i])
        code = entry_code(i)
        return frame_refused(part, place_of(kept, row), code, TIME_CODES[code], frames[row][0])

    def entry_code(i: int) -> str:
        micros = clock[int(rows[i])] * per_unit
        if np.isnan(micros):
            return "invalid_time"
        return "wrong_clock" if OLDEST <= micros <= latest else "time_out_of_range"

    for code in TIME_CODES:
        chosen = [i for i in range(len(rows)) if entry_code(i) == code]
        refused.add(len(chosen), first=lambda i, chosen=chosen: entry(chosen[i]))  # type: ignore[misc]


def refuse_columns(
    part: Part,
    reasons: dict[int, tuple[str, str]],
    frames: list[list[Any]],
    times: Times,
    kept: Kept,
    refused: Refused,
) -> None:
    """Refuse every value of some columns, for the reason of each."""
    for column, (code, words) in reasons.items():
        rows = [i for i, frame in enumerate(frames) if frame[column + 1] is not None]

        def entry(
            i: int, rows: list[int] = rows, column: int = column, code: str = code, words: str = words
        ) -> Rejection:
            row = rows[i]
            value = frames[row][column + 1]
            return reading_refused(part, place_of(kept, row), column, code, words, times[row] / SECOND, value)

        refused.add(len(rows), first=entry)


@dataclass(frozen=True)
class Cells:
    """A part's numbers on their way into a block, so that single ones can be refused with their place."""

    part: Part
    columns: Columns
    values: Values
    """(frames, signals); what is refused becomes NaN."""
    times: Times
    """(frames,), microseconds."""
    kept: Kept
    refused: Refused

    def refuse(self, bad: NDArray[np.bool_], code: str, words: Callable[[int], str]) -> None:
        """Refuse and blank some cells.

        Args:
            bad: (frames, signals).
            words: the reason, by the cell's place among the numbers.
        """
        rows, places = np.nonzero(bad & ~np.isnan(self.values))

        def entry(i: int) -> Rejection:
            row, place = int(rows[i]), int(places[i])
            column = int(self.columns.numbers[place])
            moment, value = self.times[row] / SECOND, self.values[row, place]
            return reading_refused(
                self.part, place_of(self.kept, row), column, code, words(place), moment, value
            )  # fmt: skip

        counts = np.bincount(places, minlength=1)
        names = self.part.signals
        reasons = {
            (code, names[int(self.columns.numbers[place])]): int(counts[place]) for place in np.flatnonzero(counts)
        }
        self.refused.add(len(rows), first=entry, reasons=reasons)
        self.values[bad] = np.nan


def refuse_implausible(cells: Cells, key: tuple[int, int]) -> None:
    """Refuse what stands for "no value", what is out of range, and positions that are none or cannot be reached.

    Args:
        key: vehicle and source.
    """
    columns, values = cells.columns, cells.values
    blank = quality.no_value(values, columns.blanks)
    if blank is not None:
        cells.refuse(
            blank, "no_value", lambda place: f"{columns.blanks[place]:g} stands for a value that is not there."
        )
    bad = (values < columns.minimum) | (values > columns.maximum)
    if len(columns.booleans):
        flags = values[:, columns.booleans]
        bad[:, columns.booleans] |= (flags != 0) & (flags != 1) & ~np.isnan(flags)
    position = columns.position
    halves: NDArray[np.bool_] | None = None
    if bad.any():
        halves = bad[:, position.latitude] | bad[:, position.longitude] if position.both else None
        cells.refuse(bad, "out_of_range", lambda place: _range_words(columns, place))
    if position.any:
        _refuse_positions(cells, key, halves)


def _range_words(columns: Columns, place: int) -> str:
    if place in columns.booleans:
        return "A boolean must be 0, 1, false or true."
    return f"The value must be from {columns.minimum[place]:g} to {columns.maximum[place]:g}."


def _refuse_positions(cells: Cells, key: tuple[int, int], halves: NDArray[np.bool_] | None) -> None:
    position, values, times = cells.columns.position, cells.values, cells.times
    places = [place for place in (position.latitude, position.longitude) if place >= 0]

    def refuse(rows: NDArray[np.bool_], code: str, words: str) -> None:
        bad = np.zeros(values.shape, bool)
        bad[np.ix_(np.flatnonzero(rows), np.array(places))] = True
        cells.refuse(bad, code, lambda _: words)

    none = quality.no_position(values, position, halves)
    if none is not None:
        refuse(none, "no_position", NO_POSITION)
    order = None if len(times) < 2 or (times[1:] >= times[:-1]).all() else np.argsort(times, kind="stable")
    columns = values[:, places] if order is None else values[order][:, places]
    times = times if order is None else times[order]
    if position.both:
        jumps = quality.POSITIONS.jumps(key, times, columns[:, 0], columns[:, 1])
    else:
        jumps = quality.POSITIONS.half_jumps(key, times, columns[:, 0], position.latitude >= 0)
    if jumps is not None:
        if order is not None:
            sorted_jumps, jumps = jumps, np.zeros(len(times), bool)
            jumps[order] = sorted_jumps
        refuse(jumps, "position_jump", POSITION_JUMP)
