"""Positions out of a table: of sources that tell them whole, and of those that tell them in halves."""

from __future__ import annotations

import numpy as np

from alerts.rules.table import Places, Table
from telemetry.readings import Values

PAIR_TIME = 5_000_000
"""Microseconds by which the halves of a position may be apart."""


def positions_of(table: Table, position: tuple[int, int, int]) -> tuple[Places, Values, Values, Values]:
    """The rows at which a whole position is known, with longitudes, latitudes (degrees) and accuracies (metres).

    Sources that tell latitude and longitude in messages of their own are paired where the halves are at most
    `PAIR_TIME` apart, each half once: a position of two moments far apart would be a place where nobody was.
    """
    longitudes, latitudes, accuracies = (
        table.columns.get(signal, np.full(len(table.times), np.nan)) for signal in position
    )
    told = [table.told.get(signal, table.times) for signal in position[:2]]
    both = ~np.isnan(longitudes) & ~np.isnan(latitudes) & (np.abs(told[0] - told[1]) <= PAIR_TIME)
    halves = np.flatnonzero(np.isnan(longitudes) != np.isnan(latitudes))
    if not len(halves):
        rows = np.flatnonzero(both)
        return rows, longitudes[rows], latitudes[rows], accuracies[rows]
    east = ~np.isnan(longitudes[halves])
    moments = np.where(east, told[0][halves], told[1][halves])
    # A run of halves that alternate; a repeated one, a pause or another vehicle begins a new run with the later half.
    breaks = np.append(
        True,
        (east[1:] == east[:-1])
        | (moments[1:] - moments[:-1] > PAIR_TIME)
        | (table.group[halves][1:] != table.group[halves][:-1]),
    )
    starts = np.maximum.accumulate(np.where(breaks, np.arange(len(halves)), 0))
    second = np.flatnonzero((np.arange(len(halves)) - starts) % 2 == 1)
    rows = np.concatenate([np.flatnonzero(both), halves[second]])
    x, y = longitudes[rows], latitudes[rows]
    firsts = halves[second - 1]
    tail_x, tail_y = x[len(x) - len(second) :], y[len(y) - len(second) :]
    tail_x[np.isnan(tail_x)] = longitudes[firsts][np.isnan(tail_x)]
    tail_y[np.isnan(tail_y)] = latitudes[firsts][np.isnan(tail_y)]
    order = np.argsort(rows, kind="stable")
    return rows[order], x[order], y[order], accuracies[rows][order]
