"""The spool: batches on disk until the portal has committed them. SQLite, WAL, synchronous=FULL."""

from __future__ import annotations

import gzip
import json
import logging
import os
import sqlite3
import threading
import time
import uuid
from typing import Any, Dict, List, NamedTuple, Optional, Set

from motorpool_collector.driver import CollectorError

MOST_BYTES = 2_000_000_000
MOST_DAYS = 90.0
TRIM_EVERY = 50
"""Batches between looks at size and age."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, created REAL NOT NULL, frames INTEGER NOT NULL,
    blocks BLOB NOT NULL, refused TEXT
);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

log = logging.getLogger("motorpool_collector.spool")


class Spooled(NamedTuple):
    """A batch that waits; ``blocks`` is the gzipped inside of the request's list of blocks."""

    seq: int
    boot: str
    frames: int
    blocks: bytes


class Spool:
    """One SQLite file, bounded by size and age; safe to use from several threads."""

    def __init__(self, path: str, most_bytes: int = MOST_BYTES, most_days: float = MOST_DAYS) -> None:
        """Open or create the file; raises `CollectorError`."""
        self.boot = uuid.uuid4().hex
        self._most_bytes = most_bytes
        self._most_days = most_days
        self._lock = threading.Lock()
        self._taken: Set[int] = set()
        self._added = 0
        self._full = False
        try:
            if path != ":memory:":  # it holds positions: nobody else's to read, nor are SQLite's files beside it
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                os.chmod(path, 0o600)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise CollectorError(f"The spool {path} cannot be opened: {error}", permanent=True) from None
        self._bytes = self._one("SELECT coalesce(sum(length(blocks)), 0) FROM batch")
        self.dropped = int(self.note("dropped") or 0)
        """Frames that were let go unsent, ever."""

    def add(self, blocks: bytes, frames: int) -> Optional[int]:
        """Keep a batch; it is on disk when this returns. Returns its seq, None where the disk has no room for it."""
        with self._lock:
            try:
                seq = self._insert(blocks, frames)
            except sqlite3.OperationalError as error:
                if not self._full:
                    log.error("the spool cannot grow (%s): the oldest batches give way", error)
                self._full = True
                seq = self._insert_instead(blocks, frames)
            else:
                self._full = False
            self._added += 1
            if self._bytes > self._most_bytes or self._added % TRIM_EVERY == 0:
                self._trim()
        return seq

    def _insert(self, blocks: bytes, frames: int) -> Optional[int]:
        cursor = self._database.execute(
            "INSERT INTO batch (boot, created, frames, blocks) VALUES (?, ?, ?, ?)",
            (self.boot, time.time(), frames, blocks),
        )
        self._bytes += len(blocks)
        return cursor.lastrowid

    def _insert_instead(self, blocks: bytes, frames: int) -> Optional[int]:
        try:
            self._drop(self._oldest_seqs(len(blocks) * 2))
            return self._insert(blocks, frames)
        except sqlite3.OperationalError:
            self.dropped += frames
            return None

    def _oldest_seqs(self, room: int) -> List[int]:
        """The oldest batches that together free ``room`` bytes."""
        seqs: List[int] = []
        for seq, size in self._database.execute("SELECT seq, length(blocks) FROM batch ORDER BY seq"):
            if room <= 0:
                break
            if seq not in self._taken:
                seqs.append(seq)
                room -= size
        return seqs

    def _trim(self) -> None:
        too_old = time.time() - self._most_days * 86_400
        rows = self._database.execute("SELECT seq FROM batch WHERE created < ? ORDER BY seq", (too_old,))
        seqs = [row[0] for row in rows if row[0] not in self._taken]
        if self._bytes > self._most_bytes:
            seqs += self._oldest_seqs(self._bytes - self._most_bytes)
        if seqs:
            try:
                self._drop(sorted(set(seqs)))
            except sqlite3.OperationalError as error:
                log.error("the spool cannot be trimmed: %s", error)

    def _drop(self, seqs: List[int]) -> None:
        marks = ",".join("?" * len(seqs))
        with self._database:  # the count and what it counts go together
            self._database.execute("BEGIN")
            query = (
                f"SELECT coalesce(sum(frames), 0), coalesce(sum(length(blocks)), 0) FROM batch WHERE seq IN ({marks})"
            )
            frames, size = self._database.execute(query, seqs).fetchone()
            self._database.execute(f"DELETE FROM batch WHERE seq IN ({marks})", seqs)
            self._write_note("dropped", self.dropped + frames)
        self.dropped += frames
        self._bytes -= size
        log.warning("the spool is full or old: %d frames that were not sent are dropped", frames)

    def newest(self) -> List[Spooled]:
        """The batch spooled last, taken until it is deleted, refused or given back; empty for none."""
        return self._take("DESC", 1, 0)

    def oldest(self, most: int, most_frames: int, least: int) -> List[Spooled]:
        """Batches of one boot that have waited longest, taken likewise.

        Args:
            least: empty where fewer wait.
        """
        with self._lock:
            waiting = self._one("SELECT count(*) FROM (SELECT 1 FROM batch WHERE refused IS NULL LIMIT ?)", least)
        return self._take("ASC", most, most_frames) if waiting >= least else []

    def _take(self, order: str, most: int, most_frames: int) -> List[Spooled]:
        with self._lock:
            rows = self._database.execute(
                f"SELECT seq, boot, frames, blocks FROM batch WHERE refused IS NULL ORDER BY seq {order} LIMIT ?",
                (most + len(self._taken),),
            )
            found: List[Spooled] = []
            frames = 0
            for seq, boot, count, blocks in rows:
                if seq in self._taken:
                    continue
                frames += count
                if found and (len(found) >= most or frames > most_frames or boot != found[0].boot):
                    break
                found.append(Spooled(seq, boot, count, _packed(blocks)))
            rows.close()
            self._taken.update(batch.seq for batch in found)
        return found

    def give_back(self, batches: List[Spooled]) -> None:
        """They were not sent."""
        with self._lock:
            self._taken.difference_update(batch.seq for batch in batches)

    def delete(self, batches: List[Spooled]) -> None:
        """Forget batches that the portal has committed."""
        seqs = [batch.seq for batch in batches]
        with self._lock:
            self._database.execute(f"DELETE FROM batch WHERE seq IN ({','.join('?' * len(seqs))})", seqs)
            self._bytes -= sum(len(batch.blocks) for batch in batches)
            self._taken.difference_update(seqs)

    def refuse(self, batch: Spooled, words: str) -> None:
        """Set aside a batch that the portal will never take, with its reason."""
        with self._lock:
            self._database.execute("UPDATE batch SET refused = ? WHERE seq = ?", (words[:500], batch.seq))
            self._taken.discard(batch.seq)

    def depth(self) -> int:
        """How many batches wait."""
        with self._lock:
            return self._one("SELECT count(*) FROM batch WHERE refused IS NULL")

    def facts(self) -> Dict[str, Any]:
        """What ``status`` tells: batches, frames and bytes that wait, how old the oldest is, what was set aside."""
        with self._lock:
            batches, frames, size, oldest = self._database.execute(
                "SELECT count(*), coalesce(sum(frames), 0), coalesce(sum(length(blocks)), 0), min(created)"
                " FROM batch WHERE refused IS NULL"
            ).fetchone()
            refused = self._one("SELECT count(*) FROM batch WHERE refused IS NOT NULL")
        return {"batches": batches, "frames": frames, "bytes": size, "oldest": oldest, "set_aside": refused}

    def note(self, name: str) -> Optional[str]:
        """A value kept beside the batches."""
        with self._lock:
            row = self._database.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def keep_note(self, name: str, value: Any) -> None:
        """Keep a value beside the batches, as JSON."""
        with self._lock:
            try:
                self._write_note(name, value)
            except sqlite3.OperationalError as error:
                log.debug("note not kept: %s", error)

    def _write_note(self, name: str, value: Any) -> None:
        self._database.execute(
            "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def _one(self, query: str, *parameters: Any) -> int:
        return int(self._database.execute(query, parameters).fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def _packed(blocks: bytes) -> bytes:
    """The blocks as this version keeps them; version 0.1.0 kept a plain JSON list."""
    return gzip.compress(blocks[1:-1]) if blocks[:1] == b"[" else blocks
