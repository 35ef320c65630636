"""How many requests may be in progress: bounded by the bytes that they may hold, and fair among organizations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fleet.lib.errors import MotorpoolError

MOST_BYTES = 64_000_000
"""Of bodies on the wire that are being read or decoded at a time."""
AMONG_OTHERS = 3
"""Requests of one organization in progress at a time while others send too."""
RECENT_SECONDS = 5.0


class TooMany(MotorpoolError):
    """Another organization's turn, or no room (429)."""

    status = 429
    code = "throttled"


class Turns:
    """Counts requests in progress; lives on the event loop."""

    def __init__(self) -> None:
        self._running: Counter[int] = Counter()
        self._seen: dict[int, float] = {}
        self._bytes = 0

    @contextmanager
    def of(self, organization_id: int, size: int) -> Iterator[None]:
        """Take part for the length of a block.

        Args:
            size: how many bytes the body may have.

        Raises:
            TooMany: the organization has enough requests in progress, or there is no room for another body.
        """
        now = time.monotonic()
        self._seen[organization_id] = now
        if self._running[organization_id] >= AMONG_OTHERS and self._others(organization_id, now):
            raise TooMany("Others send too: this organization's requests must take turns. Send it again shortly.")
        if self._bytes and self._bytes + size > MOST_BYTES:
            raise TooMany("Too much is being sent at once. Send it again shortly.")
        self._running[organization_id] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            self._running[organization_id] -= 1
            if not self._running[organization_id]:
                del self._running[organization_id]

    def _others(self, organization_id: int, now: float) -> bool:
        """Whether another organization sent something lately."""
        gone = [other for other, seen in self._seen.items() if now - seen > RECENT_SECONDS]
        for other in gone:
            del self._seen[other]
        return any(other != organization_id for other in self._seen)
