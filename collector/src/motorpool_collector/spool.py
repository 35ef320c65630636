"""The spool: batches on disk until the portal has committed them. SQLite, WAL, synchronous=FULL."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from typing import NamedTuple, Optional

from motorpool_collector.driver import CollectorError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, created REAL NOT NULL, frames INTEGER NOT NULL,
    blocks BLOB NOT NULL, refused TEXT
)
"""


class Spooled(NamedTuple):
    """A batch that waits."""

    seq: int
    boot: str
    frames: int
    blocks: bytes


class Spool:
    """One SQLite file; safe to use from several threads."""

    def __init__(self, path: str) -> None:
        """Open or create the file; raises `CollectorError`."""
        self.boot = uuid.uuid4().hex
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise CollectorError(f"The spool {path} cannot be opened: {error}", permanent=True) from None

    def add(self, blocks: bytes, frames: int) -> int:
        """Keep a batch; it is on disk when this returns. Returns its seq."""
        with self._lock:
            cursor = self._database.execute(
                "INSERT INTO batch (boot, created, frames, blocks) VALUES (?, ?, ?, ?)",
                (self.boot, time.time(), frames, blocks),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def oldest(self) -> Optional[Spooled]:
        """The batch that has waited longest, None for none."""
        with self._lock:
            row = self._database.execute(
                "SELECT seq, boot, frames, blocks FROM batch WHERE refused IS NULL ORDER BY seq LIMIT 1"
            ).fetchone()
        return Spooled(*row) if row else None

    def delete(self, seq: int) -> None:
        """Forget a batch that the portal has committed."""
        with self._lock:
            self._database.execute("DELETE FROM batch WHERE seq = ?", (seq,))

    def refuse(self, seq: int, words: str) -> None:
        """Set aside a batch that the portal will never take, with its reason."""
        with self._lock:
            self._database.execute("UPDATE batch SET refused = ? WHERE seq = ?", (words[:500], seq))

    def depth(self) -> int:
        """How many batches wait."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM batch WHERE refused IS NULL").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
