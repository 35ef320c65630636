"""One table of units: what people and tools write, and how values convert. An unknown unit is never guessed."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple


class UnknownUnit(ValueError):
    """The text is no unit that the table has."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the unit {text!r} is not known")


class OtherQuantity(ValueError):
    """The unit measures something else than the one that is wanted."""

    def __init__(self, text: str, wanted: str) -> None:
        super().__init__(f"the unit {text!r} does not convert to {wanted}")


class Unit(NamedTuple):
    """A unit, and how its values become values in its quantity's first unit: times ``factor`` plus ``offset``."""

    name: str
    quantity: str
    factor: float
    offset: float


class Conversion(NamedTuple):
    """A linear conversion."""

    factor: float
    offset: float = 0.0

    def apply(self, value: float) -> float:
        """A value in the other unit."""
        return value * self.factor + self.offset

    def back(self, value: float) -> float:
        """The other way."""
        return (value - self.offset) / self.factor


# What stands for a degree or a power in the wild, before NFKC would make a letter of it.
_SIGNS = str.maketrans(
    {"º": "°", "˚": "°", "²": "2", "³": "3", "·": " ", "*": " ", "⋅": " ", "μ": "u", "µ": "u", "″": '"'}
)


def find(text: str, quantity: str = "") -> Unit | None:
    """The unit that a text stands for; None where it is none.

    Args:
        text: as written, such as ``km/hr``, ``DEG C`` or ``Meters/second``.
        quantity: look among units of this quantity first (``g`` is no acceleration beside grams).
    """
    spelled = _spelled(text)
    found = _EXACT.get(spelled) or _FOLDED.get(spelled.lower()) or _COMPACT.get(_compact(spelled), [])
    if quantity:
        return next((unit for unit in found if unit.quantity == quantity), found[0] if found else None)
    return found[0] if found else None


def conversion(text: str, wanted: str) -> Conversion:
    """From values in the unit that ``text`` stands for to the unit ``wanted``.

    Raises:
        UnknownUnit: the table does not have the text.
        OtherQuantity: the two measure different things.
    """
    target = UNITS.get(wanted)
    unit = find(text, target.quantity if target else "")
    if unit is None:
        raise UnknownUnit(text)
    if target is None or unit.quantity != target.quantity:
        raise OtherQuantity(text, wanted)
    return Conversion(unit.factor / target.factor, (unit.offset - target.offset) / target.factor)


def alike(wanted: str) -> List[str]:
    """The units of the same quantity, the given one first; empty for one that the table does not have."""
    target = UNITS.get(wanted)
    if target is None:
        return []
    return [wanted, *(unit.name for unit in UNITS.values() if unit.quantity == target.quantity and unit.name != wanted)]


def split_number(text: str) -> Tuple[str, str] | None:
    """``2124RPM`` or ``-12.5 °C`` as the number's text and the unit's; None where it does not begin with a number."""
    match = re.fullmatch(r"\s*([+-]?(?:\d[\d.,]*|[.,]\d+)(?:[eE][+-]?\d+(?![A-Za-z]))?)\s*([^\d\s].*?|)\s*", text)
    return (match.group(1), match.group(2)) if match else None


def _spelled(text: str) -> str:
    """Without signs that mean the same: UTF-8 read as Latin-1, brackets around all of it, blanks."""
    text = text.replace("Â°", "°").replace("Â", "").translate(_SIGNS)
    text = unicodedata.normalize("NFKC", text).strip().strip("[]").strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text = re.sub(r"\s*([/^])\s*", r"\1", re.sub(r"[\s_]+", " ", text)).strip().rstrip(".")
    return re.sub(r"^° ?(?=[CFKcfk]$)", "°", text)


def _read() -> Dict[str, Unit]:
    units: Dict[str, Unit] = {}
    for line in _lines():
        name, quantity, factor, offset, _ = (part.strip() for part in line.split("|"))
        units[name] = Unit(name, quantity, float(factor), float(offset))
    return units


def _compact(spelled: str) -> str:
    return re.sub(r"[ _-]", "", spelled.lower())


def _spellings() -> Tuple[Dict[str, List[Unit]], ...]:
    """Units by their spellings: as they stand, in lower case, and without blanks and hyphens."""
    exact: Dict[str, List[Unit]] = {}
    folded: Dict[str, List[Unit]] = {}
    compact: Dict[str, List[Unit]] = {}
    for line in _lines():
        name, _, _, _, others = (part.strip() for part in line.split("|"))
        for text in (name, *filter(None, (spelling.strip() for spelling in others.split(",")))):
            spelled = _spelled(text)
            for table, key in ((exact, spelled), (folded, spelled.lower()), (compact, _compact(spelled))):
                if UNITS[name] not in table.setdefault(key, []):
                    table[key].append(UNITS[name])
    return exact, folded, compact


def _lines() -> List[str]:
    text = Path(__file__).with_name("units.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


UNITS: Dict[str, Unit] = _read()
"""Every unit by its name."""
_EXACT, _FOLDED, _COMPACT = _spellings()
