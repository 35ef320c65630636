"""Signal sets: the ascending lists of signal ids that frames point to, each kept once."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from psycopg import Connection

from telemetry.readings import Ids
from telemetry.store import wire


class SignalSets:
    """Ids of signal sets, remembered per process; sets never change, so nothing goes stale."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._signals: dict[int, Ids] = {}
        self._lock = threading.Lock()

    def id_of(self, connection: Connection[Any], signals: Ids) -> int:
        """The id of a set, made where it is new.

        ``connection`` is in autocommit mode and not the one whose transaction needs the set: two transactions
        that each waited for the other's new set would deadlock.
        """
        key = signals.tobytes()
        known = self._ids.get(key)
        if known is not None:
            return known
        array = wire.int4_array(signals)
        with self._lock:
            query = "SELECT id FROM telemetry_signalset WHERE signals = %s"
            row = connection.execute(query, [array]).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO telemetry_signalset (signals) VALUES (%s) ON CONFLICT DO NOTHING", [array]
                )
                row = connection.execute(query, [array]).fetchone()
        assert row is not None
        self._ids[key] = row[0]
        return int(row[0])

    def signals_of(self, cursor: Any, ids: list[int]) -> dict[int, Ids]:
        """The signals of some sets."""
        absent = [set_id for set_id in ids if set_id not in self._signals]
        if absent:
            rows = cursor.execute(
                "SELECT id, signals FROM telemetry_signalset WHERE id = ANY(%s)",
                [wire.int4_array(np.array(absent, np.int32))],
                binary=True,
            ).fetchall()
            self._signals.update(rows)
        return {set_id: self._signals[set_id] for set_id in ids}


SIGNAL_SETS = SignalSets()
