"""The shapes that signals' bodies have, and a reader for each: from a body to readings in the catalog's units.

A reader takes any JSON object and never raises: what does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from integrations.sources.smartcar.conversions import (
    LENGTH,
    PERCENT,
    PRESSURE,
    Quantity,
    converted,
    list_of,
    listing_of,
    number_of,
    text_of,
)
from telemetry.catalog import LONGEST_TEXT

Body = Mapping[str, Any]
Readings = dict[str, float | bool | str]
Reader = Callable[[Body], Readings]

_PLACES: Mapping[tuple[float, float], str] = {
    (0, 0): "front_left",
    (0, 1): "front_right",
    (1, 0): "rear_left",
    (1, 1): "rear_right",
}
"""By row and column. The catalog ends with the second row: a third one of a van is not taken for the second."""
PLAUSIBLE_TIRE = (50.0, 1500.0)
"""Kilopascals between a flat tyre of a car and a lorry's."""
USUAL_TIRE = (100.0, 1100.0)
_RANGES = {
    "ESTIMATED": "traction_battery.range_estimated",
    "IDEAL_CONDITIONS": "traction_battery.range_ideal",
    "RATED": "traction_battery.range_rated",
}


def number(name: str, quantity: Quantity, key: str = "value") -> Reader:
    """``{"value": 57, "unit": "percent"}``."""

    def read(body: Body) -> Readings:
        return _told({name: converted(body.get(key), body.get("unit"), quantity)})

    return read


def count(name: str) -> Reader:
    """``{"value": 2, "unit": "count"}``; what is counted does not change the number."""

    def read(body: Body) -> Readings:
        return _told({name: number_of(body.get("value"))})

    return read


def flag(name: str) -> Reader:
    """``{"value": true}``."""
    return flags({"value": name})


def flags(names: Mapping[str, str]) -> Reader:
    """``{"isOpen": false, "isLocked": null}``: names by key."""

    def read(body: Body) -> Readings:
        return _told({name: _boolean(body.get(key)) for key, name in names.items()})

    return read


def text(name: str, *keys: str) -> Reader:
    """``{"value": "CCS"}``; the first of ``keys`` that holds a text."""

    def read(body: Body) -> Readings:
        found = (text_of(body.get(key)) for key in keys or ("value",))
        return _told({name: next(filter(None, found), None)})

    return read


def word(name: str, words: Mapping[str, str], key: str = "value", *, others: bool = False) -> Reader:
    """One of a few words, as the catalog has them.

    Args:
        others: whether to take a word that is not among them as it stands.
    """

    def read(body: Body) -> Readings:
        told = text_of(body.get(key))
        return _told({name: words.get(told.upper(), told if others else None) if told else None})

    return read


def listing(name: str) -> Reader:
    """``{"values": […]}`` as one text; a text where the maker sends one instead of a list."""

    def read(body: Body) -> Readings:
        values = body.get("values", body.get("value"))
        return _told({name: listing_of(values) if isinstance(values, list) else text_of(values)})

    return read


def grid(names: Mapping[str, str], *keys: str) -> Reader:
    """``{"values": [{"row": 0, "column": 0, "isOpen": false}]}``: row 0 is the front, column 0 the left.

    Args:
        names: by the key in an entry, with ``{}`` for the place.
        keys: what the list is called; the documentation's examples differ from its tables here.
    """

    def read(body: Body) -> Readings:
        readings: Readings = {}
        entries = next((found for key in keys if (found := list_of(body.get(key)))), [])
        for place, entry in _placed(entries):
            values = {name.format(place): _boolean(entry.get(key)) for key, name in names.items()}
            readings.update(_told(values))
        return readings

    return read


def tires(body: Body) -> Readings:
    """Pressures by wheel; their unit is documented nowhere, was kPa in version 2, and is often missing or wrong."""
    readings: Readings = {}
    for place, entry in _placed(list_of(body.get("values"))):
        unit = entry.get("unit", body.get("unit"))
        readings.update(_told({f"tire.{place}": _tire_pressure(entry.get("tirePressure"), unit)}))
    return readings


def _tire_pressure(value: Any, unit: Any) -> float | None:
    """A pressure in kPa: in the unit that is told where that gives a tyre's pressure, else in the one that does."""
    told = converted(value, unit, PRESSURE)
    if told == 0 or (told is not None and PLAUSIBLE_TIRE[0] <= told <= PLAUSIBLE_TIRE[1]):
        return told
    others = (converted(value, other, PRESSURE) for other in ("kPa", "bar", "psi", "MPa"))
    return next((kpa for kpa in others if kpa is not None and USUAL_TIRE[0] <= kpa <= USUAL_TIRE[1]), told)


def charge_limit(body: Body) -> Readings:
    """The limit in effect; while nothing charges the one for everywhere, else the first of those for some places."""
    entries = [entry for entry in list_of(body.get("values")) if isinstance(entry, dict)]
    entries.sort(key=lambda entry: (text_of(entry.get("type")) or "").upper() != "GLOBAL")
    candidates = [body.get("activeLimit"), *(entry.get("limit") for entry in entries)]
    limits = (converted(candidate, body.get("unit"), PERCENT) for candidate in candidates)
    return _told({"charge.limit": next((limit for limit in limits if limit is not None), None)})


def battery_range(body: Body) -> Readings:
    """The range, and what else the maker reckons under ``additionalValues``."""
    unit = body.get("unit")
    found = {"traction_battery.range": converted(body.get("value"), unit, LENGTH)}
    for entry in list_of(body.get("additionalValues")):
        name = _RANGES.get((text_of(entry.get("type")) or "").upper()) if isinstance(entry, dict) else None
        if name:
            found[name] = converted(entry.get("value"), entry.get("unit", unit), LENGTH)
    return _told(found)


def fuel_level(body: Body) -> Readings:
    """Percent; some makers send a fraction, which can be told by its missing unit only."""
    level, unit = number_of(body.get("value")), body.get("unit")
    if (unit is None or unit == "") and level is not None and 0 <= level <= 1:
        unit = "fraction"
    return _told({"fuel.level": converted(level, unit, PERCENT)})


def position(body: Body) -> Readings:
    """Both coordinates or none: half a place would be joined with half of another one."""
    latitude, longitude = number_of(body.get("latitude")), number_of(body.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return {}
    heading = number_of(body.get("heading"))
    told = heading if heading is not None and 0 <= heading <= 360 else None
    return _told({"location.latitude": latitude, "location.longitude": longitude, "location.heading": told})


def trouble_codes(body: Body) -> Readings:
    """``P0300 P0420``; an empty list is told as such, since it says that all are gone."""
    values = body.get("values")
    if not isinstance(values, list):
        return {}
    entries = (entry.get("code") if isinstance(entry, dict) else entry for entry in values)
    codes = [code for entry in entries if (code := text_of(entry))]
    if values and not codes:
        return {}
    while len(" ".join(codes)) > LONGEST_TEXT:
        codes.pop()
    return {"diagnostics.codes": " ".join(codes)}


def _placed(entries: list[Any]) -> list[tuple[str, Body]]:
    """Entries with the names of their places; those elsewhere are left out."""
    found: list[tuple[str, Body]] = []
    for entry in entries:
        if isinstance(entry, dict):
            row, column = number_of(entry.get("row")), number_of(entry.get("column"))
            name = _PLACES.get((row, column)) if row is not None and column is not None else None
            if name:
                found.append((name, entry))
    return found


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _told(values: Mapping[str, float | bool | str | None]) -> Readings:
    return {name: value for name, value in values.items() if value is not None}
