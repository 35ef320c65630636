"""One socket's wishes and its bounded way out: rate per vehicle, coalescing, a queue that cannot grow."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from telemetry.readings import Times, Values

DEFAULT_HZ = 10.0
MOST_HZ = 1_000.0
QUEUE_MESSAGES = 256
QUEUE_BYTES = 262_144
SEND_SECONDS = 5.0
GAP = '{"type":"gap"}'

StreamKey = tuple[int, str]
"""Vehicle and source."""


@dataclass
class Newest:
    """Coalesced readings of one vehicle and source: the newest value of every signal."""

    version: int
    time: int
    values: dict[str, float | str]

    def update(self, version: int, times: Times, signals: list[str], values: Values, texts: dict[str, str]) -> None:
        """Lay newer frames over it."""
        self.version = max(self.version, version)
        self.time = max(self.time, int(times[-1]))
        if values.shape[1]:
            given = ~np.isnan(values)
            last = len(times) - 1 - np.argmax(given[::-1], axis=0)
            for column in np.flatnonzero(given.any(axis=0)).tolist():
                self.values[signals[column]] = float(values[last[column], column])
        self.values.update(texts)


@dataclass
class Rate:
    """Frames per second of one vehicle, by arrival: a bucket of ``hz`` that fills at ``hz``.

    A little debt is allowed, since frames arrive in bunches and clocks differ.
    """

    tokens: float
    at: float

    def take(self, count: int, hz: float, now: float) -> bool:
        """Whether ``count`` frames may pass."""
        self.tokens = min(hz, self.tokens + (now - self.at) * hz)
        self.at = now
        if count > self.tokens + max(0.5, hz * 0.1):
            return False
        self.tokens -= count
        return True


@dataclass
class Subscription:
    """What a socket asked for. ``vehicles`` and ``signals`` are None for all."""

    vehicles: set[int] | None = None
    signals: frozenset[str] | None = None
    max_hz: float = DEFAULT_HZ
    rates: dict[int, Rate] = field(default_factory=dict)
    pending: dict[StreamKey, Newest] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    """The version last sent of each vehicle: ``prev`` of its next message."""

    def wants(self, vehicle_id: int) -> bool:
        """Whether frames of the vehicle are of interest."""
        return self.vehicles is None or vehicle_id in self.vehicles

    def passes(self, vehicle_id: int, count: int, now: float) -> bool:
        """Whether that many frames of the vehicle are within the rate."""
        rate = self.rates.get(vehicle_id)
        if rate is None:
            rate = self.rates[vehicle_id] = Rate(self.max_hz, now)
        return rate.take(count, self.max_hz, now)


class Outbox:
    """Encoded messages on their way to one socket. Bounded: when it is full, only the newest frames of each vehicle
    and source are kept, and once the socket has caught up, a ``gap`` tells it to resynchronise.
    """

    def __init__(self) -> None:
        self._snapshot: deque[str] = deque()
        self._queue: deque[tuple[Any, str]] = deque()
        self._coalesced: OrderedDict[Any, str] = OrderedDict()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.lagging = False
        self.held = False
        """While held, messages wait: a snapshot is on its way and has to be first."""

    def put_first(self, texts: list[str]) -> None:
        """Send a snapshot before all that waits, and let everything go."""
        self._snapshot.extend(texts)
        self.held = False
        self._wake.set()

    def put(self, key: Any, text: str) -> None:
        """Queue a message; ``key`` says which older one it replaces once the socket lags."""
        if not self.lagging and len(self._queue) < QUEUE_MESSAGES and self._bytes + len(text) <= QUEUE_BYTES:
            self._queue.append((key, text))
            self._bytes += len(text)
        else:
            if not self.lagging:
                self.lagging = True
                self._coalesced = OrderedDict(self._queue)
                self._queue.clear()
                self._bytes = sum(map(len, self._coalesced.values()))
            self._bytes += len(text) - len(self._coalesced.pop(key, ""))
            self._coalesced[key] = text
            while self._bytes > QUEUE_BYTES and len(self._coalesced) > 1:
                self._bytes -= len(self._coalesced.popitem(last=False)[1])
        self._wake.set()

    async def get(self) -> str:
        """The next message: in order, or the newest first while the socket lags."""
        while True:
            if not self.held:
                if self._snapshot:
                    return self._snapshot.popleft()
                if self._queue:
                    text = self._queue.popleft()[1]
                    self._bytes -= len(text)
                    return text
                if self._coalesced:
                    text = self._coalesced.popitem(last=True)[1]
                    self._bytes -= len(text)
                    return text
                if self.lagging:
                    self.lagging = False
                    return GAP
            self._wake.clear()
            await self._wake.wait()


def hz_of(value: Any) -> float:
    """A client's ``max_hz`` within its bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return DEFAULT_HZ
    return min(float(value), MOST_HZ)


def now() -> float:
    """The clock of rates."""
    return time.monotonic()
