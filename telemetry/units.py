"""Units at the edge: values are stored in the catalog's unit and shown in the reader's."""

from __future__ import annotations

from dataclasses import dataclass

from motorpool_formats import units as table


@dataclass(frozen=True)
class Conversion:
    """A linear conversion: shown = stored * factor + offset."""

    unit: str
    factor: float
    offset: float = 0.0

    def apply(self, value: float) -> float:
        """A stored value as shown."""
        return value * self.factor + self.offset


def _shown_as(unit: str, stored: str) -> Conversion:
    found = table.conversion(stored, unit)
    return Conversion(unit, found.factor, found.offset)


IMPERIAL = {
    stored: _shown_as(unit, stored)
    for stored, unit in (
        ("km/h", "mph"), ("km", "mi"), ("kPa", "psi"), ("°C", "°F"), ("m", "ft"), ("L", "gal"), ("L/h", "gal/h"),
    )
}  # fmt: skip
SYSTEMS = ("metric", "imperial")


def conversion(unit: str, system: str) -> Conversion:
    """How a value stored in ``unit`` is shown in the system; the same where it needs no change."""
    identity = Conversion(unit, 1.0)
    return IMPERIAL.get(unit, identity) if system == "imperial" else identity


def units_of(stored: str) -> list[str]:
    """The units in which values that are stored in ``stored`` may be given, itself first, then the imperial one."""
    known = table.alike(stored) or [stored]
    if stored in IMPERIAL:
        known = [stored, IMPERIAL[stored].unit, *(u for u in known if u not in (stored, IMPERIAL[stored].unit))]
    return known


def to_stored(value: float, unit: str, stored: str, difference: bool = False) -> float:
    """A value given in ``unit`` as it is stored; of a difference, an offset such as that of °F does not count.

    Raises:
        KeyError: the unit is not known, or measures something else.
    """
    if unit in ("", stored):
        return value
    try:
        found = table.conversion(unit, stored)
    except ValueError as error:
        raise KeyError(unit) from error
    return value * found.factor + (0.0 if difference else found.offset)


def rounded(value: float, unit: str = "") -> str:
    """A value with as many digits as its size deserves; a place on the globe needs five."""
    if unit == "°" and not float(value).is_integer():
        return f"{value:.5f}"
    return f"{value:.{0 if abs(value) >= 100 or float(value).is_integer() else 1 if abs(value) >= 10 else 2}f}"
