"""Back up and restore the whole database through COPY, in one snapshot, with counts and checksums that must agree.

Needs no program of PostgreSQL's, and reads and writes any supported version. The archive is a zip file: a manifest
and each table's rows in COPY's text format. Encrypted fields stay encrypted: keep FIELD_ENCRYPTION_KEYS elsewhere.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from fleet.lib.errors import MotorpoolError
from telemetry import store

FORMAT = 1
LEFT_OUT = (
    "django_migrations", "django_session", "usersessions_usersession", "token_blacklist_outstandingtoken",
    "token_blacklist_blacklistedtoken", "telemetry_socketticket",
)  # fmt: skip
"""The first is compared instead; sessions and refresh tokens end with the installation that they belong to."""


class BackupError(MotorpoolError):
    """Why an archive cannot be made or restored."""


def write(path: Path) -> dict[str, dict[str, Any]]:
    """Write an archive; returns rows and checksum by table."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with _plain() as opened, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        opened.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = {name: _measure(opened, name) for name in _tables(opened)}
        for name in tables:
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(name))
            entry = archive.open(f"{name}.copy", "w", force_zip64=True)
            with entry, opened.cursor() as cursor, cursor.copy(query) as copy:
                for part in copy:
                    entry.write(part)
        manifest = {
            "format": FORMAT, "made": datetime.now(UTC).isoformat(), "partition_days": settings.PARTITION_DAYS,
            "migrations": _migrations(opened), "columns": {name: _columns(opened, name) for name in tables},
            "partitions": _partitions(),
            "tables": tables,
        }  # fmt: skip
        opened.execute("COMMIT")
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
    partial.replace(path)
    return tables


def restore(path: Path) -> dict[str, dict[str, Any]]:
    """Fill a migrated database that has no user yet; returns rows and checksum by table.

    Raises:
        BackupError: the archive and this installation do not fit, the database is in use, or what was restored
            differs from what was backed up; then nothing is kept.
    """
    with zipfile.ZipFile(path) as archive, _plain() as opened:
        manifest = json.loads(archive.read("manifest.json"))
        _refuse_misfits(opened, manifest)
        for table, start in manifest["partitions"]:
            kind = {kind.table: kind for kind in (store.FRAMES, store.ROLLUPS)}[table]
            store.Partitions(kind).ensure(opened, [kind.span_of(start)])
        with opened.transaction():
            opened.execute("SET CONSTRAINTS ALL DEFERRED")
            names = sql.SQL(", ").join(map(sql.Identifier, [*manifest["tables"], *LEFT_OUT[1:]]))
            opened.execute(sql.SQL("TRUNCATE {}").format(names))
            for name, columns in manifest["columns"].items():
                listed = sql.SQL(", ").join(map(sql.Identifier, columns))
                query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), listed)
                with archive.open(f"{name}.copy") as entry, opened.cursor() as cursor, cursor.copy(query) as copy:
                    while part := entry.read(1_048_576):
                        copy.write(part)
            _advance_sequences(opened)
            found = {name: _measure(opened, name) for name in manifest["tables"]}
            wrong = [name for name, measured in found.items() if measured != manifest["tables"][name]]
            if wrong:
                raise BackupError(f"What was restored differs in {', '.join(wrong)}: nothing is kept.")
    return found


def _refuse_misfits(opened: psycopg.Connection[Any], manifest: dict[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise BackupError("This archive was made by another version of Motorpool's backup.")
    if manifest["migrations"] != _migrations(opened):
        raise BackupError("The archive and this database have different migrations: use the version that made it.")
    if manifest["partition_days"] != settings.PARTITION_DAYS:
        raise BackupError(f"Set PARTITION_DAYS={manifest['partition_days']}, as where the archive was made.")
    row = opened.execute("SELECT EXISTS (SELECT FROM accounts_user)").fetchone()
    if row and row[0]:
        raise BackupError("This database is in use: restore into an empty one (manage.py migrate makes it).")


@contextmanager
def _plain() -> Iterator[psycopg.Connection[Any]]:
    """A connection without time-outs and adaptations, in autocommit mode."""
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    options = f"{parameters.get('options', '')} -c statement_timeout=0 -c timezone=UTC -c datestyle=ISO"
    with psycopg.connect(**parameters | {"options": options}, autocommit=True) as opened:
        yield opened


def _partitions() -> list[list[Any]]:
    return [
        [kind.table, found.start] for kind in (store.FRAMES, store.ROLLUPS) for found in store.list_partitions(kind)
    ]


def _tables(opened: psycopg.Connection[Any]) -> list[str]:
    rows = opened.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> ALL(%s) ORDER BY 1",
        [list(LEFT_OUT)],
    )
    return [row[0] for row in rows]


def _columns(opened: psycopg.Connection[Any], table: str) -> list[str]:
    rows = opened.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [f'public."{table}"'],
    )
    return [row[0] for row in rows]


def _measure(opened: psycopg.Connection[Any], table: str) -> dict[str, Any]:
    """Rows, and a sum over a hash of each row's text, which no order changes."""
    query = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {} AS t")
    row = opened.execute(query.format(sql.Identifier(table))).fetchone()
    assert row is not None
    return {"rows": row[0], "checksum": row[1]}


def _migrations(opened: psycopg.Connection[Any]) -> list[str]:
    return [f"{app}.{name}" for app, name in opened.execute("SELECT app, name FROM django_migrations ORDER BY 1, 2")]


def _advance_sequences(opened: psycopg.Connection[Any]) -> None:
    rows = opened.execute(
        "SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        " AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL"
    ).fetchall()
    for table, column, sequence in rows:
        query = sql.SQL("SELECT setval({}, coalesce(max({}), 0) + 1, false) FROM {}")
        opened.execute(query.format(sql.Literal(sequence), sql.Identifier(column), sql.Identifier(table)))
