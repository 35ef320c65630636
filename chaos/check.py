"""Compare what agents were told with what the database holds; knows only their journals and SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg

from chaos.agent import FRAMES_PER_BATCH, SIGNALS, STEP, frame

OF_ITSELF = ["device.dropped_frames"]
"""What a collector says of itself, beside what it was given to read."""


@dataclass
class Verdict:
    """What was found; every count but the first two ought to be 0."""

    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    unequal: int = 0
    unsent: int = 0
    odd: int = 0
    rollups_wrong: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.unequal or self.unsent or self.odd or self.rollups_wrong)


def check(folder: Path, database: str, vehicles: list[int], base: float) -> Verdict:
    """Readings acknowledged, stored, lost, doubled, unequal and never sent, over all agents."""
    verdict = Verdict()
    with psycopg.connect(database) as opened:
        for number, vehicle in enumerate(vehicles):
            _check_agent(verdict, folder, opened, number, vehicle, base)
            _check_rollups(verdict, opened, vehicle)
    return verdict


def _journal(path: Path) -> list[object]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(("}", "]")) or line.isdecimal()]


def _check_agent(
    verdict: Verdict, folder: Path, opened: psycopg.Connection, number: int, vehicle: int, base: float
) -> None:
    acked = {int(entry) for entry in _journal(folder / f"acked-{number}.log")}  # type: ignore[call-overload]
    sent = {int(entry) for entry in _journal(folder / f"sent-{number}.log")}  # type: ignore[call-overload]
    odd = _journal(folder / f"odd-{number}.log")
    verdict.odd += len(odd)
    verdict.examples += [f"agent {number}: {entry}"[:300] for entry in odd[:3]]
    rows = opened.execute(
        "SELECT round((extract(epoch FROM f.time) - %s) / %s)::int8, n.name, f.values[k.place]"
        " FROM telemetry_frame f JOIN telemetry_signalset s ON s.id = f.signal_set_id"
        " CROSS JOIN LATERAL unnest(s.signals) WITH ORDINALITY AS k (signal, place)"
        " JOIN telemetry_signal n ON n.id = k.signal WHERE f.vehicle_id = %s AND f.values[k.place] IS NOT NULL"
        " AND n.name <> ALL(%s)",
        [base, STEP, vehicle, OF_ITSELF],
    ).fetchall()
    stored: dict[tuple[int, str], float] = {}
    for index, name, value in rows:
        key = (index, name)
        verdict.doubled += key in stored
        stored[key] = value
    verdict.stored += len(stored)
    names = np.array(SIGNALS)
    for entry in sorted(acked):
        for index in range(entry * FRAMES_PER_BATCH, (entry + 1) * FRAMES_PER_BATCH):
            for name, value in zip(names.tolist(), frame(number, index), strict=True):
                verdict.acknowledged += 1
                found = stored.get((index, name))
                if found is None:
                    verdict.lost += 1
                    if len(verdict.examples) < 10:
                        verdict.examples.append(f"agent {number}: batch {entry}, frame {index}, {name} is lost")
                elif found != value:
                    verdict.unequal += 1
    verdict.unsent += sum(1 for index, _ in stored if index // FRAMES_PER_BATCH not in sent)


def _check_rollups(verdict: Verdict, opened: psycopg.Connection, vehicle: int) -> None:
    """Rollups must be what the frames give, per hour and signal."""
    wrong = opened.execute(
        "WITH raw AS (SELECT date_trunc('hour', f.time) AS hour, k.signal, count(*) AS n,"
        "  sum(f.values[k.place]) AS total"
        "  FROM telemetry_frame f JOIN telemetry_signalset s ON s.id = f.signal_set_id"
        "  CROSS JOIN LATERAL unnest(s.signals) WITH ORDINALITY AS k (signal, place)"
        "  WHERE f.vehicle_id = %s AND f.values[k.place] IS NOT NULL GROUP BY 1, 2),"
        " rolled AS (SELECT r.hour, u.signal, u.n, u.total FROM telemetry_rollup r,"
        "  unnest(r.signals, r.counts, r.sums) AS u (signal, n, total) WHERE r.vehicle_id = %s)"
        " SELECT hour, signal, raw.n, rolled.n FROM raw FULL JOIN rolled USING (hour, signal)"
        " WHERE raw.n IS DISTINCT FROM rolled.n OR abs(raw.total - rolled.total) > 1e-6 * raw.n",
        [vehicle, vehicle],
    ).fetchall()
    verdict.rollups_wrong += len(wrong)
    verdict.examples += [f"vehicle {vehicle}: rollup differs {row}"[:200] for row in wrong[:2]]
