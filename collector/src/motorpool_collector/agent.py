"""The agent: reads drivers on their schedules, spools, and lets the uplink send."""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from typing import Callable, List, Optional

from motorpool_collector.batches import MOST_FRAMES, BatchBuilder
from motorpool_collector.driver import CollectorError, Driver
from motorpool_collector.spool import Spool
from motorpool_collector.uplink import Uplink

FLUSH_SECONDS = 0.25
LONGEST_WAIT = 30.0

log = logging.getLogger("motorpool_collector.agent")


class _Schedule:
    """One driver with its next turn; a failing one is reopened with growing patience."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.opened = False
        self.due = time.monotonic()
        self.wait = 1.0

    def turn(self, builder: BatchBuilder) -> None:
        """Open or read the driver, and say when it is due again."""
        driver = self.driver
        try:
            if not self.opened:
                driver.open()
                self.opened, self.wait = True, 1.0
            builder.add(driver.source, driver.read())
        except CollectorError as error:
            if error.permanent:
                raise
            log.warning("%s: %s; trying again in %.0f s", driver.source, error, self.wait)
            self.close()
            self.due = time.monotonic() + self.wait * random.uniform(0.7, 1.0)
            self.wait = min(LONGEST_WAIT, self.wait * 2)
            return
        now = time.monotonic()
        # From the last turn, not from now: a rate does not drift; turns that were missed are not made up for.
        self.due = now if driver.period is None else max(self.due + driver.period, now - driver.period)

    def close(self) -> None:
        if self.opened:
            self.driver.close()
        self.opened = False


class Agent:
    """Drivers, spool and uplink together."""

    def __init__(self, drivers: List[Driver], spool: Spool, uplink: Uplink, vehicle: Optional[str]) -> None:
        self._schedules = [_Schedule(driver) for driver in drivers]
        self._spool = spool
        self._uplink = uplink
        self._builder = BatchBuilder(vehicle)
        self._stopping = threading.Event()
        self.frames = 0

    def stop(self) -> None:
        """End `run` soon; safe in a signal handler."""
        self._stopping.set()

    def run(self, seconds: Optional[float] = None, progress: Optional[Callable[[int], None]] = None) -> None:
        """Read until every driver is finished, the time is up, or `stop`; then spool what is left.

        Raises:
            CollectorError: a driver failed for good.
        """
        self._uplink.start()
        end = None if seconds is None else time.monotonic() + seconds
        flush_at = time.monotonic() + FLUSH_SECONDS
        try:
            while not self._stopping.is_set() and (end is None or time.monotonic() < end):
                waiting = [s for s in self._schedules if not s.driver.finished]
                if not waiting:
                    break
                schedule = min(waiting, key=lambda s: s.due)
                pause = min(schedule.due, flush_at) - time.monotonic()
                if pause > 0:
                    self._stopping.wait(pause)
                if schedule.due <= time.monotonic():
                    schedule.turn(self._builder)
                if self._builder.count >= MOST_FRAMES or time.monotonic() >= flush_at:
                    self._flush()
                    flush_at = time.monotonic() + FLUSH_SECONDS
                    if progress:
                        progress(self.frames)
        finally:
            self._flush()
            for schedule in self._schedules:
                schedule.close()

    def _flush(self) -> None:
        if self._builder.count:
            count = self._builder.count
            self._spool.add(self._builder.take(), count)
            self.frames += count
            self._uplink.notify()


def show_progress(total: int) -> Callable[[int], None]:
    """A progress line on a terminal; silent elsewhere."""

    def show(done: int) -> None:
        if sys.stderr.isatty():
            share = done / total if total else 1.0
            bar = "█" * int(30 * share)
            sys.stderr.write(f"\r{bar:<30} {done}/{total} frames")
            sys.stderr.write("\n" if done >= total else "")
            sys.stderr.flush()

    return show
