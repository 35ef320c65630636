"""Know within 1.5 s that PostgreSQL is gone or frozen, and free whoever waits for it.

libpq waits for a frozen server for ever: no time-out of the server runs there, and over loopback or a Unix socket the
kernel goes on acknowledging. So one thread asks a cheap question again and again; when it stays unanswered, the
sockets of all known connections are shut down, which ends their waits with an error.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from django.db import connection as django_connection
from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.pq import PollingStatus
from psycopg.pq.abc import PGconn

EVERY_SECONDS = 0.4
PATIENCE_SECONDS = 1.0
POOL_SECONDS = 2.0

log = structlog.get_logger(__name__)
_lock = threading.Lock()
_known: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def track(opened: psycopg.Connection[Any]) -> None:
    """Note a connection, to be freed when the server stops answering."""
    with _lock:
        _known.add(opened)


def _track_django(sender: Any, connection: Any, **kwargs: Any) -> None:
    track(connection.connection)


class DatabaseWatch:
    """``up`` says whether PostgreSQL answered lately. One per web process."""

    def __init__(self) -> None:
        self.up = True
        self._on_down: list[Callable[[], object]] = []
        self._stopping = threading.Event()
        connection_created.connect(_track_django, dispatch_uid="motorpool.database_watch")
        self._thread = threading.Thread(target=self._watch, name="database-watch", daemon=True)
        self._thread.start()

    def when_down(self, call: Callable[[], object]) -> None:
        """Have something called, in the watch's thread, each time the server stops answering."""
        self._on_down.append(call)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._ask_on()
            except Exception:
                log.exception("database.watch_failed")  # it goes on: without it the portal would stay as it is

    def _ask_on(self) -> None:
        opened: PGconn | None = None
        while not self._stopping.wait(EVERY_SECONDS):
            begun = time.monotonic()
            try:
                if opened is None:
                    opened = _connect()
                _ask(opened)
            except (psycopg.Error, TimeoutError, OSError) as error:
                if opened is not None:
                    opened.finish()
                    opened = None
                if self.up:
                    self.up = False
                    log.error("database.down", error=str(error).strip()[:200])
                    _set_patience(0.05)
                    self._free()
            else:
                if not self.up:
                    self.up = True
                    _set_patience(POOL_SECONDS)
                    log.warning("database.up", asked_s=round(time.monotonic() - begun, 3))
        if opened is not None:
            opened.finish()

    def _free(self) -> None:
        with _lock:
            known = list(_known)
        for opened in known:
            # A connection may be closed at this very moment by its owner.
            with contextlib.suppress(OSError, psycopg.Error, ValueError):
                handle = socket.socket(fileno=os.dup(opened.fileno()))
                handle.shutdown(socket.SHUT_RDWR)
                handle.close()
        for call in self._on_down:
            try:
                call()
            except Exception:
                log.exception("database.down_call_failed")


def _set_patience(seconds: float) -> None:
    """How long a thread waits for a connection of Django's pool."""
    pool = getattr(connections["default"], "pool", None)
    if pool is not None:
        pool.timeout = seconds


def _connect() -> PGconn:
    parameters = django_connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context", "prepare_threshold", "connect_timeout"):
        parameters.pop(name, None)
    parameters["application_name"] = "motorpool watch"
    opened: PGconn = psycopg.pq.PGconn.connect_start(psycopg.conninfo.make_conninfo(**parameters).encode())
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while (status := opened.connect_poll()) != PollingStatus.OK:
            if status == PollingStatus.FAILED:
                raise psycopg.OperationalError(opened.get_error_message())
            _await(opened.socket, status == PollingStatus.WRITING, deadline)
    except BaseException:
        opened.finish()
        raise
    return opened


def _ask(opened: PGconn) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    opened.send_query(b"SELECT 1")
    while True:
        opened.consume_input()
        while not opened.is_busy():
            if opened.get_result() is None:
                return
        _await(opened.socket, False, deadline)


def _await(handle: int, writing: bool, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("PostgreSQL does not answer")
    poll = select.poll()
    poll.register(handle, select.POLLOUT if writing else select.POLLIN)
    if not poll.poll(1000 * left):
        raise TimeoutError("PostgreSQL does not answer")
