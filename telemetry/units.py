"""Units at the edge: values are stored in the catalog's unit and shown in the reader's."""

from __future__ import annotations

from dataclasses import dataclass

PSI_IN_KPA = 6.894757
MILE_IN_KM = 1.609344
FOOT_IN_M = 0.3048
GALLON_IN_L = 3.785411784


@dataclass(frozen=True)
class Conversion:
    """A linear conversion: shown = stored * factor + offset."""

    unit: str
    factor: float
    offset: float = 0.0

    def apply(self, value: float) -> float:
        """A stored value as shown."""
        return value * self.factor + self.offset


IMPERIAL = {
    "km/h": Conversion("mph", 1 / MILE_IN_KM),
    "km": Conversion("mi", 1 / MILE_IN_KM),
    "kPa": Conversion("psi", 1 / PSI_IN_KPA),
    "°C": Conversion("°F", 9 / 5, 32),
    "m": Conversion("ft", 1 / FOOT_IN_M),
    "L": Conversion("gal", 1 / GALLON_IN_L),
    "L/h": Conversion("gal/h", 1 / GALLON_IN_L),
}
SYSTEMS = ("metric", "imperial")


def conversion(unit: str, system: str) -> Conversion:
    """How a value stored in ``unit`` is shown in the system; the same where it needs no change."""
    identity = Conversion(unit, 1.0)
    return IMPERIAL.get(unit, identity) if system == "imperial" else identity


_OTHERS = {
    "kPa": {"bar": 100.0, "mbar": 0.1, "hPa": 0.1, "MPa": 1000.0, "Pa": 0.001},
    "km/h": {"m/s": 3.6, "kn": 1.852},
    "km": {"m": 0.001},
    "m": {"km": 1000.0},
    "V": {"mV": 0.001},
    "kW": {"W": 0.001, "hp": 0.745699872},
    "kWh": {"Wh": 0.001},
    "s": {"min": 60.0, "h": 3600.0},
}
"""Other units that people give thresholds in: one of each is so many of the stored unit (BIPM, The SI Brochure)."""


def units_of(stored: str) -> list[str]:
    """The units in which values that are stored in ``stored`` may be given, itself first."""
    known = [stored]
    if stored in IMPERIAL:
        known.append(IMPERIAL[stored].unit)
    return known + list(_OTHERS.get(stored, ()))


def to_stored(value: float, unit: str, stored: str, difference: bool = False) -> float:
    """A value given in ``unit`` as it is stored; of a difference, an offset such as that of °F does not count.

    Raises:
        KeyError: the unit measures something else.
    """
    if unit in ("", stored):
        return value
    if stored in IMPERIAL and IMPERIAL[stored].unit == unit:
        known = IMPERIAL[stored]
        return (value - (0.0 if difference else known.offset)) / known.factor
    return value * _OTHERS[stored][unit]


def rounded(value: float, unit: str = "") -> str:
    """A value with as many digits as its size deserves; a place on the globe needs five."""
    if unit == "°" and not float(value).is_integer():
        return f"{value:.5f}"
    return f"{value:.{0 if abs(value) >= 100 or float(value).is_integer() else 1 if abs(value) >= 10 else 2}f}"
