"""What is refused of a request: each refusal with its place and a reason that tells what to mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest.names import Columns
from telemetry.ingest.parts import Part
from telemetry.readings import Rejection, Times, Values

SECOND = 1_000_000
MOST_LISTED = 100
MOST_KEPT = 10_000

Kept = NDArray[np.intp] | None
"""Places of the frames that are left, None for all."""


@dataclass
class Refused:
    """What was refused: all are counted, the first are kept."""

    kept: list[Rejection] = field(default_factory=list)
    count: int = 0

    def note(self, entry: Rejection) -> None:
        """Count one refusal."""
        self.add(1, first=lambda _: entry)

    def add(self, count: int, *, first: Callable[[int], Rejection]) -> None:
        """Count ``count`` refusals; ``first(i)`` makes the entry of the i-th while there is room."""
        self.count += count
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
) -> None:
    """Refuse frames whose time is none, or out of bounds."""

    def entry(i: int) -> Rejection:
        row = int(rows[i])
        if np.isnan(clock[row]):
            return frame_refused(
                part, place_of(kept, row), "invalid_time", "A time is a number or an RFC 3339 text.", frames[row][0]
            )
        words = "The time is before 2000 or more than 24 h ahead: check the clock and time_unit."
        return frame_refused(part, place_of(kept, row), "time_out_of_range", words, frames[row][0])

    refused.add(len(rows), first=entry)


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


def refuse_out_of_range(
    part: Part,
    columns: Columns,
    values: Values,
    times: Times,
    kept: Kept,
    refused: Refused,
) -> None:
    """Blank what is out of range, in place."""
    bad = (values < columns.minimum) | (values > columns.maximum)
    if len(columns.booleans):
        flags = values[:, columns.booleans]
        bad[:, columns.booleans] |= (flags != 0) & (flags != 1) & ~np.isnan(flags)
    if not bad.any():
        return
    rows, places = np.nonzero(bad)

    def entry(i: int) -> Rejection:
        place = places[i]
        low, high = columns.minimum[place], columns.maximum[place]
        words = f"The value must be from {low:g} to {high:g}."
        if place in columns.booleans:
            words = "A boolean must be 0, 1, false or true."
        column = int(columns.numbers[place])
        value = values[rows[i], place]
        return reading_refused(
            part, place_of(kept, rows[i]), column, "out_of_range", words, times[rows[i]] / SECOND, value
        )

    refused.add(len(rows), first=entry)
    values[bad] = np.nan
