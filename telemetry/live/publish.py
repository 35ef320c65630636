"""Tell others of what was committed: the live hubs, and the doorbell of the sinks. Never delays or fails an ack.

One task takes what the commit threads hand over. While Redis does not answer, a breaker stays open for a few
seconds, what happens meanwhile is dropped, and the first message after it is a gap: subscribers resynchronise
from the database, and the sweeper finds the sinks' work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import redis.asyncio
import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from telemetry.live import messages
from telemetry.readings import Block, Outcome

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 32_000_000
TIMEOUT = 1.0
BREAKER_SECONDS = 3.0
BELL_SECONDS = 0.25
BELL_KEY = "motorpool:bell"

log = structlog.get_logger(__name__)


class Publisher:
    """The one publisher of a process; lives on the process's event loop."""

    def __init__(self, ring: Any) -> None:
        """``ring`` is called in a thread to announce work to the sinks."""
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._redis = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._lost: set[int] = set()
        self._wake = asyncio.Event()
        self._bell = asyncio.Event()
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._ring_bell())]

    def committed(self, stored: list[tuple[Block, Outcome]], unsure: set[int]) -> None:
        """Take over what a commit thread stored; called from that thread.

        Args:
            unsure: organizations whose subscribers must resynchronise.
        """
        encoded = []
        lost = set(unsure)
        for block, outcome in stored:
            try:
                encoded.append((block.organization_id, messages.of_block(block, outcome.version)))
            except (DatabaseError, KeyError) as error:  # a name that this process has not met, and cannot ask for
                log.warning("live.not_encoded", error=str(error)[:200])
                lost.add(block.organization_id)
        connection.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._offer, encoded, lost)

    def _offer(self, encoded: list[tuple[int, bytes]], lost: set[int]) -> None:
        self._lost |= lost
        for organization_id, data in encoded:
            if len(self._waiting) >= MOST_WAITING or self._bytes + len(data) > MOST_WAITING_BYTES:
                self._lost.add(organization_id)
                continue
            self._waiting.append((organization_id, data))
            self._bytes += len(data)
        self._wake.set()
        self._bell.set()

    async def _publish(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._lost:
                batch = [(o, messages.encode(messages.Gap())) for o in self._lost]
                self._lost.clear()
                size = 0
                while self._waiting and size < 4_000_000 and len(batch) < 200:
                    batch.append(self._waiting.popleft())
                    size += len(batch[-1][1])
                    self._bytes -= len(batch[-1][1])
                try:
                    pipe = self._redis.pipeline(transaction=False)
                    for organization_id, data in batch:
                        pipe.publish(messages.topic(organization_id), data)
                    await pipe.execute()
                except (redis.RedisError, OSError, TimeoutError) as error:
                    log.warning("live.unavailable", error=str(error)[:200])
                    self._lost.update(organization_id for organization_id, _ in batch)
                    self._lost.update(organization_id for organization_id, _ in self._waiting)
                    self._waiting.clear()
                    self._bytes = 0
                    await asyncio.sleep(BREAKER_SECONDS)

    async def _ring_bell(self) -> None:
        """At most one doorbell per `BELL_SECONDS` among all processes, whatever is committed."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            try:
                if await self._redis.set(BELL_KEY, b"1", nx=True, px=int(BELL_SECONDS * 1000)):
                    await asyncio.wait_for(asyncio.to_thread(self._ring), TIMEOUT * 3)
                else:
                    self._bell.set()  # somebody rang just now; what came since needs a ring of its own
                await asyncio.sleep(BELL_SECONDS)
            except Exception as error:
                log.warning("bell.unavailable", error=str(error)[:200])
                await asyncio.sleep(BREAKER_SECONDS)

    async def stop(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()
