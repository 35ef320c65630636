"""Names, units and kinds of signals and sources by their ids, remembered per process.

Ids are never reused and names never change; a kind or a unit that was changed is known everywhere within a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from telemetry import states
from telemetry.models import Signal, Source
from telemetry.readings import Ids


class SignalInfo(NamedTuple):
    """What a reader needs of a signal."""

    name: str
    unit: str
    kind: str


class SignalList(NamedTuple):
    """Signals in the order of an array, and the places of those that tell a vehicle's state."""

    signals: list[SignalInfo]
    telling: list[int]


GONE = SignalInfo("deleted.signal", "", "number")
MOST_LISTS = 10_000
FRESH_SECONDS = 60.0
_signals: dict[int, SignalInfo] = {}
_lists: dict[bytes, SignalList] = {}
_sources: dict[int, str] = {}
_catalog: dict[str, tuple[int, SignalInfo]] = {}
_dropped_at = time.monotonic()


def signals(ids: Iterable[int]) -> dict[int, SignalInfo]:
    """The signals of some ids."""
    _drop_old()
    wanted = list(ids)
    absent = {signal_id for signal_id in wanted if signal_id not in _signals}
    if absent:
        for row in Signal.objects.filter(pk__in=absent).values_list("pk", "name", "unit", "kind"):
            _signals[row[0]] = SignalInfo(*row[1:])
    return {signal_id: _signals[signal_id] for signal_id in wanted if signal_id in _signals}


def catalog() -> dict[str, tuple[int, SignalInfo]]:
    """The catalog's signals by name, with their ids."""
    if not _catalog:
        for row in Signal.objects.filter(organization=None).values_list("pk", "name", "unit", "kind"):
            _catalog[row[1]] = (row[0], SignalInfo(*row[1:]))
    return _catalog


def remember(signal: Signal) -> None:
    """Note a signal that was just read or made, so that nobody has to ask for it."""
    _signals[signal.pk] = SignalInfo(signal.name, signal.unit, signal.kind)


def forget(signal_id: int) -> None:
    """Drop what this process remembers of a signal that was changed."""
    _signals.pop(signal_id, None)
    _lists.clear()


def _drop_old() -> None:
    global _dropped_at  # noqa: PLW0603 - one clock for the module's caches
    if time.monotonic() - _dropped_at > FRESH_SECONDS:
        _dropped_at = time.monotonic()
        _signals.clear()
        _lists.clear()


def signals_in_order(ids: Ids) -> SignalList:
    """The signals of an array of ids; vehicles of a kind send the same ones, so whole lists are remembered."""
    _drop_old()
    key = ids.tobytes()
    known = _lists.get(key)
    if known is None:
        infos = signals(ids.tolist())
        ordered = [infos.get(signal_id, GONE) for signal_id in ids.tolist()]
        known = SignalList(ordered, [i for i, info in enumerate(ordered) if info.name in states.NEEDED_SIGNALS])
        if len(_lists) > MOST_LISTS:
            _lists.clear()
        _lists[key] = known
    return known


def source(source_id: int) -> str:
    """The name of a source."""
    name = _sources.get(source_id)
    if name is None:
        name = _sources[source_id] = Source.objects.values_list("name", flat=True).get(pk=source_id)
    return name
