"""However frames are split, shuffled, repeated and raced: stored once, the later write wins, latest agrees.

A Hypothesis state machine against a plain model: a dictionary of (vehicle, source, time, signal).
"""

from __future__ import annotations

import random
import threading
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fleet.lib.public_ids import Kind, public_id
from tests.conftest import make_team
from tests.portal import Portal

SIGNALS = ["engine.rpm", "vehicle.speed", "engine.load", "my.first", "vehicle.gear"]
START = 1_767_225_600
TIMES = [START + i * 0.1 for i in range(8)] + [START + 700_000 + i for i in range(3)]
SOURCES = ["obd", "gps"]
portal_of_run: list[Portal] = []

Key = tuple[int, str, float, str]


def values(signal: str) -> st.SearchStrategy[Any]:
    if signal == "vehicle.gear":
        return st.sampled_from([None, "P", "D", "R"])
    return st.one_of(st.none(), st.integers(0, 100), st.sampled_from([0.5, 33.3, 99.999]))


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """A block: some signals in some order, some frames at some times, repeats allowed."""
    signals = draw(st.permutations(SIGNALS).map(lambda s: s[:3]) | st.permutations(SIGNALS))
    times = draw(st.lists(st.sampled_from(TIMES), min_size=1, max_size=6))
    return {
        "car": draw(st.integers(0, 2)),
        "source": draw(st.sampled_from(SOURCES)),
        "signals": signals,
        "frames": [[time, *(draw(values(signal)) for signal in signals)] for time in times],
    }


class Ingest(RuleBasedStateMachine):
    """Sends batches in every way and keeps a model of what must be stored."""

    @initialize()
    def begin(self) -> None:
        from vehicles.services import vehicle_create

        self.team = make_team("Model")
        self.cars = [
            vehicle_create(organization=self.team.organization, user=None, name=f"car {i}").pk for i in range(3)
        ]
        self.client = portal_of_run[0].client(self.team.key)
        self.model: dict[Key, Any] = {}
        self.sent: list[list[dict[str, Any]]] = []

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

    def post(self, blocks: list[dict[str, Any]], client: httpx.Client | None = None) -> dict[str, Any]:
        body = {"blocks": [{**b, "vehicle": public_id(Kind.VEHICLE, self.cars[b["car"]])} for b in blocks]}
        for b in body["blocks"]:
            del b["car"]
        answer = (client or self.client).post("/api/v1/telemetry", json=body)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        assert result["rejected_count"] == 0, result
        return result

    def expect(self, blocks: list[dict[str, Any]]) -> tuple[int, int, int]:
        """Lay blocks over the model; returns accepted, duplicates and corrected."""
        accepted = duplicates = corrected = 0
        for b in blocks:
            for time, *row in sorted(b["frames"], key=lambda frame: frame[0]):
                for signal, value in zip(b["signals"], row, strict=True):
                    if value is None:
                        continue
                    key = (b["car"], b["source"], time, signal)
                    accepted += 1
                    duplicates += self.model.get(key) == value
                    corrected += key in self.model and self.model[key] != value
                    self.model[key] = value
        return accepted, duplicates, corrected

    @rule(blocks=st.lists(frames(), min_size=1, max_size=4))
    def send(self, blocks: list[dict[str, Any]]) -> None:
        answer = self.post(blocks)
        assert (answer["readings"], answer["duplicates"], answer["corrected"]) == self.expect(blocks)
        self.sent.append(blocks)

    @rule(block=frames())
    def send_split_by_signal_and_time(self, block: dict[str, Any]) -> None:
        """Halves of instants, each frame alone: together they are the block."""
        for time, *row in block["frames"]:
            for names, cells in ((block["signals"][:2], row[:2]), (block["signals"][2:], row[2:])):
                part = {**block, "signals": names, "frames": [[time, *cells]]}
                self.post([part])
                self.expect([part])

    @rule(block=frames())
    def send_as_rows(self, block: dict[str, Any]) -> None:
        rows = [
            {"vehicle": public_id(Kind.VEHICLE, self.cars[block["car"]]), "source": block["source"], "time": time,
             "values": dict(zip(block["signals"], row, strict=True))}
            for time, *row in block["frames"]
        ]  # fmt: skip
        answer = self.client.post("/api/v1/telemetry", json={"rows": rows}).json()
        assert answer["readings"] == self.expect([block])[0]

    @rule(seed=st.integers(0, 1000))
    def repeat_the_last(self, seed: int) -> None:
        """The same batch ten times: nothing changes, and the answer stays the same."""
        if not self.sent:
            return
        blocks = self.sent[-1]
        self.post(blocks)
        self.expect(blocks)
        for _ in range(2):
            answer = self.post(blocks)
            accepted, _, corrected = self.expect(blocks)
            assert (answer["readings"], answer["corrected"]) == (accepted, corrected)

    @rule(seed=st.integers(0, 1000))
    def race_from_three_connections(self, seed: int) -> None:
        """Blocks of all vehicles in opposite orders at once; every value is the same, so any order agrees."""
        chance = random.Random(seed)
        blocks = [
            {"car": car, "source": source, "signals": SIGNALS[:3],
             "frames": [[time, *[chance.randint(0, 100) for _ in range(3)]] for time in TIMES]}
            for car in range(3)
            for source in SOURCES
        ]  # fmt: skip
        failures: list[BaseException] = []

        def work(order: list[dict[str, Any]]) -> None:
            try:
                with portal_of_run[0].client(self.team.key) as client:
                    self.post(order, client)
                    for b in order:
                        self.post([b], client)
            except BaseException as error:
                failures.append(error)

        orders = [blocks, blocks[::-1], chance.sample(blocks, len(blocks))]
        threads = [threading.Thread(target=work, args=(order,)) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        self.expect(blocks)

    @invariant()
    def stored_is_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        from telemetry import directory, store

        stored: dict[Key, Any] = {}
        for index, car in enumerate(self.cars):
            span = store.Range(self.team.organization.pk, car, (START - 1) * 1_000_000, (START + 999_999) * 1_000_000)
            for time, source, ids, numbers, texts in store.read_frames(span, 10_000):
                infos = directory.signals([*ids.tolist(), *map(int, texts or {})])
                row = dict(zip(ids.tolist(), numbers.tolist(), strict=True)) | {
                    int(k): v for k, v in (texts or {}).items()
                }
                for signal, value in row.items():
                    if value == value:
                        stored[index, directory.source(source), time / 1e6, infos[signal].name] = value
        assert stored == self.model

    @invariant()
    def latest_is_the_newest(self) -> None:
        if not hasattr(self, "model"):
            return
        from telemetry import directory, store

        rows = store.read_latest(self.team.organization.pk, self.cars)
        order = {name: source for source, name in _source_ids().items() if name in SOURCES}
        for index, car in enumerate(self.cars):
            wanted: dict[str, tuple[float, int, Any]] = {}
            for (owner, source, time, signal), value in self.model.items():
                if owner == index:
                    candidate = (time, -order[source], value)
                    wanted[signal] = max(wanted.get(signal, candidate), candidate, key=lambda entry: entry[:2])
            row = rows.get(car)
            found = {}
            if row is not None:
                names = directory.signals(row.signals.tolist())
                for i, signal in enumerate(row.signals.tolist()):
                    text = row.texts[i]
                    value = text if text is not None else row.values[i]
                    found[names[signal].name] = (row.times[i] / 1e6, -int(row.sources[i]), value)
            assert found == wanted


def _source_ids() -> dict[int, str]:
    from telemetry.models import Source

    return dict(Source.objects.filter(organization=None).values_list("pk", "name"))


def run(portal: Portal, examples: int, steps: int) -> None:
    portal_of_run[:] = [portal]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Ingest,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def deadlocks() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_any_history_of_batches_stores_the_model(portal: Portal) -> None:
    before = deadlocks()
    run(portal, 25, 12)
    assert deadlocks() == before


@pytest.mark.long
def test_any_history_of_batches_stores_the_model_at_length(portal: Portal) -> None:
    before = deadlocks()
    run(portal, 500, 50)
    assert deadlocks() == before
