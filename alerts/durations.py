"""Durations as the API writes them (ISO 8601-1:2019, 5.5.2) and as people read them."""

from __future__ import annotations

from datetime import timedelta

from django.utils.dateparse import parse_duration

LONGEST = timedelta(days=366)
_PARTS = (("D", 86_400, "d"), ("H", 3_600, "h"), ("M", 60, "min"), ("S", 1, "s"))


def parse(words: object) -> timedelta:
    """A duration such as PT30S or P1DT2H; raises ValueError."""
    try:
        found = parse_duration(words) if isinstance(words, str) and words[:1] == "P" and len(words) <= 40 else None
    except OverflowError:
        found = None
    if found is None or found < timedelta(0) or found > LONGEST:
        raise ValueError("Give a duration such as PT30S, PT15M or P1D, of at most 366 days.")
    return found


def iso(duration: timedelta) -> str:
    """As the API writes it."""
    days, time = "", ""
    for letter, amount, _ in _split(duration):
        if letter == "D":
            days = f"{amount:g}D"
        else:
            time += f"{amount:g}{letter}"
    return f"P{days}" + (f"T{time}" if time else "") if days or time else "PT0S"


def words(duration: timedelta) -> str:
    """As people read it: 1 h 30 min."""
    return " ".join(f"{amount:g} {word}" for _, amount, word in _split(duration)) or "0 s"


def microseconds(duration: timedelta) -> int:
    """For `alerts.rules`."""
    return round(duration / timedelta(microseconds=1))


def _split(duration: timedelta) -> list[tuple[str, float, str]]:
    left = duration.total_seconds()
    found = []
    for letter, seconds, word in _PARTS:
        amount = left if seconds == 1 else left // seconds
        if amount:
            found.append((letter, round(amount, 6), word))
            left -= amount * seconds
    return found
