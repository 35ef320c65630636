"""How pages write readings and times."""

from __future__ import annotations

from datetime import datetime

from django import template

from telemetry.units import rounded

register = template.Library()


@register.filter
def epoch(time: str | None) -> str:
    """An RFC 3339 time as epoch seconds, for the script that keeps ages moving."""
    return f"{datetime.fromisoformat(time).timestamp():.3f}" if time else "0"


@register.filter
def reading(value: float | str | None, unit: str = "") -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else rounded(value, unit)
