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
