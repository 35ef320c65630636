"""What waits to be committed: one queue per organization, served in turn, so that nobody's flood delays the others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet.lib.errors import MotorpoolError
from telemetry.ingest.decode import Decoded
from telemetry.readings import Outcome

FRAMES_PER_TRANSACTION = 4_000
FRAMES_AMONG_OTHERS = 1_000
"""A transaction's fill while several organizations wait, so that a small request waits for a small one."""
REQUESTS_PER_TRANSACTION = 64
MOST_WAITING_FRAMES = 100_000
NO_DATABASE = "The database does not answer; send it again shortly."


class Busy(MotorpoolError):
    """More waits than may wait, or the database does not answer (503)."""

    status = 503
    code = "unavailable"


class Locked(Busy):
    """Another transaction holds one of the vehicles (503)."""


@dataclass(eq=False)
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


class FairQueue:
    """Jobs in the order of their arrival per organization; not thread-safe, its owner has a lock."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Job]] = {}
        self.frames = 0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, job: Job) -> None:
        """Append a job.

        Raises:
            Busy: too much waits.
        """
        if self._queues and self.frames + job.frames > MOST_WAITING_FRAMES:
            raise Busy("Too much is waiting to be stored; send it again shortly.")
        self._queues.setdefault(job.organization_id, deque()).append(job)
        self.frames += job.frames

    def take(self) -> list[Job]:
        """A transaction's fill, one job of each organization after the other."""
        fill = FRAMES_PER_TRANSACTION if len(self._queues) <= 1 else FRAMES_AMONG_OTHERS
        jobs: list[Job] = []
        frames = 0
        while self._queues and len(jobs) < REQUESTS_PER_TRANSACTION:
            organization_id, queue = next(iter(self._queues.items()))
            if jobs and frames + queue[0].frames > fill:
                break
            job = queue.popleft()
            jobs.append(job)
            frames += job.frames
            del self._queues[organization_id]  # to the end of the line, or out of it
            if queue:
                self._queues[organization_id] = queue
        self.frames -= frames
        return jobs

    def waiting_since(self) -> float:
        """When the oldest job came (`time.monotonic`); now where none waits."""
        return min((queue[0].since for queue in self._queues.values()), default=time.monotonic())

    def clear(self) -> list[Job]:
        """All jobs, which wait no longer."""
        jobs = [job for queue in self._queues.values() for job in queue]
        self._queues.clear()
        self.frames = 0
        return jobs
