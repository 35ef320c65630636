"""From a table's header to signals: names that apps use, units, and columns that are left out because of their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from motorpool_formats.signals import BY_NAME, SignalDefinition, well_formed
from motorpool_formats.units import UNITS, Conversion, OtherQuantity, UnknownUnit, conversion

# What a column is called, without marks, prefixes and unit -> the portal's signal.
KNOWN = {
    "longitude": "location.longitude", "lon": "location.longitude", "lng": "location.longitude",
    "long": "location.longitude", "gps longitude": "location.longitude",
    "latitude": "location.latitude", "lat": "location.latitude", "gps latitude": "location.latitude",
    "altitude": "location.altitude", "alt": "location.altitude", "elevation": "location.altitude",
    "ele": "location.altitude", "gps altitude": "location.altitude",
    "bearing": "location.heading", "heading": "location.heading", "course": "location.heading",
    "gps bearing": "location.heading",
    "gps speed": "location.speed", "speed (gps)": "location.speed", "gpsspeed": "location.speed",
    "horizontal dilution of precision": "location.hdop", "hdop": "location.hdop",
    "gps accuracy": "location.accuracy", "accuracy": "location.accuracy",
    "gps satellites": "location.satellites", "satellites": "location.satellites", "sats": "location.satellites",
    "engine rpm": "engine.rpm", "rpm": "engine.rpm", "engine speed": "engine.rpm",
    "speed": "vehicle.speed", "speed (obd)": "vehicle.speed", "vehicle speed": "vehicle.speed",
    "obd speed": "vehicle.speed", "odometer": "vehicle.odometer",
    "engine load": "engine.load", "calculated engine load value": "engine.load",
    "engine coolant temp": "engine.coolant_temp", "engine coolant temperature": "engine.coolant_temp",
    "coolant temp": "engine.coolant_temp", "coolant temperature": "engine.coolant_temp",
    "engine oil temp": "engine.oil_temp", "engine oil temperature": "engine.oil_temp", "oil temp": "engine.oil_temp",
    "engine oil pressure": "engine.oil_pressure", "oil pressure": "engine.oil_pressure", "oil life": "engine.oil_life",
    "intake air temp iat": "engine.intake_temp", "intake air temperature": "engine.intake_temp",
    "intake manifold press": "engine.intake_pressure", "intake manifold pressure": "engine.intake_pressure",
    "intake manifold absolute pressure": "engine.intake_pressure",
    "turbo boost & vacuum gauge": "engine.boost", "boost": "engine.boost", "boost pressure": "engine.boost",
    "mass air flow rate": "engine.maf", "maf": "engine.maf", "maf air flow rate": "engine.maf",
    "spark advance": "engine.timing_advance", "timing advance": "engine.timing_advance",
    "throttle position": "engine.throttle", "throttle position(manifold)": "engine.throttle",
    "commanded throttle pos": "engine.throttle", "throttle": "engine.throttle",
    "fuel level": "fuel.level", "fuel level (from engine ecu)": "fuel.level", "fuel level input": "fuel.level",
    "ecm amb temp": "ambient.temp", "ambient air temp": "ambient.temp", "ambient air temperature": "ambient.temp",
    "barometric pressure": "engine.barometric_pressure",
    "hybrid pack remaining (soc)": "traction_battery.soc", "soc(raw)": "traction_battery.soc",
    "soc": "traction_battery.soc",
    "voltage (obd adapter)": "electrical.voltage", "voltage (control module)": "electrical.voltage",
    "control module voltage": "electrical.voltage", "obd module voltage": "electrical.voltage",
    "distance travel with mil on": "engine.mil_distance",
}  # fmt: skip
ASKED = ("speed", "temperature", "pressure", "length", "volume flow", "mass flow")
"""Quantities for which tools use different units: a column without one is not guessed."""
METRES = ("location.altitude", "location.accuracy")
"""Lengths that every tool gives in metres where it does not say otherwise."""
_UNIT = re.compile(r"\s*(?:\(([^()]*(?:\([^()]*\))?[^()]*)\)|\[([^\[\]]*)\])\s*$")
_MARKS = re.compile(r"^[*?\s]+")
_PREFIX = re.compile(r"^master\s+")


@dataclass(frozen=True)
class Column:
    """A column that is sent."""

    index: int
    title: str
    signal: str
    definition: Optional[SignalDefinition]
    """The catalog's entry; None for a signal of one's own."""
    conversion: Optional[Conversion]
    needs_unit: bool = False
    """Neither the header nor an option gives a unit: only cells that bring one count."""


def split_title(title: str) -> Tuple[str, str]:
    """A column's plain name in lower case, and its unit as written."""
    text = _PREFIX.sub("", _MARKS.sub("", title.strip()), 1)
    text = re.sub(r"^[Mm]aster\s+", "", text)
    match = _UNIT.search(text)
    if match and text.lower() not in KNOWN:
        return text[: match.start()].strip().lower(), (match.group(1) or match.group(2) or "").strip()
    return text.lower(), ""


def plain_name(title: str) -> str:
    """A column's name as options and files both may write it, with or without marks and unit."""
    return split_title(title)[0]


def signal_named(name: str, extra: Dict[str, str]) -> str:
    """The signal that a plain column name stands for; empty where none is known."""
    plain = split_title(name)[0]
    found = extra.get(name) or extra.get(plain) or KNOWN.get(name) or KNOWN.get(plain)
    return found or (name if well_formed(name) else "")


def columns_of(
    header: List[str], extra: Dict[str, str], units: Dict[str, str], used: Tuple[int, ...], row: Sequence[str] = ()
) -> Tuple[List[Column], List[str]]:
    """The columns that are sent, and a note for each that is not.

    Args:
        extra: further names, in lower case, and their signals.
        units: units by column name, in lower case, where the header has none or a wrong one.
        used: columns that hold the time.
        row: units by column from a row below the header.
    """
    columns: List[Column] = []
    unknown: List[str] = []
    notes: List[str] = []
    for index, title in enumerate(header):
        if index in used or not title.strip():
            continue
        name, unit = split_title(title)
        unit = unit or (row[index].strip("[]() ") if index < len(row) else "")
        signal = signal_named(name, extra)
        if not signal:
            unknown.append(title.strip())
            continue
        try:
            columns.append(column_of(index, title.strip(), signal, units.get(name, unit)))
        except ValueError as error:
            notes.append(f"column {title.strip()!r} is left out: {error}")
    if unknown:
        shown = ", ".join(repr(title) for title in unknown[:12])
        more = f" and {len(unknown) - 12} more" if len(unknown) > 12 else ""
        notes.append(f"columns that are not known: {shown}{more}; --map NAME=SIGNAL sends one")
    return columns, notes


def column_of(index: int, title: str, signal: str, unit: str) -> Column:
    """A column of a signal; raises `ValueError` with the reason where its unit is unknown, wrong or missing."""
    definition = BY_NAME.get(signal)
    if definition is None or definition.kind != "number":
        return Column(index, title, signal, definition, None)
    if unit:
        return Column(index, title, signal, definition, _converted(unit, definition.unit))
    quantity = UNITS[definition.unit].quantity if definition.unit in UNITS else ""
    named = title.strip().lower() == signal  # who writes the portal's name means the portal's unit
    if quantity in ASKED and not named and signal not in METRES:
        return Column(index, title, signal, definition, None, needs_unit=True)
    return Column(index, title, signal, definition, None)


def _converted(unit: str, wanted: str) -> Optional[Conversion]:
    try:
        found = conversion(unit, wanted)
    except (UnknownUnit, OtherQuantity) as error:
        raise ValueError(str(error)) from None
    return None if found == Conversion(1.0, 0.0) else found
