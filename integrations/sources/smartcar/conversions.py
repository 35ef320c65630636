"""Single values out of a maker's JSON: numbers in the catalog's unit, texts that can be stored. Pure; never raises."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from telemetry.catalog import LONGEST_TEXT
from telemetry.units import GALLON_IN_L, MILE_IN_KM, PSI_IN_KPA

Quantity = Mapping[str, tuple[float, float]]
"""Factor and offset into the catalog's unit by the spelling of a unit; the empty spelling stands for no unit."""


def _quantity(*units: tuple[str, float] | tuple[str, float, float]) -> Quantity:
    """Units, each with its spellings as `_spelled` leaves them; the first is meant where none is told."""
    known: dict[str, tuple[float, float]] = {}
    for spellings, factor, *offset in units:
        linear = (factor, offset[0] if offset else 0.0)
        known.setdefault("", linear)
        known.update(dict.fromkeys(spellings.split(), linear))
    return known


LENGTH = _quantity(
    ("km kms kilometer kilometers kilometre kilometres", 1.0),
    ("mi mile miles", MILE_IN_KM),
    ("meter meters metre metres", 0.001),
)
SPEED = _quantity(
    ("km/h kmh kph kilometersperhour kilometresperhour", 1.0),
    ("mph mi/h milesperhour", MILE_IN_KM),
    ("m/s meterspersecond metrespersecond", 3.6),
)
PERCENT = _quantity(("percent percentage percents %", 1.0), ("fraction ratio", 100.0))
ENERGY = _quantity(("kwh kwhr kwhrs kilowatthour kilowatthours", 1.0), ("wh whr watthour watthours", 0.001))
POWER = _quantity(("w watt watts", 0.001), ("kw kilowatt kilowatts", 1.0))
VOLTAGE = _quantity(("v volt volts", 1.0))
CURRENT = _quantity(("a amp amps ampere amperes", 1.0))
VOLUME = _quantity(("l liter liters litre litres", 1.0), ("gal gallon gallons usgallon usgallons", GALLON_IN_L))
PRESSURE = _quantity(
    ("kpa kilopascal kilopascals", 1.0), ("psi", PSI_IN_KPA), ("bar bars", 100.0), ("pa pascal pascals", 0.001)
)
TEMPERATURE = _quantity(
    ("c °c celsius degreescelsius", 1.0),
    ("f °f fahrenheit degreesfahrenheit", 5 / 9, -160 / 9),
    ("k kelvin", 1.0, -273.15),
)
DURATION = _quantity(("min mins minute minutes", 1.0), ("s sec second seconds", 1 / 60), ("h hour hours", 60.0))

_BETWEEN_WORDS = re.compile(r"[\s_.\-]+")


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
    linear = quantity.get(_spelled(unit))
    if number is None or linear is None:
        return None
    factor, offset = linear
    if (factor, offset) == (1.0, 0.0):
        return number
    # Rounded, since 7100 W shall be 7.1 kW and not 7.1000000000000005.
    return number_of(round(number * factor + offset, 6))


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


def _spelled(unit: Any) -> str:
    """A unit as the quantities spell it: ``kilowatt_hours`` and ``Kilowatt-Hours`` are one."""
    if unit is None:
        return ""
    return _BETWEEN_WORDS.sub("", unit).lower() if isinstance(unit, str) else "no unit at all"
