"""Connections for the store's own SQL: the hot path's, which never goes through the ORM, and the ORM's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg import Connection, Cursor

from fleet.lib.database_watch import track
from telemetry.store import wire


def open_connection() -> Connection[Any]:
    """A connection in autocommit mode that speaks numpy; the caller closes it.

    The time-outs keep a request from hanging on a database that is gone or frozen.
    """
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    # Later options win over those of the database's address.
    limits = "-c statement_timeout=10s -c lock_timeout=500ms -c idle_in_transaction_session_timeout=30s"
    options = f"{parameters.get('options', '')} {limits}"
    parameters |= {"connect_timeout": 2, "tcp_user_timeout": 5000, "application_name": "motorpool ingest"}
    opened = psycopg.connect(**parameters | {"options": options}, autocommit=True)
    wire.adapt(opened)
    track(opened)
    return opened


@contextmanager
def cursor() -> Iterator[Cursor[Any]]:
    """A binary cursor on the current thread's Django connection, inside its transaction."""
    connection.ensure_connection()
    raw: Any = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(raw) as opened:
        wire.adapt(opened)
        opened.format = psycopg.pq.Format.BINARY
        yield opened


@contextmanager
def planned(opened: Cursor[Any], *off: str) -> Iterator[None]:
    """A transaction in which the planner does without some methods, such as ``enable_sort``.

    A partition that was filled a moment ago has no statistics yet: believing in one row, the planner chooses what
    is many times slower for a million.
    """
    with opened.connection.transaction():
        opened.execute("SELECT " + ", ".join(f"set_config('{name}', 'off', true)" for name in off))
        yield
