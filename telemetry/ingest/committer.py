"""Commit batches: those that arrive together share a transaction, each is answered for itself.

A few threads, each with a connection of its own, take whatever waits. So a lone request is committed at once, and
under load the cost of a commit is shared. Nothing is dropped silently: what does not fit the queue is refused.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from telemetry import store
from telemetry.ingest.decode import Decoded
from telemetry.ingest.queue import NO_DATABASE, Busy, FairQueue, Job, Locked
from telemetry.ingest.writer import Writer
from telemetry.readings import Block, Outcome

HELP_FRAMES = 500
"""From here on the other threads help: few large transactions cost less than many small ones at once."""
HELP_SECONDS = 0.1
ANSWER_SECONDS = 8.0

log = structlog.get_logger(__name__)

Published = Callable[[list[tuple[Block, Outcome]], set[int]], None]
"""Takes what was stored, and the organizations for which a commit's outcome was unknown for a while."""


class Committer:
    """The threads, their queue and their connections."""

    def __init__(self, connections: int, published: Published, database_up: Callable[[], bool] = lambda: True) -> None:
        self._published = published
        self._database_up = database_up
        self._waiting = FairQueue()
        self._writing: set[Job] = set()
        self._lock = threading.Lock()
        self._work_waits = threading.Condition(self._lock)
        self._help_wanted = threading.Condition(self._lock)
        self._stopping = False
        self._partitions = store.Partitions()
        self._threads = [
            threading.Thread(target=self._work, args=(index == 0,), name=f"ingest-{index}", daemon=True)
            for index in range(connections)
        ]
        for thread in self._threads:
            thread.start()

    async def commit(self, decoded: Decoded, batch: str, organization_id: int, device_id: int) -> list[Outcome]:
        """Store a request's blocks and refusals; returns when they are committed to disk.

        Raises:
            Busy: try again later; nothing is known to be stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()

        def settle(result: list[Outcome] | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        def done(result: list[Outcome] | Exception) -> None:
            loop.call_soon_threadsafe(settle, result)

        job = Job(decoded, batch, organization_id, device_id, done)
        with self._lock:
            if self._stopping:
                raise Busy("The portal is stopping; send it again shortly.")
            self._waiting.put(job)
            self._work_waits.notify()
            if self._needs_help():
                self._help_wanted.notify()
        try:
            return await asyncio.wait_for(future, ANSWER_SECONDS)
        except TimeoutError:
            raise Busy("The database is slow to answer; send it again shortly.") from None

    def database_down(self) -> None:
        """Refuse all that waits, and what is being written, whose outcome is unknown: sent again, it is stored once."""
        with self._lock:
            jobs = [*self._waiting.clear(), *self._writing]
        for job in jobs:
            job.done(Busy(NO_DATABASE))

    def stop(self) -> None:
        """Commit what waits, then end the threads."""
        with self._lock:
            self._stopping = True
            self._work_waits.notify_all()
            self._help_wanted.notify_all()
        for thread in self._threads:
            thread.join(10)

    def _work(self, first: bool) -> None:
        writer = Writer(self._partitions, self._database_up)
        while jobs := self._take(first):
            try:
                results: list[list[Outcome] | Exception] = list(writer.commit(jobs))
            except Exception as error:
                alone = len(jobs) == 1 or (isinstance(error, Busy) and not isinstance(error, Locked))
                results = [error] * len(jobs) if alone else writer.commit_each(jobs)
            with self._lock:
                self._writing.difference_update(jobs)
            for job, result in zip(jobs, results, strict=True):
                job.done(result)
            stored = [
                pair
                for job, result in zip(jobs, results, strict=True)
                if not isinstance(result, Exception)
                for pair in zip(job.decoded.blocks, result, strict=True)
                if pair[1].changed
            ]
            if stored or writer.unsure:
                try:
                    self._published(stored, writer.unsure)
                except Exception:
                    log.exception("ingest.not_published")  # what is stored is stored; a commit thread never dies
            writer.unsure = set()
        writer.close()

    def _needs_help(self) -> bool:
        """Whether much waits, or something waits behind much, or behind a lock or a slow disk."""
        if self._waiting.frames >= HELP_FRAMES:
            return True
        if not self._waiting:
            return False
        large = any(job.frames >= HELP_FRAMES for job in self._writing)
        return large or time.monotonic() - self._waiting.waiting_since() > HELP_SECONDS

    def _take(self, first: bool) -> list[Job]:
        """All that waits, up to a transaction's fill; empty when it is time to end."""
        with self._lock:
            if first:
                while not self._waiting and not self._stopping:
                    self._work_waits.wait()
            else:
                while not self._needs_help() and not self._stopping:
                    self._help_wanted.wait(HELP_SECONDS)
            jobs = self._waiting.take()
            self._writing.update(jobs)
            if self._needs_help():  # what is left must not wait behind the large thing just taken
                self._help_wanted.notify()
            return jobs
