"""Partitions of frames and rollups by time, made on demand before the transaction that needs them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from django.conf import settings
from psycopg import Connection, sql

from telemetry.store.connections import cursor

BY_YEAR_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
ORIGIN = datetime(2020, 1, 1, tzinfo=UTC)
LOCK = 0x6D6F746F
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Partitioned:
    """A table in partitions by time; ``widths`` of `PARTITION_DAYS` each from 2020 on, a calendar year before."""

    table: str
    key: str
    widths: int
    column: str

    def span_of(self, time: int) -> Span:
        """The partition that holds a time."""
        when = datetime.fromtimestamp(time // MICROSECONDS, UTC)
        if when < BY_YEAR_BEFORE:
            first = datetime(when.year, 1, 1, tzinfo=UTC)
            return Span(_microseconds(first), _microseconds(first.replace(year=when.year + 1)))
        width = timedelta(days=settings.PARTITION_DAYS * self.widths)
        first = ORIGIN + ((when - ORIGIN) // width) * width
        return Span(_microseconds(first), _microseconds(first + width))

    def name_of(self, span: Span) -> str:
        """The partition's name."""
        return f"{self.table}_{datetime.fromtimestamp(span.start // MICROSECONDS, UTC):%Y%m%d}"


class Span(NamedTuple):
    """A partition's range in microseconds since 1970, the end exclusive."""

    start: int
    end: int


FRAMES = Partitioned("telemetry_frame", "vehicle_id, time, source_id", 1, "time")
ROLLUPS = Partitioned("telemetry_rollup", "vehicle_id, hour, source_id", 12, "hour")


class Partitions:
    """The partitions known to exist; one per process is enough, since a stale entry only costs a retry."""

    def __init__(self, kind: Partitioned = FRAMES) -> None:
        self._kind = kind
        self._known: set[Span] = set()
        self._latest: Span | None = None

    def missing(self, first: int, last: int) -> list[Span]:
        """Spans between two times that are not known to exist; the usual answer, none, costs two comparisons."""
        latest = self._latest
        if latest and latest.start <= first and last < latest.end:
            return []
        spans = []
        time = first
        while time <= last:
            span = self._kind.span_of(time)
            spans.append(span)
            time = span.end
        absent = [span for span in spans if span not in self._known]
        if not absent:
            self._latest = spans[-1]
        return absent

    def missing_of(self, times: Iterable[int]) -> list[Span]:
        """Like `missing`, for scattered times: only spans that hold one."""
        return [span for span in {self._kind.span_of(time) for time in times} if span not in self._known]

    def ensure(self, connection: Connection[Any], spans: Iterable[Span]) -> None:
        """Create partitions; the connection must be in autocommit mode.

        Raises:
            psycopg.errors.LockNotAvailable: the parent stayed locked for 2 s.
        """
        for span in spans:
            _create(connection, self._kind, span)
            self._known.add(span)

    def forget(self) -> None:
        """Drop what is remembered, after PostgreSQL missed a partition."""
        self._known.clear()
        self._latest = None


def make_ahead(connection: Connection[Any], now: datetime) -> int:
    """Create the partitions of today and of the two weeks to come; returns how many there are of them."""
    made = 0
    for kind in (FRAMES, ROLLUPS):
        partitions = Partitions(kind)
        first = _microseconds(now - timedelta(days=1))
        spans = partitions.missing(first, _microseconds(now + timedelta(days=14)))
        partitions.ensure(connection, spans)
        made += len(spans)
    return made


def partition_widths() -> set[int]:
    """The widths, in days, of the partitions that exist from 2020 on."""
    with cursor() as opened:
        return {int(row[0]) for row in opened.execute(_WIDTHS)}


_WIDTHS = r"""
    SELECT DISTINCT extract(epoch FROM (edges[2]::timestamptz - edges[1]::timestamptz))::int / 86400
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
        LATERAL (SELECT array(SELECT m[1] FROM regexp_matches(
            pg_get_expr(c.relpartbound, c.oid), $$'([^']+)'$$, 'g') AS m)) AS found (edges)
    WHERE i.inhparent = to_regclass('telemetry_frame') AND edges[1]::timestamptz >= '2020-01-01'
"""


def _create(connection: Connection[Any], kind: Partitioned, span: Span) -> None:
    start, end = (datetime.fromtimestamp(edge // MICROSECONDS, UTC) for edge in span)
    name = kind.name_of(span)
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            known = connection.execute("SELECT relispartition FROM pg_class WHERE oid = to_regclass(%s)", [name])
            exists = known.fetchone()
            if exists is not None:
                if not exists[0]:  # it was to be dropped, and is wanted again
                    attach(connection, kind, name)
                return
            # Create, then ATTACH: unlike PARTITION OF it takes no exclusive lock on the parent.
            parts = {
                "table": sql.Identifier(kind.table),
                "name": sql.Identifier(name),
                "column": sql.Identifier(kind.column),
                "start": sql.Literal(start.isoformat()),
                "end": sql.Literal(end.isoformat()),
            }
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS,"
                    f" PRIMARY KEY ({kind.key}), CHECK ({{column}} >= {{start}} AND {{column}} < {{end}}))"
                ).format(**parts)
            )
            attach(connection, kind, name)
    except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation, psycopg.errors.InvalidObjectDefinition):
        return  # another process was faster


def attach(connection: Connection[Any], kind: Partitioned, name: str) -> None:
    """Attach a table, which has a partition's name and its check, as that partition."""
    first = datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)
    start, end = (datetime.fromtimestamp(edge // MICROSECONDS, UTC) for edge in kind.span_of(_microseconds(first)))
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(kind.table), sql.Identifier(name),
            sql.Literal(start.isoformat()), sql.Literal(end.isoformat()),
        )
    )  # fmt: skip


def _microseconds(time: datetime) -> int:
    return int(time.timestamp()) * MICROSECONDS
