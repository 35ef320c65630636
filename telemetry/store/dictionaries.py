"""Signal sets: the ascending lists of signal ids that frames point to, each kept once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import Connection

from telemetry.readings import Ids
from telemetry.store import wire

MOST_REMEMBERED = 50_000
"""Sets per process."""


class SignalSets:
    """Ids of signal sets, remembered per process; a set never changes, and is deleted once no frame can have it."""

    def __init__(self) -> None:
        self._ids: dict[bytes, tuple[int, date]] = {}
        self._signals: dict[int, Ids] = {}

    def ids_of(self, connection: Connection[Any], sets: Iterable[Ids]) -> dict[bytes, int]:
        """The ids of some sets by their bytes; new ones are added: at most three round trips, whatever their number.

        ``connection`` is in autocommit mode and not the one whose transaction needs the sets: two transactions that
        each waited for the other's new set would deadlock.
        """
        today = datetime.now(UTC).date()
        wanted = {signals.tobytes(): signals for signals in sets}
        fresh = {key for key in wanted if self._ids.get(key, (0, date.min))[1] == today}
        absent = {key: signals for key, signals in wanted.items() if key not in fresh}
        if absent:
            self._look_up(connection, absent, today)
        return {key: self._ids[key][0] for key in wanted}

    def _look_up(self, connection: Connection[Any], absent: dict[bytes, Ids], today: date) -> None:
        """Note that sets are in use today, and add those that are not there."""
        arrays = ["{" + ",".join(map(str, signals.tolist())) + "}" for signals in absent.values()]
        by_text = dict(zip(arrays, absent, strict=True))
        query = (
            "UPDATE telemetry_signalset SET used_on = %s"
            " WHERE signals = ANY(SELECT t::int4[] FROM unnest(%s::text[]) t) RETURNING id, signals::text"
        )
        found = connection.execute(query, [today, arrays]).fetchall()
        missing = sorted(set(arrays) - {text for _, text in found})
        if missing:
            connection.execute(
                "INSERT INTO telemetry_signalset (signals, used_on) SELECT t::int4[], %s FROM unnest(%s::text[]) t"
                " ON CONFLICT DO NOTHING",
                [today, missing],
            )
            found += connection.execute(query, [today, missing]).fetchall()
        if len(self._ids) + len(found) > MOST_REMEMBERED:
            self._ids.clear()
        self._ids.update({by_text[text]: (set_id, today) for set_id, text in found})

    def signals_of(self, cursor: Any, ids: list[int]) -> dict[int, Ids]:
        """The signals of some sets."""
        absent = [set_id for set_id in ids if set_id not in self._signals]
        if absent:
            rows = cursor.execute(
                "SELECT id, signals FROM telemetry_signalset WHERE id = ANY(%s)",
                [wire.int4_array(np.array(absent, np.int32))],
                binary=True,
            ).fetchall()
            if len(self._signals) + len(rows) > MOST_REMEMBERED:
                known = {set_id: self._signals[set_id] for set_id in ids if set_id in self._signals}
                self._signals = known
            self._signals.update(rows)
        return {set_id: self._signals[set_id] for set_id in ids}


def delete_unused(connection: Connection[Any], oldest_frame: int | None) -> int:
    """Delete the sets that no frame can have; returns how many.

    Args:
        oldest_frame: the beginning of the oldest partition, microseconds since 1970; None: there is none.

    A frame is at most a day ahead of the day on which it came, so a set that was last used more than a day before the
    oldest partition begins belongs to frames that are gone.
    """
    today = datetime.now(UTC).date()
    oldest = today if oldest_frame is None else datetime.fromtimestamp(oldest_frame / 1e6, UTC).date()
    horizon = min(oldest, today) - timedelta(days=2)
    return int(connection.execute("DELETE FROM telemetry_signalset WHERE used_on < %s", [horizon]).rowcount)


SIGNAL_SETS = SignalSets()
