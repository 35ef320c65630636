"""How pages write readings and times."""

from __future__ import annotations

from datetime import datetime

from django import template

register = template.Library()


@register.filter
def epoch(time: str | None) -> str:
    """An RFC 3339 time as epoch seconds, for the script that keeps ages moving."""
    return f"{datetime.fromisoformat(time).timestamp():.3f}" if time else "0"


@register.filter
def reading(value: float | str | None, unit: str = "") -> str:
    """A value with as many digits as its size deserves; a place on the globe needs five."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "°" and not value.is_integer():
        return f"{value:.5f}"
    return f"{value:.{0 if abs(value) >= 100 or value.is_integer() else 1 if abs(value) >= 10 else 2}f}"
