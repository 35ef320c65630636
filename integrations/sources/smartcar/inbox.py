"""Keep deliveries before they are answered: those that arrive together share a transaction.

One thread with a connection of its own takes whatever waits. An event that is known already only counts on.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from fleet.lib.errors import MotorpoolError
from telemetry import store

MOST_WAITING = 2_000
PER_TRANSACTION = 200
ANSWER_SECONDS = 8.0
NO_DATABASE = MotorpoolError("The database does not answer; send it again shortly.", code="unavailable", status=503)
_KEEP = """
INSERT INTO smartcar_webhookevent
    (event_id, body, received_at, deliveries, state, kind, remote_ids, unclaimed_ids, user_id, organizations, readings,
     detail, attempts)
SELECT e, b, now(), 1, 'waiting', '', '{}', '{}', '', '{}', 0, '', 0 FROM unnest(%s::text[], %s::bytea[]) AS u (e, b)
ON CONFLICT (event_id) DO NOTHING RETURNING event_id
"""
_COUNT = """
UPDATE smartcar_webhookevent SET deliveries = deliveries + n FROM unnest(%s::text[], %s::int4[]) AS u (e, n)
WHERE id IN (SELECT id FROM smartcar_webhookevent WHERE event_id = ANY (%s) FOR UPDATE SKIP LOCKED) AND event_id = e
"""
"""What a worker has in its hands just now is not waited for: the count is for people."""

log = structlog.get_logger(__name__)
_Waiting = tuple[str, bytes, Callable[[Exception | None], None]]


class Inbox:
    """The one writer of a process; lives beside its event loop."""

    def __init__(self, kept: Callable[[], None], database_up: Callable[[], bool]) -> None:
        """``kept`` is called, in the writer's thread, after each transaction."""
        self._kept = kept
        self._database_up = database_up
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(MOST_WAITING)
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
        self._thread.start()

    async def keep(self, event_id: str, body: bytes) -> None:
        """Store a delivery; returns when it is committed to disk.

        Raises:
            MotorpoolError: 503, it is not known to be stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)

        def done(error: Exception | None) -> None:
            loop.call_soon_threadsafe(settle, error)

        try:
            self._queue.put_nowait((event_id, body, done))
        except queue.Full:
            raise NO_DATABASE from None
        try:
            await asyncio.wait_for(future, ANSWER_SECONDS)
        except TimeoutError:
            raise NO_DATABASE from None

    def stop(self) -> None:
        """Store what waits, then end."""
        self._queue.put(None)
        self._thread.join(10)

    def _work(self) -> None:
        ending = False
        while not ending:
            taken = [self._queue.get()]
            while len(taken) < PER_TRANSACTION:
                try:
                    taken.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            ending = None in taken
            jobs = [job for job in taken if job is not None]
            if jobs:
                self._settle(jobs)
        if self._connection is not None:
            self._connection.close()

    def _settle(self, jobs: list[_Waiting]) -> None:
        failure: Exception | None = None
        for last in (False, True):
            try:
                self._store(jobs)
                failure = None
            except (psycopg.Error, OSError) as error:
                log.warning("webhooks.not_stored", error=str(error).strip()[:200], deliveries=len(jobs))
                failure = NO_DATABASE
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                if not last and self._database_up():
                    continue
            break
        for _, _, done in jobs:
            done(failure)
        if failure is None:
            try:
                self._kept()
            except Exception:
                log.exception("webhooks.not_announced")  # what is stored is stored; beat finds it

    def _store(self, jobs: list[_Waiting]) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = store.open_connection()
        rest = {event_id: body for event_id, body, _ in jobs}
        with self._connection.transaction():
            # In order of the ids: two processes that keep the same events never wait for each other in a circle.
            names = sorted(rest)
            kept = self._connection.execute(_KEEP, [names, [rest[name] for name in names]], prepare=True).fetchall()
            again = Counter(event_id for event_id, _, _ in jobs) - Counter(event_id for (event_id,) in kept)
            if again:
                self._connection.execute(_COUNT, [list(again), list(again.values()), list(again)])
