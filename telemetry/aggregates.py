"""Count, minimum, maximum, sum and last of readings per minute and per hour. Plain numpy: no clock, no database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry.readings import Ids, Times, Values

MINUTE = 60_000_000
HOUR = 60 * MINUTE
Counts = NDArray[np.int32]


@dataclass
class Frames:
    """Frames that share their signals: n vehicle ids, source ids and times, and n x k values (NaN: missing)."""

    vehicles: Ids
    sources: Ids
    times: Times
    signals: Ids
    values: Values


@dataclass
class Aggregate:
    """One cell per signal and span, of equal shapes; cells with count 0 hold 0."""

    counts: Counts
    minima: Values
    maxima: Values
    sums: Values
    lasts: Values

    @classmethod
    def empty(cls, *shape: int) -> Aggregate:
        """Cells that hold nothing."""
        return cls(np.zeros(shape, np.int32), *(np.zeros(shape) for _ in range(4)))

    def slice(self, place: Any) -> Aggregate:
        """Some of the cells, as an index of all five arrays gives them."""
        return Aggregate(
            self.counts[place], self.minima[place], self.maxima[place], self.sums[place], self.lasts[place]
        )

    def put(self, place: Any, cells: Aggregate) -> None:
        """Lay other cells over those at ``place``."""
        self.counts[place], self.minima[place], self.maxima[place] = cells.counts, cells.minima, cells.maxima
        self.sums[place], self.lasts[place] = cells.sums, cells.lasts


@dataclass
class HourOfMinutes:
    """One vehicle, source and hour: signals x 60 minutes, and the times of the lasts."""

    signals: Ids = field(default_factory=lambda: np.empty(0, np.int32))
    cells: Aggregate = field(default_factory=lambda: Aggregate.empty(0, 60))
    newest: Times = field(default_factory=lambda: np.empty((0, 60), np.int64))

    def rows_of(self, signals: Ids) -> NDArray[np.intp]:
        """The rows of some ascending signals, made where they are new."""
        if not np.array_equal(signals, self.signals):
            union = np.union1d(self.signals, signals).astype(np.int32)
            if len(union) > len(self.signals):
                places = np.searchsorted(union, self.signals)
                grown = Aggregate.empty(len(union), 60)
                grown.put(places, self.cells)
                newest = np.zeros((len(union), 60), np.int64)
                newest[places] = self.newest
                self.signals, self.cells, self.newest = union, grown, newest
        return np.searchsorted(self.signals, signals)

    def add(self, signals: Ids, minutes: NDArray[np.int64], found: Aggregate, newest: Times) -> None:
        """Merge aggregates of distinct minutes (each minutes x signals) into the cells."""
        place = np.ix_(self.rows_of(signals), minutes)
        cells = self.cells
        counts = cells.counts[place]
        new = found.counts.T
        some, both = new > 0, (new > 0) & (counts > 0)
        low, high = cells.minima[place], cells.maxima[place]
        cells.minima[place] = np.where(both, np.minimum(low, found.minima.T), np.where(some, found.minima.T, low))
        cells.maxima[place] = np.where(both, np.maximum(high, found.maxima.T), np.where(some, found.maxima.T, high))
        cells.sums[place] += found.sums.T
        later = some & (self.newest[place] <= newest.T)
        cells.lasts[place] = np.where(later, found.lasts.T, cells.lasts[place])
        self.newest[place] = np.where(later, newest.T, self.newest[place])
        cells.counts[place] = counts + new

    def clear(self, first: int, end: int) -> None:
        """Forget the minutes from ``first`` to before ``end``."""
        self.cells.put(np.s_[:, first:end], Aggregate.empty(len(self.signals), end - first))

    def total(self) -> Aggregate:
        """The whole hour, one cell per signal."""
        cells = self.cells
        given = cells.counts > 0
        latest = 59 - np.argmax(given[:, ::-1], axis=1)
        rows = np.arange(len(self.signals))
        some = given.any(axis=1)
        return Aggregate(
            cells.counts.sum(axis=1, dtype=np.int32),
            np.where(some, np.where(given, cells.minima, np.inf).min(axis=1, initial=np.inf), 0.0),
            np.where(some, np.where(given, cells.maxima, -np.inf).max(axis=1, initial=-np.inf), 0.0),
            cells.sums.sum(axis=1),
            np.where(some, cells.lasts[rows, latest], 0.0),
        )


Key = tuple[int, int, int]
"""Vehicle, source, and the hour in hours since 1970."""


def by_hour(runs: Iterable[Frames], hours: dict[Key, HourOfMinutes]) -> None:
    """Add frames to the hours that they belong to; hours that are missing are made."""
    for run in runs:
        _add(run, hours)


def _add(run: Frames, hours: dict[Key, HourOfMinutes]) -> None:
    vehicles, sources, times, values = run.vehicles, run.sources, run.times, run.values
    minutes = times // MINUTE
    if not _in_order(vehicles, sources, times):
        order = np.lexsort((times, sources, vehicles))
        vehicles, sources, times, values = vehicles[order], sources[order], times[order], values[order]
        minutes = minutes[order]
    change = (vehicles[1:] != vehicles[:-1]) | (sources[1:] != sources[:-1]) | (minutes[1:] != minutes[:-1])
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    found, newest = _reduce(values, times, starts)
    vehicles, sources, minutes = vehicles[starts], sources[starts], minutes[starts]
    hour = minutes // 60
    change = (vehicles[1:] != vehicles[:-1]) | (sources[1:] != sources[:-1]) | (hour[1:] != hour[:-1])
    edges = np.concatenate([[0], np.flatnonzero(change) + 1, [len(starts)]])
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        key = (int(vehicles[first]), int(sources[first]), int(hour[first]))
        part = found.slice(slice(first, end))
        hours.setdefault(key, HourOfMinutes()).add(run.signals, minutes[first:end] % 60, part, newest[first:end])


def _in_order(vehicles: Ids, sources: Ids, times: Times) -> bool:
    same = (vehicles[1:] == vehicles[:-1]) & (sources[1:] == sources[:-1])
    if not (times[1:][same] >= times[:-1][same]).all():
        return False
    # Each vehicle and source must stand in one piece.
    starts = np.concatenate([[0], np.flatnonzero(~same) + 1])
    keys = vehicles[starts].astype(np.int64) << 32 | sources[starts]
    return len(np.unique(keys)) == len(keys)


def _reduce(values: Values, times: Times, starts: NDArray[np.int64]) -> tuple[Aggregate, Times]:
    """Aggregates of the groups of rows that begin at ``starts`` (groups x signals), and the times of their lasts."""
    ends = np.append(starts[1:], len(values))
    given = ~np.isnan(values)
    if given.all():
        counts = np.broadcast_to((ends - starts).astype(np.int32)[:, None], (len(starts), values.shape[1]))
        lasts, newest = values[ends - 1], np.broadcast_to(times[ends - 1][:, None], counts.shape)
        return (
            Aggregate(
                counts, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts),
                np.add.reduceat(values, starts), lasts,
            ),
            newest,
        )  # fmt: skip
    counts = np.add.reduceat(given, starts, dtype=np.int32)
    some = counts > 0
    rows = np.maximum.reduceat(np.where(given, np.arange(len(values))[:, None], -1), starts)
    lasts = np.where(some, np.take_along_axis(values, np.maximum(rows, 0), axis=0), 0.0)
    minima = np.where(some, np.minimum.reduceat(np.where(given, values, np.inf), starts), 0.0)
    maxima = np.where(some, np.maximum.reduceat(np.where(given, values, -np.inf), starts), 0.0)
    sums = np.add.reduceat(np.where(given, values, 0.0), starts)
    return Aggregate(counts, minima, maxima, sums, lasts), times[np.maximum(rows, 0)]
