"""Ids and names out of what strangers write."""

from __future__ import annotations

import unicodedata
from typing import Any
from uuid import UUID

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS = ("\u200c", "\u200d")


def uuid_of(value: Any) -> UUID | None:
    """The UUID in a text, None for anything else."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def name_of(words: str, longest: int) -> str:
    """A text in one Unicode form (NFC), without blanks around it and without NUL, which PostgreSQL does not store."""
    return unicodedata.normalize("NFC", words.replace("\x00", "")).strip()[:longest]


def clean_name(text: str) -> str:
    """A name in one line: NFC, without invisible and control characters, with single blanks.

    Of the format characters the joiners stay between letters, where scripts and emoji need them.
    """
    text = unicodedata.normalize("NFC", text)
    kept = [c for c in text if unicodedata.category(c) not in _INVISIBLE or c in _JOINERS]
    return " ".join("".join(kept).split()).strip("".join(_JOINERS) + " ")
