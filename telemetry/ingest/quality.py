"""The data-quality stage: what is no reading although it has the form of one. All ways in meet here.

Whatever is left out is counted with its device and reason. Cost per block: a fixed number of array operations over the
columns concerned, none where a block has no such column; only what is left out costs Python per reading.

* ``no_value``: what control units and apps send where they have none, by signal (`motorpool_formats/signals.txt`).
* ``no_position``: a position of 0, 0; half of one whose other half was refused; one that is known to 10 km at best.
* ``position_jump``: a position that cannot be reached from the one before it; the second one that agrees is believed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.readings import Times, Values

EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""
NULL_DEGREES = 1e-4
"""Both coordinates below this, some 11 metres, are no place but a receiver without a fix."""
WORST_ACCURACY_M = 10_000.0
MAX_SPEED_M_S = 500 / 3.6
"""Faster than this, the catalog's bound for vehicles, nothing on the ground moves between two fixes."""
JUMP_SLACK_M = 500.0
"""Two fixes may differ by so much beside: reflections between houses, a receiver that wakes."""
MOST_FIXES = 100_000
MOST_JUMPS = 10_000

Flags = NDArray[np.bool_]
Key = tuple[int, int]
"""Vehicle and source."""


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
    suspect: tuple[int, float, float] | None = None


class Positions:
    """The newest fixes by vehicle and source, remembered per process and bounded; decides which positions are jumps.

    A process that does not know a vehicle yet believes the first fix. The verdict on a position is kept, so that what
    is sent again is judged as it was.
    """

    def __init__(self) -> None:
        self._fixes: OrderedDict[Key, _Fix] = OrderedDict()
        self._jumps: OrderedDict[tuple[Key, int], None] = OrderedDict()
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
            bad = self._judge(key, times[rows], latitudes[rows], longitudes[rows])
        if bad is None:
            return None
        found = np.zeros(len(times), bool)
        found[rows[bad]] = True
        return found

    def _judge(self, key: Key, times: Times, latitudes: Values, longitudes: Values) -> Flags | None:
        known = self._fixes.get(key)
        first = known is None or int(times[0]) <= known.time
        start = 0 if first else 1
        points = np.stack([latitudes, longitudes])
        when = times
        if known is not None and not first:
            points = np.concatenate([[[known.latitude], [known.longitude]], points], axis=1)
            when = np.concatenate([[known.time], times])
        far = _unreachable(when, points)
        if not far.any() and (known is None or known.suspect is None):
            self._remember(key, known, when, points)
            return self._known_jumps(key, times)
        good = self._walk(known, when, points, start)
        bad: Flags = ~good
        for moment in times[bad].tolist():
            self._jumps[key, moment] = None
        while len(self._jumps) > MOST_JUMPS:
            self._jumps.popitem(last=False)
        again = self._known_jumps(key, times)
        if again is not None:
            bad |= again
        last = np.flatnonzero(good)
        suspect = None
        if bad[-1]:
            suspect = (int(times[-1]), float(latitudes[-1]), float(longitudes[-1]))
        if len(last):
            row = int(last[-1])
            self._keep(key, known, _Fix(int(times[row]), float(latitudes[row]), float(longitudes[row]), suspect))
        elif known is not None:
            known.suspect = suspect or known.suspect
        return bad if bad.any() else None

    def _walk(self, known: _Fix | None, when: Times, points: Values, start: int) -> Flags:
        """Fix after fix, only where something jumps: a suspect that the next one agrees with is the new place."""
        good = np.ones(len(when) - start, bool)
        believed = (int(when[0]), *points[:, 0].tolist())
        suspect = known.suspect if known is not None and start else None
        for i in range(1, len(when)):
            here = (int(when[i]), *points[:, i].tolist())
            if _reachable(believed, here) or (suspect is not None and _reachable(suspect, here)):
                if suspect is not None and not _reachable(believed, here):
                    self._believe(good, when, suspect, start)
                believed, suspect = here, None
            else:
                good[i - start] = False
                suspect = here
        return good

    def _believe(self, good: Flags, when: Times, suspect: tuple[int, float, float], start: int) -> None:
        """The suspect of the same block is a place after all."""
        row = int(np.searchsorted(when, suspect[0]))
        if row >= start and row < len(when) and int(when[row]) == suspect[0]:
            good[row - start] = True

    def _known_jumps(self, key: Key, times: Times) -> Flags | None:
        """Positions that were judged before and come again."""
        if not self._jumps:
            return None
        if len(times) > len(self._jumps):
            mine = np.array([moment for other, moment in self._jumps if other == key], np.int64)
            found: Flags = np.isin(times, mine) if len(mine) else np.zeros(len(times), bool)
        else:
            found = np.array([(key, moment) in self._jumps for moment in times.tolist()], bool)
        return found if found.any() else None

    def _remember(self, key: Key, known: _Fix | None, when: Times, points: Values) -> None:
        self._keep(key, known, _Fix(int(when[-1]), float(points[0, -1]), float(points[1, -1])))

    def _keep(self, key: Key, known: _Fix | None, fix: _Fix) -> None:
        if known is not None and fix.time < known.time:
            return
        self._fixes[key] = fix
        self._fixes.move_to_end(key)
        if len(self._fixes) > MOST_FIXES:
            self._fixes.popitem(last=False)


def _unreachable(times: Times, points: Values) -> Flags:
    """(n - 1,): whether each position is too far from the one before it (haversine)."""
    latitudes, longitudes = np.radians(points)
    half = np.sin(np.diff(latitudes) / 2) ** 2
    half += np.cos(latitudes[1:]) * np.cos(latitudes[:-1]) * np.sin(np.diff(longitudes) / 2) ** 2
    metres = 2 * EARTH_METRES * np.arcsin(np.minimum(1.0, np.sqrt(half)))
    far: Flags = metres > JUMP_SLACK_M + MAX_SPEED_M_S * np.abs(np.diff(times)) / 1e6
    return far


def _reachable(one: tuple[int, float, float], other: tuple[int, float, float]) -> bool:
    times = np.array([one[0], other[0]], np.int64)
    return not bool(_unreachable(times, np.array([[one[1], other[1]], [one[2], other[2]]]))[0])


POSITIONS = Positions()
