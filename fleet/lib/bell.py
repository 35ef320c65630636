"""Doorbells of Celery tasks: never in the way of whoever pushes the button."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import current_app

LEAST_SECONDS = 0.2
AFTER_FAILURE = 3.0

log = structlog.get_logger(__name__)


class Bell:
    """A thread that calls ``ring`` soon after `push`, however often it is pushed meanwhile."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._pushed = threading.Event()
        threading.Thread(target=self._work, name="bell", daemon=True).start()

    def push(self) -> None:
        """Ask for a ring; returns at once."""
        self._pushed.set()

    def _work(self) -> None:
        while True:
            self._pushed.wait()
            self._pushed.clear()
            try:
                self._ring()
                time.sleep(LEAST_SECONDS)
            except Exception as error:
                log.warning("bell.unavailable", error=str(error)[:200])
                time.sleep(AFTER_FAILURE)  # beat finds what was not announced


MOST_WAITING = 100
_sender = ThreadPoolExecutor(1, thread_name_prefix="announce")
_room = threading.BoundedSemaphore(MOST_WAITING)


def announce(task: str, *args: Any, expires: float = 60) -> None:
    """Send a task by its name, beside whoever asks: Redis is never waited for. Beat finds what was not announced."""
    if not _room.acquire(blocking=False):
        return  # Redis hangs: beat finds it
    _sender.submit(_send, task, args, expires).add_done_callback(lambda _: _room.release())


def _send(task: str, args: tuple[Any, ...], expires: float) -> None:
    try:
        current_app.send_task(task, args=args, expires=expires, retry=False)
    except Exception as error:
        log.warning("bell.unavailable", task=task, error=str(error)[:200])
