"""Work that waits for others' answers for minutes, beside a worker's tasks: it must not keep them from their turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.db import connection

AT_ONCE = 8
"""Per process."""

log = structlog.get_logger(__name__)
_places = threading.BoundedSemaphore(AT_ONCE)


def drain(seconds: float) -> bool:
    """Wait until what was begun has ended; whether it has. Called when the process is asked to stop."""
    deadline = time.monotonic() + seconds
    got = 0
    for _ in range(AT_ONCE):
        if not _places.acquire(timeout=max(0.0, deadline - time.monotonic())):
            break
        got += 1
    for _ in range(got):
        _places.release()
    return got == AT_ONCE


def run(function: Callable[..., Any], *args: Any) -> bool:
    """Call it in a thread of its own; false where all places are taken, and nothing was begun.

    The thread ends with the process: what it does has to bear that at any moment.
    """
    if not _places.acquire(blocking=False):
        return False
    threading.Thread(target=_work, args=(function, args), daemon=True, name=function.__name__).start()
    return True


def _work(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    except Exception:
        log.exception("background.failed", function=function.__name__)
    finally:
        connection.close()
        _places.release()
