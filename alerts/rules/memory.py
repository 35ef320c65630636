"""What is carried of a vehicle between evaluations, small enough to be written each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from alerts.rules.episodes import State
from alerts.rules.table import NEVER
from telemetry.readings import NO_IDS, Ids, Times, Values

Window = tuple[int, int]
"""A signal, and the time over which its change is measured."""
NO_TIMES: Times = np.empty(0, np.int64)
NO_VALUES: Values = np.empty(0)


@dataclass
class Memory:
    """A vehicle as of ``time``, with its newest frame until then (``newest``).

    The last readings of the signals that rules ask for (ascending ids), readings that changes are measured against,
    and each rule's revision and state.
    """

    time: int
    newest: int = int(NEVER)
    signals: Ids = field(default_factory=lambda: NO_IDS)
    times: Times = field(default_factory=lambda: NO_TIMES)
    values: Values = field(default_factory=lambda: NO_VALUES)
    tails: dict[Window, tuple[Times, Values]] = field(default_factory=dict)
    states: dict[int, tuple[int, State]] = field(default_factory=dict)
    asked: int = 0
    """For which signals it was made: `Needs.key`."""

    def state(self, rule: int, revision: int) -> State | None:
        """What a rule carries, where it is still the same rule."""
        known = self.states.get(rule)
        return known[1] if known is not None and known[0] == revision else None


class _Packed(msgspec.Struct, array_like=True):
    time: int
    newest: int
    signals: bytes
    times: bytes
    values: bytes
    tails: list[tuple[int, int, bytes, bytes]]
    states: list[tuple[int, int, int | None, int | None, int | None, tuple[int, ...], tuple[int, ...]]]
    asked: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(memory: Memory) -> bytes:
    """A memory as bytes."""
    return _encoder.encode(
        _Packed(
            memory.time,
            memory.newest,
            memory.signals.astype(np.int32).tobytes(),
            memory.times.tobytes(),
            memory.values.tobytes(),
            [(*window, times.tobytes(), values.tobytes()) for window, (times, values) in memory.tails.items()],
            [
                (rule, revision, s.raising, s.clearing, s.open, s.raisings, s.crossed)
                for rule, (revision, s) in memory.states.items()
            ],
            memory.asked,
        )
    )


def unpack(data: bytes | memoryview) -> Memory:
    """The memory that the bytes hold."""
    packed = _decoder.decode(data)
    return Memory(
        packed.time,
        packed.newest,
        np.frombuffer(packed.signals, np.int32),
        np.frombuffer(packed.times, np.int64),
        np.frombuffer(packed.values, np.float64),
        {
            (signal, window): (np.frombuffer(times, np.int64), np.frombuffer(values, np.float64))
            for signal, window, times, values in packed.tails
        },
        {rule: (revision, State(a, b, c, d, e)) for rule, revision, a, b, c, d, e in packed.states},
        packed.asked,
    )


Memories = Mapping[int, Memory]
"""By vehicle id."""
