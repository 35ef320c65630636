"""One driver in a thread of its own: opened, read on its schedule, reopened when it fails, asked for what it can do."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Callable, Dict, List, Optional, Tuple

from motorpool_collector.driver import CollectorError, Driver, Frame

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0

log = logging.getLogger("motorpool_collector.driver")
_Job = Tuple[Callable[[], Any], "Future[Any]"]


class Runner:
    """Timing, retry and reconnect of one driver."""

    def __init__(self, driver: Driver, take: Callable[[str, List[Frame]], None]) -> None:
        """``take`` is given the driver's source and its frames, in the driver's thread."""
        self.driver = driver
        self.state = "waiting"
        """waiting, open, failing, disabled or finished."""
        self.words = ""
        self.error: Optional[CollectorError] = None
        """Why it is disabled."""
        self._take = take
        self._opened = False
        self._wait = FIRST_WAIT
        self._due = 0.0
        self._stopping = threading.Event()
        self._jobs: queue.Queue[Optional[_Job]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=f"driver-{driver.source}", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("disabled", "finished")

    def start(self) -> None:
        """Begin to read; calling it again changes nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread and close the driver; a driver that hangs is left behind."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(5)

    def ask(self, command: str, arguments: Dict[str, Any], seconds: float) -> Any:
        """What the driver answers to a command, carried out between two reads.

        Raises:
            CollectorError: it is not connected, does not answer in time, or says why not.
        """
        if self.state != "open":
            raise CollectorError(f"{self.driver.source} is not connected: {self.words or self.state}")
        future: Future[Any] = Future()
        self._jobs.put((lambda: self.driver.command(command, arguments), future))  # type: ignore[attr-defined]
        try:
            return future.result(seconds)
        except NoAnswer:
            future.cancel()
            raise CollectorError(f"{self.driver.source} did not answer within {seconds:.0f} s.") from None

    def _work(self) -> None:
        self._due = time.monotonic()
        while not self._stopping.is_set() and not self.ended:
            self._await_turn()
            if not self._stopping.is_set() and self._due <= time.monotonic():
                self._turn()
        self._close()

    def _await_turn(self) -> None:
        """Until the driver is due, do what it is asked for."""
        while not self._stopping.is_set():
            pause = self._due - time.monotonic()
            try:
                job = self._jobs.get(timeout=max(0.0, pause)) if pause > 0 else self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                _carry_out(*job)

    def _turn(self) -> None:
        driver = self.driver
        try:
            if not self._opened:
                driver.open()
                self._opened = True
            frames = driver.read()
        except CollectorError as error:
            self._failed(error)
            return
        except Exception as error:
            log.debug("%s", driver.source, exc_info=True)
            self._failed(CollectorError(f"{type(error).__name__}: {error}"))
            return
        if self.state != "open":
            log.info("%s: connected", driver.source)
            self.state, self.words, self._wait = "open", "", FIRST_WAIT
        if frames:
            try:
                self._take(driver.source, frames)
            except Exception:
                log.exception("%s: its readings could not be taken", driver.source)
        if driver.finished:
            self.state = "finished"
        now = time.monotonic()
        # From the last turn, not from now: a rate does not drift; turns that were missed are not made up for.
        self._due = now if driver.period is None else max(self._due + driver.period, now - driver.period)

    def _failed(self, error: CollectorError) -> None:
        said = self.state == "failing"
        self._close()
        self.words = str(error)
        if error.permanent:
            self.state, self.error = "disabled", error
            log.error("%s is disabled: %s", self.driver.source, error)
            return
        self.state = "failing"
        level = logging.DEBUG if said else logging.WARNING
        log.log(level, "%s: %s; it is tried again until it works", self.driver.source, error)
        self._due = time.monotonic() + self._wait * random.uniform(0.7, 1.0)
        self._wait = min(LONGEST_WAIT, self._wait * 2)

    def _close(self) -> None:
        if self._opened:
            try:
                self.driver.close()
            except Exception as error:
                log.debug("%s: closing: %s", self.driver.source, error)
        self._opened = False


def _carry_out(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
