"""Answers of the database that are trusted for a while, and asked for anew before that ends."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 100_000


class Remembered(Generic[K, V]):
    """Values by key, each with an end; what is in steady use can be renewed in time, so that no request waits for it.

    Used from several threads: each step is one operation on a dictionary.
    """

    def __init__(self) -> None:
        self._entries: dict[K, tuple[float, float, V]] = {}
        self._asked: set[K] = set()

    def put(self, key: K, value: V, seconds: float) -> None:
        """Trust a value for so long; not at all, but as `last`, where ``seconds`` is 0."""
        if len(self._entries) >= MOST:
            self._entries.clear()
        now = time.monotonic()
        self._entries[key] = (now + seconds / 2, now + seconds, value)
        self._asked.discard(key)

    def get(self, key: K) -> V | None:
        """The value, while it is to be trusted."""
        entry = self._entries.get(key)
        return entry[2] if entry and time.monotonic() < entry[1] else None

    def last(self, key: K) -> V:
        """The value, even if its time is over.

        Raises:
            KeyError: it is forgotten.
        """
        return self._entries[key][2]

    def drop(self, key: K) -> None:
        """Trust it no longer."""
        self._entries.pop(key, None)

    def due(self, key: K) -> bool:
        """Whether to ask for it anew: true once, in the second half of its time."""
        entry = self._entries.get(key)
        if entry is None or key in self._asked or time.monotonic() < entry[0]:
            return False
        self._asked.add(key)
        return True
