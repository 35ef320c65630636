"""Commit batches: those that arrive together share a transaction, each is answered for itself.

A few threads, each with a connection of its own, take whatever waits. So a lone request is committed at once, and
under load the cost of a commit is shared. Nothing is dropped silently: what does not fit the queue is refused.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
import structlog

from fleet.lib.errors import MotorpoolError
from telemetry import store
from telemetry.ingest.decode import Decoded
from telemetry.readings import Block, Outcome

FRAMES_PER_TRANSACTION = 4_000
REQUESTS_PER_TRANSACTION = 64
MOST_WAITING_FRAMES = 100_000
HELP_FRAMES = 500
"""From here on the other threads help: few large transactions cost less than many small ones at once."""
HELP_SECONDS = 0.1
ANSWER_SECONDS = 8.0
ATTEMPTS = 3
MOST_PARTITIONS = 60
"""How many partitions one request may make; a longer import takes several requests."""

log = structlog.get_logger(__name__)
_again = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class Busy(MotorpoolError):
    """More waits than may wait, or the database does not answer (503)."""

    status = 503
    code = "unavailable"


class Locked(Busy):
    """Another transaction holds one of the vehicles (503)."""


class TooScattered(MotorpoolError):
    """A request spans too many partitions (413)."""

    status = 413
    code = "too_large"


@dataclass
class Job:
    """One request on its way to the database."""

    decoded: Decoded
    batch: str
    organization_id: int
    device_id: int
    done: Callable[[list[Outcome] | Exception], None]
    frames: int = field(init=False)
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.frames = self.decoded.frames
        for block in self.decoded.blocks:
            block.batch = self.batch


Published = Callable[[list[tuple[Block, Outcome]], set[int]], None]
"""Takes what was stored, and the organizations for which a commit's outcome was unknown for a while."""


class Committer:
    """The threads, their queue and their connections."""

    def __init__(self, connections: int, published: Published) -> None:
        self._published = published
        self._waiting: deque[Job] = deque()
        self._frames = 0
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
            if future.cancelled():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        def done(result: list[Outcome] | Exception) -> None:
            loop.call_soon_threadsafe(settle, result)

        job = Job(decoded, batch, organization_id, device_id, done)
        with self._lock:
            if self._stopping or (self._waiting and self._frames + job.frames > MOST_WAITING_FRAMES):
                raise Busy("Too much is waiting to be stored; send it again shortly.")
            self._waiting.append(job)
            self._frames += job.frames
            self._work_waits.notify()
            if self._frames >= HELP_FRAMES:
                self._help_wanted.notify()
        try:
            return await asyncio.wait_for(future, ANSWER_SECONDS)
        except TimeoutError:
            raise Busy("The database is slow to answer; send it again shortly.") from None

    def stop(self) -> None:
        """Commit what waits, then end the threads."""
        with self._lock:
            self._stopping = True
            self._work_waits.notify_all()
            self._help_wanted.notify_all()
        for thread in self._threads:
            thread.join(10)

    def _work(self, first: bool) -> None:
        writer = _Writer(self._partitions)
        while jobs := self._take(first):
            try:
                results: list[list[Outcome] | Exception] = list(writer.commit(jobs))
            except Exception as error:
                alone = len(jobs) == 1 or (isinstance(error, Busy) and not isinstance(error, Locked))
                results = [error] * len(jobs) if alone else writer.commit_each(jobs)
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
        """Whether much waits, or something waits while the first thread is held up by a lock or a slow disk."""
        if self._frames >= HELP_FRAMES:
            return True
        return bool(self._waiting) and time.monotonic() - self._waiting[0].since > HELP_SECONDS

    def _take(self, first: bool) -> list[Job]:
        """All that waits, up to a transaction's fill; empty when it is time to end."""
        with self._lock:
            if first:
                while not self._waiting and not self._stopping:
                    self._work_waits.wait()
            else:
                while not self._needs_help() and not self._stopping:
                    self._help_wanted.wait(HELP_SECONDS)
            jobs: list[Job] = []
            frames = 0
            while self._waiting and len(jobs) < REQUESTS_PER_TRANSACTION:
                if jobs and frames + self._waiting[0].frames > FRAMES_PER_TRANSACTION:
                    break
                job = self._waiting.popleft()
                frames += job.frames
                jobs.append(job)
            self._frames -= frames
            return jobs


class _Writer:
    """One thread's two connections: the transaction's, and one for dictionaries and partitions."""

    def __init__(self, partitions: store.Partitions) -> None:
        self._partitions = partitions
        self._connection: psycopg.Connection[Any] | None = None
        self._dictionary: psycopg.Connection[Any] | None = None
        self.unsure: set[int] = set()

    def commit_each(self, jobs: list[Job]) -> list[list[Outcome] | Exception]:
        """Each job by itself, after their group failed, so that it alone bears what is wrong with it.

        Once a vehicle turned out to be locked, the other jobs that need it are not made to wait for it too.
        """
        locked: set[int] = set()
        results: list[list[Outcome] | Exception] = []
        for job in jobs:
            vehicles = {block.vehicle_id for block in job.decoded.blocks}
            if vehicles & locked:
                results.append(Locked("A vehicle is locked just now; send it again shortly."))
                continue
            try:
                results.append(self.commit([job])[0])
            except Exception as error:
                if isinstance(error, Locked):
                    locked |= vehicles
                results.append(error)
        return results

    def commit(self, jobs: list[Job]) -> list[list[Outcome]]:
        """Store the jobs in one transaction, with some patience for what passes by itself.

        Raises:
            Busy: the database does not answer.
            TooScattered: a job spans too many partitions.
        """
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                return self._commit(jobs)
            except psycopg.errors.CheckViolation as error:
                self._partitions.forget()  # a partition that we knew has been dropped
                failure: Exception = error
            except psycopg.errors.LockNotAvailable as error:
                raise Locked("A vehicle is locked just now; send it again shortly.") from error
            except _again as error:
                failure = error
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                # Whether a lost commit took place is unknown; the merge makes repeating it harmless.
                self.close()
                self.unsure = {job.organization_id for job in jobs}
                failure = error
                last = last or isinstance(error, (psycopg.errors.ConnectionTimeout, psycopg.errors.QueryCanceled))
            except BaseException:
                self.close()
                raise
            if last:
                break
            time.sleep(random.uniform(0.005, 0.05) * (attempt + 1))
        log.warning("ingest.not_stored", error=str(failure).strip()[:200], requests=len(jobs))
        raise Busy("The database does not answer; send it again shortly.") from failure

    def _commit(self, jobs: list[Job]) -> list[list[Outcome]]:
        connection, dictionary = self._open()
        blocks = [block for job in jobs for block in job.decoded.blocks]
        self._ensure_partitions(dictionary, blocks)
        with connection.transaction():
            outcomes = store.append(connection, dictionary, blocks) if blocks else []
            for job in jobs:
                if job.decoded.refused.kept:
                    store.write_rejections(
                        connection, job.organization_id, job.device_id, job.batch, job.decoded.refused.kept
                    )
        results = []
        place = 0
        for job in jobs:
            results.append(outcomes[place : place + len(job.decoded.blocks)])
            place += len(job.decoded.blocks)
        return results

    def _open(self) -> tuple[psycopg.Connection[Any], psycopg.Connection[Any]]:
        if self._connection is None or self._dictionary is None or self._connection.closed:
            self.close()
            self._connection = store.open_connection()
            self._dictionary = store.open_connection()
        return self._connection, self._dictionary

    def _ensure_partitions(self, dictionary: psycopg.Connection[Any], blocks: list[Block]) -> None:
        for block in blocks:
            first, last = int(block.times[0]), int(block.times[-1])
            if self._partitions.missing(first, last):
                spans = self._partitions.missing_of(np.unique(block.times // 3_600_000_000) * 3_600_000_000)
                if len(spans) > MOST_PARTITIONS:
                    raise TooScattered(f"The frames span {len(spans)} new partitions; send fewer weeks at a time.")
                self._partitions.ensure(dictionary, spans)

    def close(self) -> None:
        for connection in (self._connection, self._dictionary):
            if connection is not None:
                connection.close()
        self._connection = self._dictionary = None
