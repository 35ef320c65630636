"""Texts as numbers, so that one table holds all signals."""

from __future__ import annotations

import hashlib
from functools import lru_cache

DIGITS = 13
"""Hexadecimal: 52 bits, which a float64 holds exactly."""


@lru_cache(10_000)
def code_of(text: str) -> float:
    """The number that stands for a text: the first 52 bits of its MD5 (RFC 1321), as PostgreSQL computes them too."""
    return float(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:DIGITS], 16))
