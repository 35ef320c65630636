"""The readings that rules look at: whole arrays over many vehicles, and what is known at each of their instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from telemetry.readings import Ids, Times, Values

Flags = NDArray[np.bool_]
Places = NDArray[np.intp]
NEVER = np.int64(-(2**62))
ALWAYS = 2**62
SLICES = 60
"""A change is measured against a reading out of so many slices of its window."""


class Spans(NamedTuple):
    """When something stood: ``start <= time < end``, ascending and apart; `ALWAYS` while it stands."""

    starts: Times
    ends: Times

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> Spans:
        """Those of some starts and ends."""
        both = np.array(pairs, np.int64).reshape(len(pairs), 2)
        return cls(both[:, 0], both[:, 1])

    def hold(self, times: Times) -> Flags:
        """At which times it stood."""
        place = np.searchsorted(self.starts, times, "right")
        stood: Flags = times < np.append(NEVER, self.ends)[place]
        return stood


@dataclass
class Table:
    """Rows of n instants, vehicle by vehicle, ascending in time; each vehicle's first rows carry what was known before.

    Attributes:
        vehicles: V ids; ``begins`` and ``ends``: the rows of each are ``begins[v] <= row < ends[v]``.
        group: n; the place of each row's vehicle.
        past: n; rows that were processed before, and only tell what is known.
        framed: n; rows that stand for frames: not what was put between them.
        columns: signal id -> n values, NaN where nothing was told.
        told: signal id -> n times at which the values of carried rows were told; other rows tell at their own.
        positions: fence id -> n; 1 inside, 0 outside, NaN where no position was told.
        standing: fact -> place of a vehicle -> when it stood; it did not stand where none is given.
        frame_told: n; the newest frame's time, for rows that carry or stand for one.
        settled: V; as of when to carry on. ``horizons``: V; until when to look.
    """

    vehicles: Ids
    begins: Places
    ends: Places
    group: NDArray[np.int32]
    times: Times
    past: Flags
    framed: Flags
    columns: dict[int, Values]
    told: dict[int, Times]
    positions: dict[int, Values]
    frame_told: Times
    settled: Times
    horizons: Times
    standing: Mapping[str, Mapping[int, Spans]] = field(default_factory=dict)
    _filled: dict[object, tuple[Values, Times]] = field(default_factory=dict)

    def filled(self, signal: int) -> tuple[Values, Times]:
        """What is known of a signal at each row, and when it was told (`NEVER`)."""
        column = self.columns.get(signal)
        if column is None:
            return np.full(len(self.times), np.nan), np.full(len(self.times), NEVER)
        return self._fill(signal, column, self.told.get(signal, self.times))

    def changes(self, signal: int, window: int) -> tuple[Values, Times]:
        """The change of a signal over ``window``, extrapolated from the earliest reading in it, and when it was told.

        That reading is the first of its slice, a `SLICES`-th of the window.
        """
        key = (signal, window)
        if key not in self._filled:
            self._fill(key, self._changes(signal, window), self.told.get(signal, self.times))
        return self._filled[key]

    def inside(self, fence: int) -> tuple[Values, Times]:
        """Whether the vehicle is inside a fence, by its last known position."""
        column = self.positions.get(fence)
        if column is None:
            return np.full(len(self.times), np.nan), np.full(len(self.times), NEVER)
        return self._fill(("fence", fence), column, self.times)

    def any_frame(self) -> Times:
        """The time of the newest frame at each row."""
        return self._fill("frames", np.where(self.framed, 1.0, np.nan), self.frame_told)[1]

    def settled_rows(self) -> Places:
        """By vehicle: its last row as of the settled time; -1 where all are later."""
        later = np.add.reduceat(self.times > self.settled[self.group], self.begins)
        rows = self.ends - 1 - later
        return np.where(rows >= self.begins, rows, -1)

    def _fill(self, key: object, column: Values, told: Times) -> tuple[Values, Times]:
        known = self._filled.get(key)
        if known is None:
            rows = np.where(np.isnan(column), np.intp(-1), np.arange(len(column)))
            np.maximum.accumulate(rows, out=rows)
            # Nothing is known from another vehicle's rows.
            missing = rows < self.begins[self.group]
            rows[missing] = 0
            values, times = column[rows], told[rows]
            values[missing], times[missing] = np.nan, NEVER
            known = self._filled[key] = values, times
        return known

    def _changes(self, signal: int, window: int) -> Values:
        result = np.full(len(self.times), np.nan)
        column = self.columns.get(signal)
        if column is None:
            return result
        rows = np.flatnonzero(~np.isnan(column))
        if not len(rows):
            return result
        step = max(1, window // SLICES)
        times = self.told.get(signal, self.times)[rows]
        group = self.group[rows].astype(np.int64)
        origin = int(times.min()) - window - 1
        width = int(times.max()) - origin + window + 2
        keys = group * width + (times - origin)
        slices = times // step
        first = np.append(True, (slices[1:] != slices[:-1]) | (group[1:] != group[:-1]))
        reference_keys, references = keys[first], rows[first]
        place = np.searchsorted(reference_keys, keys - window)
        usable = reference_keys[place] < keys
        now, then = rows[usable], references[place[usable]]
        told = self.told.get(signal, self.times)
        result[now] = (column[now] - column[then]) / (told[now] - told[then]) * window
        return result


def tail(times: Times, values: Values, window: int) -> tuple[Times, Values]:
    """The readings of one vehicle's signal that later changes may be measured against."""
    step = max(1, window // SLICES)
    recent = times >= times[-1] - window - step if len(times) else np.empty(0, bool)
    times, values = times[recent], values[recent]
    slices = times // step
    first = np.append(True, slices[1:] != slices[:-1]) if len(times) else np.empty(0, bool)
    return times[first], values[first]
