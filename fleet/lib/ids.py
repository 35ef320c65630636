"""Ids and names out of what strangers write."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def id_of(words: str) -> int:
    """A row's id; 0, which nobody has, for anything else."""
    return int(words) if words.isascii() and words.isdecimal() and len(words) < 10 else 0


def uuid_of(value: Any) -> UUID | None:
    """The UUID in a text, None for anything else."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def name_of(words: str, longest: int) -> str:
    """A text without blanks around it, and without NUL, which PostgreSQL does not store."""
    return words.replace("\x00", "").strip()[:longest]
