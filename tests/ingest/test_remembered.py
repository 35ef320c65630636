"""What ingest remembers ends in time, and is renewed before that where it is used."""

from __future__ import annotations

import pytest

from telemetry.ingest import remembered
from telemetry.ingest.remembered import Remembered


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(remembered, "time", clock)
    return clock


def test_a_value_is_trusted_for_its_time(clock: Clock) -> None:
    known: Remembered[str, int] = Remembered()
    known.put("a", 1, 10)
    clock.now += 9.9
    assert known.get("a") == 1
    clock.now += 0.2
    assert known.get("a") is None
    assert known.last("a") == 1
    known.drop("a")
    with pytest.raises(KeyError):
        known.last("a")


def test_it_is_due_once_in_the_second_half_of_its_time(clock: Clock) -> None:
    known: Remembered[str, int] = Remembered()
    assert not known.due("a")
    known.put("a", 1, 10)
    clock.now += 4
    assert not known.due("a")
    clock.now += 2
    assert [known.due("a"), known.due("a")] == [True, False]
    known.put("a", 2, 10)
    clock.now += 6
    assert known.due("a")


def test_what_is_not_trusted_is_asked_for_each_time(clock: Clock) -> None:
    known: Remembered[str, int] = Remembered()
    known.put("a", 1, 0)
    assert known.get("a") is None


def test_it_does_not_grow_without_bound(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    known: Remembered[int, int] = Remembered()
    for key in range(10):
        known.put(key, key, 10)
    assert sum(known.get(key) is not None for key in range(10)) <= 3
