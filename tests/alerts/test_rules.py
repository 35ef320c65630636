"""Rules agree with the oracle, whatever the order, repetition, lateness and gaps of what arrives."""

from __future__ import annotations

import random

import numpy as np
import pytest

from alerts.rules.building import build, memories_of, needs_of
from alerts.rules.episodes import evaluate
from alerts.rules.memory import Memory, pack, unpack
from alerts.rules.table import Spans
from telemetry.aggregates import Frames
from tests.alerts import oracle
from tests.alerts.histories import FENCES, POSITION, RULES, SECOND, Reading, history

NEEDS = needs_of(RULES, FENCES, POSITION)
Episodes = dict[int, list[tuple[int, int | None]]]


def frames_of(vehicle: int, told: dict[int, dict[int, float]], after: int) -> Frames:
    """What the store would read: all that arrived, later than an instant."""
    times = sorted(t for t in told if t > after)
    signals = np.array(NEEDS.signals, np.int32)
    values = np.array([[told[t].get(int(s), np.nan) for s in signals] for t in times]).reshape(len(times), len(signals))
    count = len(times)
    return Frames(
        np.full(count, vehicle, np.int32), np.ones(count, np.int32), np.array(times, np.int64), signals, values
    )


class Portal:
    """One vehicle as the portal treats it: evaluated after each batch, from the memory before what is new in it."""

    def __init__(self, known: oracle.History, lag: int) -> None:
        self.lag = lag
        self.standing = {fact: {0: Spans.of(spans)} for fact, spans in known.standing.items()}
        self.told: dict[int, dict[int, float]] = {}
        self.memories: list[Memory] = []
        self.found: Episodes = {rule.id: [] for rule in RULES}
        self.thresholds = {"limit": np.array([known.attributes.get("limit", np.nan)])}

    def take(self, batch: list[Reading], now: int) -> None:
        changed = [t for t, signal, value in batch if self.told.get(t, {}).get(signal) != value]
        for t, signal, value in batch:
            self.told.setdefault(t, {})[signal] = value
        if changed:
            self.memories = [memory for memory in self.memories if memory.time < min(changed)]
            self.look(now)

    def look(self, now: int) -> None:
        before = self.memories[-1] if self.memories else None
        after = before.time if before else -1
        carried = {5: unpack(pack(before))} if before else {}
        newest = max(self.told)
        settled = max(after, newest - self.lag)
        table = build([5], [frames_of(5, self.told, after)], carried, NEEDS, {5: settled}, now)
        table.standing = self.standing
        memory = memories_of(table, NEEDS)[5]
        for rule in RULES:
            state = before.state(rule.id, 1) if before else None
            outcome = evaluate(rule, table, {0: state} if state else {}, self.thresholds).get(0)
            kept = [e for e in self.found[rule.id] if e[0] <= after and (e[1] is not None and e[1] <= after)]
            if outcome is not None:
                kept += [(e.opened, e.cleared) for e in outcome.episodes]
                memory.states[rule.id] = (1, outcome.state)
            self.found[rule.id] = kept
        if not self.memories or memory.time > self.memories[-1].time:
            self.memories.append(memory)


def compare(seed: int) -> None:
    numbers = random.Random(seed)
    told, batches = history(numbers)
    portal = Portal(told, numbers.choice([0, 5 * SECOND, 60 * SECOND]))
    now = 0
    for batch in batches:
        now = max(now, *(t for t, _, _ in batch)) + numbers.choice([0, SECOND, 5 * SECOND])
        portal.take(batch, now)
        if numbers.random() < 0.2:
            now += 30 * SECOND
            portal.look(now)
    now += numbers.choice([0, 3 * SECOND, 60 * SECOND])
    portal.look(now)
    for rule in RULES:
        expected = oracle.episodes(rule, told, now)
        assert portal.found[rule.id] == expected, f"seed {seed}, rule {rule.id}: {rule.condition}"


@pytest.mark.parametrize("part", range(4))
def test_histories_agree_with_the_oracle(part: int) -> None:
    for seed in range(part * 100, part * 100 + 100):
        compare(seed)


@pytest.mark.long
def test_ten_thousand_histories_agree_with_the_oracle() -> None:
    for seed in range(1_000, 11_000):
        compare(seed)
