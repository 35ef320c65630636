"""Which requests may be in progress: bounded by the bytes that they may hold, and fair among organizations.

While only one organization sends, it may use all there is. While others send too, its large requests come one at a
time and pause six times as long as they took; a few may wait for their turn, and what is beyond that is refused.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet.lib.errors import MotorpoolError

MOST_BYTES = 64_000_000
"""Of bodies on the wire that are being read or decoded at a time."""
BYTES_AMONG_OTHERS = 100_000
REQUESTS_AMONG_OTHERS = 32
"""What one organization may have in progress while others send too; one request of any size is always allowed."""
LARGE_BYTES = 30_000
REST = 6.0
"""After such a body an organization rests so many times as long as that one took, while others send too."""
RECENT_SECONDS = 5.0
MOST_IN_LINE = 4
LONGEST_WAIT = 2.0
PAUSE_SECONDS = (0.3, 1.2)
"""How long a refusal is held back, so that who sends again at once costs little, and not all come again at once."""
MOST_PAUSED = 500


class TooMany(MotorpoolError):
    """Another organization's turn, or no room (429)."""

    status = 429
    code = "throttled"


@dataclass
class _Standing:
    """One organization's requests in progress."""

    requests: int = 0
    bytes: int = 0
    rests_until: float = 0.0
    seen: float = 0.0


class Turns:
    """Counts requests in progress; lives on the event loop."""

    def __init__(self) -> None:
        self._standings: dict[int, _Standing] = {}
        self._line: Counter[int] = Counter()
        self._bytes = 0
        self._paused = 0

    @asynccontextmanager
    async def of(self, organization_id: int, size: int) -> AsyncIterator[None]:
        """Take part for the length of a block, after a wait where others have their turn.

        Args:
            size: how many bytes the body may have.

        Raises:
            TooMany: enough requests wait already, or there is no room for another body.
        """
        begun = time.monotonic()
        standing = self._standings.setdefault(organization_id, _Standing())
        standing.seen = begun
        if self._must_wait(organization_id, standing, size, begun):
            await self._await_turn(organization_id, standing, size)
        if self._bytes and self._bytes + size > MOST_BYTES:
            await self._refuse("Too much is being sent at once. Send it again shortly.")
        begun = time.monotonic()
        standing.requests += 1
        standing.bytes += size
        self._bytes += size
        try:
            yield
        finally:
            standing.requests -= 1
            standing.bytes -= size
            self._bytes -= size
            if size >= LARGE_BYTES:
                done = time.monotonic()
                standing.rests_until = done + REST * (done - begun)

    async def _await_turn(self, organization_id: int, standing: _Standing, size: int) -> None:
        words = "Others send too: this organization's requests must take turns. Send it again shortly."
        if self._line[organization_id] >= MOST_IN_LINE:
            await self._refuse(words)
        self._line[organization_id] += 1
        deadline = time.monotonic() + LONGEST_WAIT
        try:
            while self._must_wait(organization_id, standing, size, now := time.monotonic()):
                if now > deadline:
                    raise TooMany(words)
                await asyncio.sleep(max(0.003, standing.rests_until - now))
        finally:
            self._line[organization_id] -= 1

    async def _refuse(self, words: str) -> None:
        if self._paused < MOST_PAUSED:
            self._paused += 1
            try:
                await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
            finally:
                self._paused -= 1
        raise TooMany(words)

    def _must_wait(self, organization_id: int, standing: _Standing, size: int, now: float) -> bool:
        much = standing.requests >= REQUESTS_AMONG_OTHERS or standing.bytes + size > BYTES_AMONG_OTHERS
        rests = size >= LARGE_BYTES and now < standing.rests_until
        return bool((standing.requests and much) or rests) and self._others(organization_id, now)

    def _others(self, organization_id: int, now: float) -> bool:
        """Whether another organization sent something lately."""
        gone = [
            other
            for other, standing in self._standings.items()
            if now - standing.seen > RECENT_SECONDS and not standing.requests and not self._line[other]
        ]
        for other in gone:
            del self._standings[other]
        return any(
            other != organization_id and now - standing.seen <= RECENT_SECONDS
            for other, standing in self._standings.items()
        )
