"""The data-quality stage: what is no reading although it has the form of one. All ways in meet here.

Whatever is left out is counted with its device and reason. Cost per block: a fixed number of array operations over the
columns concerned, none where a block has no such column; only what is left out costs Python per reading.

* ``no_value``: what control units and apps send where they have none, by signal (`motorpool_formats/signals.txt`).
* ``no_position``: a position of 0, 0; half of one whose other half was refused; one that is known to 10 km at best.
* ``position_jump``: a position that cannot be reached from the one before it; the second one that agrees is believed.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.readings import Times, Values

EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""
METRES_PER_DEGREE = 111_700.0
"""At most, of latitude anywhere and of longitude at the equator (WGS 84)."""
NULL_DEGREES = 1e-4
"""Both coordinates below this, some 11 metres, are no place but a receiver without a fix."""
WORST_ACCURACY_M = 10_000.0
MAX_SPEED_M_S = 500 / 3.6
"""Faster than this, the catalog's bound for vehicles, nothing on the ground moves between two fixes."""
JUMP_SLACK_M = 500.0
"""Two fixes may differ by so much beside: reflections between houses, a receiver that wakes."""
MOST_FIXES = 100_000
MOST_JUMPS = 100
"""So many refused positions of each source are remembered, of so many sources:"""
MOST_JUMPED = 10_000
HALVES_APART_US = 10_000_000
"""Latitude and longitude of two messages belong together if they are no further apart."""

Flags = NDArray[np.bool_]
Key = tuple[int, int]
"""Vehicle and source."""
Fix = tuple[int, float, float]  # microseconds and degrees


@dataclass(frozen=True)
class PositionColumns:
    """Where a block's latitude, longitude and accuracy are among its numbers; -1 where they are not."""

    latitude: int
    longitude: int
    accuracy: int

    @property
    def both(self) -> bool:
        """Whether the block has whole positions."""
        return self.latitude >= 0 and self.longitude >= 0

    @property
    def any(self) -> bool:
        """Whether the block has anything of a position."""
        return self.latitude >= 0 or self.longitude >= 0


def no_value(values: Values, blanks: Values) -> Flags | None:
    """Cells that stand for "no value".

    Args:
        values: (frames, signals).
        blanks: (signals,); NaN for a signal that has no such value.

    Returns:
        (frames, signals), None where there is none.
    """
    concerned = np.flatnonzero(~np.isnan(blanks))
    if not len(concerned):
        return None
    found = np.abs(values[:, concerned] - blanks[concerned]) <= 1e-6 * np.abs(blanks[concerned])
    if not found.any():
        return None
    cells = np.zeros(values.shape, bool)
    cells[:, concerned] = found
    return cells


def no_position(values: Values, columns: PositionColumns, refused: Flags | None) -> Flags | None:
    """Frames whose position is none.

    Args:
        values: (frames, signals), with NaN for what was refused.
        refused: (frames,), where a coordinate was refused.

    Returns:
        (frames,), None where all positions are sound.
    """
    if columns.both:
        latitude, longitude = values[:, columns.latitude], values[:, columns.longitude]
        bad: Flags = (np.abs(latitude) < NULL_DEGREES) & (np.abs(longitude) < NULL_DEGREES)
        alone = np.isnan(latitude) != np.isnan(longitude)
        bad |= alone & ((latitude == 0) | (longitude == 0))
        if refused is not None:
            bad |= refused & alone
    else:
        # The other half comes in another message: a coordinate of exactly 0 is no fix either.
        bad = values[:, max(columns.latitude, columns.longitude)] == 0
    if columns.accuracy >= 0:
        bad |= values[:, columns.accuracy] >= WORST_ACCURACY_M
    return bad if bad.any() else None


@dataclass
class _Fix:
    """The newest position that was believed, and one after it that was not yet; microseconds and degrees."""

    time: int
    latitude: float
    longitude: float
    suspect: Fix | None = None


class Positions:
    """The newest fixes by vehicle and source, remembered per process and bounded; decides which positions are jumps.

    A process that does not know a vehicle yet believes the first fix. The verdict on a position is kept, so that what
    is sent again is judged as it was.
    """

    def __init__(self) -> None:
        self._fixes: OrderedDict[Key, _Fix] = OrderedDict()
        self._jumps: OrderedDict[Key, OrderedDict[Fix, None]] = OrderedDict()
        self._halves: OrderedDict[tuple[Key, bool], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def jumps(self, key: Key, times: Times, latitudes: Values, longitudes: Values) -> Flags | None:
        """Positions that cannot be reached from the one before.

        Args:
            times: (frames,), microseconds, ascending; ``latitudes``, ``longitudes``: (frames,), degrees, NaN for none.

        Returns:
            (frames,), None where there is none.
        """
        rows = np.flatnonzero(~np.isnan(latitudes) & ~np.isnan(longitudes))
        if not len(rows):
            return None
        with self._lock:
            bad = self._judge(key, times[rows], np.stack([latitudes[rows], longitudes[rows]]))
        return _spread(bad, rows, len(times))

    def half_jumps(self, key: Key, times: Times, halves: Values, latitude: bool) -> Flags | None:
        """The same for a block that has one coordinate: the other one came in another message, not long ago.

        Args:
            times: (frames,), microseconds, ascending; ``halves``: (frames,), degrees, NaN for none.
            latitude: which one it is.
        """
        rows = np.flatnonzero(~np.isnan(halves))
        if not len(rows):
            return None
        bad = None
        with self._lock:
            other = self._halves.get((key, not latitude))
            if other is not None:
                near = rows[np.abs(times[rows] - other[0]) <= HALVES_APART_US]
                pair = [halves[near], np.full(len(near), other[1])]
                points = np.stack(pair if latitude else pair[::-1])
                bad = _spread(self._judge(key, times[near], points), near, len(times)) if len(near) else None
            good = rows if bad is None else rows[~bad[rows]]
            if len(good):
                self._halves[key, latitude] = (int(times[good[-1]]), float(halves[good[-1]]))
                self._halves.move_to_end((key, latitude))
                if len(self._halves) > MOST_FIXES:
                    self._halves.popitem(last=False)
        return bad

    def _judge(self, key: Key, times: Times, points: Values) -> Flags | None:
        """(n,) for points of (2, n): latitudes and longitudes; None where all are reached."""
        known = self._fixes.get(key)
        when, where = times, points
        if known is not None:
            when = np.concatenate([[known.time], times])
            where = np.concatenate([[[known.latitude], [known.longitude]], points], axis=1)
        start = len(when) - len(times)
        far = _unreachable(when, where)
        refused = self._refused_before(key, times, points)
        if not far.any() and refused is None and (known is None or known.suspect is None):
            self._keep(key, known, _Fix(int(times[-1]), *points[:, -1].tolist()))
            return None
        good = _walk(known, when, where, far, start)
        bad: Flags = ~good
        self._note(key, times[bad], points[:, bad])
        if refused is not None:
            bad |= refused
        suspect = (int(times[-1]), *points[:, -1].tolist()) if bad[-1] else None
        last = np.flatnonzero(~bad)
        if len(last):
            row = int(last[-1])
            self._keep(key, known, _Fix(int(times[row]), float(points[0, row]), float(points[1, row]), suspect))
        elif known is not None:
            known.suspect = suspect or known.suspect
        return bad if bad.any() else None

    def _note(self, key: Key, times: Times, points: Values) -> None:
        """Keep the verdict on some positions."""
        if not len(times):
            return
        mine = self._jumps.setdefault(key, OrderedDict())
        self._jumps.move_to_end(key)
        newest = slice(-MOST_JUMPS, None)
        for jump in zip(times[newest].tolist(), *points[:, newest].tolist(), strict=True):
            mine[jump] = None
        while len(mine) > MOST_JUMPS:
            mine.popitem(last=False)
        if len(self._jumps) > MOST_JUMPED:
            self._jumps.popitem(last=False)

    def _refused_before(self, key: Key, times: Times, points: Values) -> Flags | None:
        """Positions that were judged before and come again."""
        mine = self._jumps.get(key)
        if not mine:
            return None
        jumps = np.array(list(mine))
        found: Flags = np.isin(times, jumps[:, 0].astype(np.int64))
        for row in np.flatnonzero(found).tolist():
            found[row] = (int(times[row]), *points[:, row].tolist()) in mine
        return found if found.any() else None

    def _keep(self, key: Key, known: _Fix | None, fix: _Fix) -> None:
        if known is not None and fix.time < known.time:
            return
        self._fixes[key] = fix
        self._fixes.move_to_end(key)
        if len(self._fixes) > MOST_FIXES:
            self._fixes.popitem(last=False)


def _spread(bad: Flags | None, rows: NDArray[np.intp], count: int) -> Flags | None:
    """A verdict on some rows as one on all."""
    if bad is None:
        return None
    found = np.zeros(count, bool)
    found[rows[bad]] = True
    return found


def _walk(known: _Fix | None, when: Times, where: Values, far: Flags, start: int) -> Flags:
    """(n - start,): which fixes count; fix after fix only from where something jumps to where two agree.

    A suspect that the next one agrees with is the new place.
    """
    good = np.ones(len(when) - start, bool)
    edges = np.flatnonzero(far) + 1
    suspect = known.suspect if known is not None else None
    suspect_row = -1
    i = 1 if suspect is not None else int(edges[0]) if len(edges) else len(when)
    believed = _fix_at(when, where, i - 1) if i < len(when) else None
    while i < len(when) and believed is not None:
        here = _fix_at(when, where, i)
        if _reachable(believed, here) or (suspect is not None and _reachable(suspect, here)):
            if suspect_row >= start and not _reachable(believed, here):
                good[suspect_row - start] = True
            suspect, suspect_row = None, -1
            following = edges[np.searchsorted(edges, i, side="right") :]
            i = int(following[0]) if len(following) else len(when)
            believed = _fix_at(when, where, i - 1)
        else:
            good[i - start] = False
            suspect, suspect_row = here, i
            i += 1
    return good


def _fix_at(when: Times, where: Values, row: int) -> Fix:
    return (int(when[row]), float(where[0, row]), float(where[1, row]))


def _unreachable(times: Times, points: Values) -> Flags:
    """(n - 1,): whether each position is too far from the one before it (haversine)."""
    steps = np.abs(np.diff(points)).sum(axis=0)
    if not len(steps) or steps.max() * METRES_PER_DEGREE <= JUMP_SLACK_M:
        return np.zeros(len(steps), bool)  # as nearly always
    latitudes, longitudes = np.radians(points)
    half = np.sin(np.diff(latitudes) / 2) ** 2
    half += np.cos(latitudes[1:]) * np.cos(latitudes[:-1]) * np.sin(np.diff(longitudes) / 2) ** 2
    metres = 2 * EARTH_METRES * np.arcsin(np.minimum(1.0, np.sqrt(half)))
    far: Flags = metres > JUMP_SLACK_M + MAX_SPEED_M_S * np.abs(np.diff(times)) / 1e6
    return far


def _reachable(one: Fix, other: Fix) -> bool:
    """The same for two fixes."""
    north, middle = math.radians(one[1]), math.radians(other[1])
    half = math.sin((north - middle) / 2) ** 2
    half += math.cos(north) * math.cos(middle) * math.sin(math.radians(one[2] - other[2]) / 2) ** 2
    metres = 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))
    return metres <= JUMP_SLACK_M + MAX_SPEED_M_S * abs(one[0] - other[0]) / 1e6


POSITIONS = Positions()
