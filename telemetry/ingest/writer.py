"""One commit thread's way to the database: a group of jobs in one transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import structlog

from fleet.lib.errors import MotorpoolError
from telemetry import store
from telemetry.ingest.queue import NO_DATABASE, Busy, Job, Locked
from telemetry.readings import Block, Outcome

ATTEMPTS = 3
MOST_PARTITIONS = 60
"""How many partitions one request may make; a longer import takes several requests."""

log = structlog.get_logger(__name__)
_again = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class TooScattered(MotorpoolError):
    """A request spans too many partitions (413)."""

    status = 413
    code = "too_large"


class Writer:
    """One thread's two connections: the transaction's, and one for dictionaries and partitions."""

    def __init__(self, partitions: store.Partitions, database_up: Callable[[], bool]) -> None:
        self._partitions = partitions
        self._database_up = database_up
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
                last = last or not self._database_up()
            except BaseException:
                self.close()
                raise
            if last:
                break
            time.sleep(random.uniform(0.005, 0.05) * (attempt + 1))
        log.warning("ingest.not_stored", error=str(failure).strip()[:200], requests=len(jobs))
        raise Busy(NO_DATABASE) from failure

    def _commit(self, jobs: list[Job]) -> list[list[Outcome]]:
        connection, dictionary = self._open()
        blocks = [block for job in jobs for block in job.decoded.blocks]
        self._ensure_partitions(dictionary, blocks)
        with connection.transaction():
            outcomes = store.append(connection, dictionary, blocks) if blocks else []
            for job in jobs:
                refused = job.decoded.refused
                if refused.count:
                    store.write_rejections(
                        connection, job.organization_id, job.device_id, job.batch, refused.counts, refused.kept
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
        """Let the connections go."""
        for connection in (self._connection, self._dictionary):
            if connection is not None:
                connection.close()
        self._connection = self._dictionary = None
