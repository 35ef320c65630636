"""Names, units and kinds of signals and sources by their ids, remembered per process.

Ids are never reused and names never change, so nothing goes stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from telemetry.models import Signal, Source


class SignalInfo(NamedTuple):
    """What a reader needs of a signal."""

    name: str
    unit: str
    kind: str


_signals: dict[int, SignalInfo] = {}
_sources: dict[int, str] = {}


def signals(ids: Iterable[int]) -> dict[int, SignalInfo]:
    """The signals of some ids."""
    wanted = list(ids)
    absent = {signal_id for signal_id in wanted if signal_id not in _signals}
    if absent:
        for row in Signal.objects.filter(pk__in=absent).values_list("pk", "name", "unit", "kind"):
            _signals[row[0]] = SignalInfo(*row[1:])
    return {signal_id: _signals[signal_id] for signal_id in wanted if signal_id in _signals}


def source(source_id: int) -> str:
    """The name of a source."""
    name = _sources.get(source_id)
    if name is None:
        name = _sources[source_id] = Source.objects.values_list("name", flat=True).get(pk=source_id)
    return name


def forget() -> None:
    """Drop what is remembered (for tests, which reuse ids)."""
    _signals.clear()
    _sources.clear()
