"""Single values out of a maker's JSON: numbers in the catalog's unit, texts that can be stored. Pure; never raises."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from motorpool_formats.units import conversion
from telemetry.catalog import LONGEST_TEXT


class Quantity(NamedTuple):
    """What a value measures: the catalog's unit, and the one that is meant where the body has none."""

    stored: str
    default: str


LENGTH = Quantity("km", "km")
SPEED = Quantity("km/h", "km/h")
PERCENT = Quantity("%", "%")
ENERGY = Quantity("kWh", "kWh")
POWER = Quantity("kW", "W")
VOLTAGE = Quantity("V", "V")
CURRENT = Quantity("A", "A")
VOLUME = Quantity("L", "L")
PRESSURE = Quantity("kPa", "kPa")
TEMPERATURE = Quantity("°C", "°C")
DURATION = Quantity("min", "min")


def number_of(value: Any) -> float | None:
    """A finite number; None for anything else, a boolean included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def converted(value: Any, unit: Any, quantity: Quantity) -> float | None:
    """A number in the catalog's unit; None for what is no number, or comes in a unit that nobody knows."""
    number = number_of(value)
    if number is None or not (unit is None or isinstance(unit, str)):
        return None
    try:
        found = conversion(unit or quantity.default, quantity.stored)
    except ValueError:
        return None
    if found == (1.0, 0.0):
        return number
    # Rounded, since 7100 W shall be 7.1 kW and not 7.1000000000000005.
    return number_of(round(found.apply(number), 6))


def text_of(value: Any) -> str | None:
    """A text as it can be stored: without control characters, clipped; None for what is none, or blank."""
    if not isinstance(value, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in value)
    return printable.strip()[:LONGEST_TEXT].strip() or None


def listing_of(values: Any) -> str | None:
    """A list as one text: words with commas between, or compact JSON, or only a count where that is too long.

    A clipped JSON would be of no use to anybody; the count still tells a reader that there is something to look up at
    the maker's. An empty list is an empty text, so that what was there before does not seem to hold on.
    """
    if not isinstance(values, list):
        return None
    try:
        if all(isinstance(entry, str) for entry in values):
            words = ", ".join(values)
        else:
            words = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return (text_of(words) or "") if len(words) <= LONGEST_TEXT else f"{len(values)} entries"


def list_of(value: Any) -> list[Any]:
    """The list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def dict_of(value: Any) -> dict[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}
