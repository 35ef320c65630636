"""Version 2's answers as version 3's signals: the same codes and bodies, so that nothing behind knows the difference.

Version 2 tells percentages from 0 to 1, units by a header for the whole item, and closures by single words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from integrations.sources.smartcar.conversions import dict_of, list_of, number_of
from integrations.sources.smartcar.signals import CODES, Signal, error_of, first_time, word_of

Bodies = dict[str, Mapping[str, Any] | None]
"""By code; None where the answer does not tell it."""
Units = Mapping[str, str]
Converter = Callable[[Any, Units], Bodies]

_METRIC = {"length": "km", "volume": "liters", "pressure": "kPa"}
_IMPERIAL = {"length": "miles", "volume": "gallons", "pressure": "psi"}
_TIMES = ("sc-data-age", "sc-fetched-at")
_PLACES = {"frontLeft": (0, 0), "frontRight": (0, 1), "backLeft": (1, 0), "backRight": (1, 1)}
_OPEN = {"OPEN": True, "CLOSED": False, "LOCKED": False, "UNLOCKED": False}
"""A door has one word only, so that one which is locked or unlocked is not open."""
_LOCKED = {"LOCKED": True, "UNLOCKED": False}
_SYSTEMS = {"tpms": "tirepressuremonitoring"}
"""Where version 3 has another word for a system than version 2."""
_SYSTEM_CODES = tuple(code for code in CODES if code.startswith("diagnostics-") and "-dtc" not in code)
_EVENTS = {
    "CHARGING_STARTED": "CHARGING",
    "CHARGING_STOPPED": "NOT_CHARGING",
    "CHARGING_COMPLETED": "FULLY_CHARGED",
}


def legacy_signals_of(data: Any) -> list[Signal]:
    """The signals in a batch answer or in a webhook's items; unknown paths are left out."""
    return [signal for item in list_of(data) if isinstance(item, dict) for signal in _signals(item)]


def legacy_event_signals(event_type: str, at: float) -> list[Signal]:
    """What an event of charging says, at its time in epoch seconds; nothing for another event."""
    status = _EVENTS.get(event_type)
    return [Signal(code, body, at) for code, body in _charging(status).items() if body is not None]


def _signals(item: Mapping[str, Any]) -> list[Signal]:
    path = item.get("path")
    known = PATHS.get("/" + path.strip("/").lower()) if isinstance(path, str) else None
    if known is None:
        return []
    codes, converter = known
    told = item.get("headers")
    headers = {name.lower(): value for name, value in told.items()} if isinstance(told, dict) else {}
    time = first_time(headers, _TIMES)
    status, body = number_of(item.get("code")), item.get("body")
    if status is not None and not 200 <= status < 300:
        error = error_of(body, "UNKNOWN")
        return [Signal(code, None, time, error) for code in codes]
    units = _IMPERIAL if word_of(headers.get("sc-unit-system")) == "IMPERIAL" else _METRIC
    return [Signal(code, found, time) for code, found in converter(body, units).items() if found is not None]


def _value(value: Any, unit: str | None = None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"value": value} if unit is None else {"value": value, "unit": unit}


def _percent(value: Any) -> float | None:
    fraction = number_of(value)
    return None if fraction is None else number_of(round(100 * fraction, 6))


def _simple(code: str, key: str, quantity: str = "") -> Converter:
    def convert(body: Any, units: Units) -> Bodies:
        return {code: _value(dict_of(body).get(key), units.get(quantity))}

    return convert


def _location(body: Any, units: Units) -> Bodies:
    return {"location-preciselocation": dict_of(body) or None}


def _battery(body: Any, units: Units) -> Bodies:
    told = dict_of(body)
    return {
        "tractionbattery-stateofcharge": _value(_percent(told.get("percentRemaining")), "percent"),
        "tractionbattery-range": _value(told.get("range"), units["length"]),
    }


def _capacity(body: Any, units: Units) -> Bodies:
    """Of two addresses: the elder has a number, the younger an object or null."""
    told = dict_of(body)
    held = told.get("capacity")
    source = dict_of(held).get("source")
    capacity = number_of(dict_of(held).get("nominal") if isinstance(held, dict) else held)
    available = list_of(told.get("availableCapacities"))
    whole = {"capacity": capacity, "source": source, "availableCapacities": available, "unit": "kWh"}
    return {"tractionbattery-nominalcapacity": whole if capacity is not None else None}


def _charge(body: Any, units: Units) -> Bodies:
    told = dict_of(body)
    plugged: Bodies = {"charge-ischargingcableconnected": _value(told.get("isPluggedIn"))}
    return plugged | _charging(word_of(told.get("state")) or None)


def _charging(status: str | None) -> Bodies:
    known = status in _EVENTS.values()
    return {
        "charge-detailedchargingstatus": _value(status),
        "charge-ischarging": _value(status == "CHARGING") if known else None,
    }


def _charge_limit(body: Any, units: Units) -> Bodies:
    limit = _percent(dict_of(body).get("limit"))
    values = [{"type": "GLOBAL", "limit": limit, "condition": None}]
    whole = {"values": values, "activeLimit": limit, "unit": "percent"}
    return {"charge-chargelimits": whole if limit is not None else None}


def _fuel(body: Any, units: Units) -> Bodies:
    told = dict_of(body)
    return {
        "internalcombustionengine-amountremaining": _value(told.get("amountRemaining"), units["volume"]),
        "internalcombustionengine-fuellevel": _value(_percent(told.get("percentRemaining")), "percent"),
        "internalcombustionengine-range": _value(told.get("range"), units["length"]),
    }


def _oil(body: Any, units: Units) -> Bodies:
    life = _percent(dict_of(body).get("lifeRemaining"))
    return {"internalcombustionengine-oillife": _value(life, "percent")}


def _tires(body: Any, units: Units) -> Bodies:
    told = dict_of(body)
    values = [
        {"row": row, "column": column, "tirePressure": told[name]}
        for name, (row, column) in _PLACES.items()
        if told.get(name) is not None
    ]
    whole = {"values": values, "rowCount": 2, "columnCount": 2, "unit": units["pressure"]}
    return {"wheel-tires": whole if values else None}


def _security(body: Any, units: Units) -> Bodies:
    told = dict_of(body)
    storage, flap = _words(told.get("storage")), _words(told.get("chargingPort")).values()
    sunroof = _words(told.get("sunroof")).values()
    return {
        "closure-islocked": _value(told.get("isLocked")),
        "closure-doors": _grid(told.get("doors")),
        "closure-windows": _grid(told.get("windows")),
        "closure-sunroof": _opening(next(iter(sunroof), "")),
        "closure-fronttrunk": _opening(storage.get("front", "")),
        "closure-reartrunk": _opening(storage.get("rear", "")),
        "charge-ischargingportflapopen": _value(_OPEN.get(next(iter(flap), ""))),
    }


def _words(entries: Any) -> dict[str, str]:
    """``[{"type": "front", "status": "CLOSED"}]`` as words by type."""
    told = (entry for entry in list_of(entries) if isinstance(entry, dict))
    return {kind: word_of(entry.get("status")) for entry in told if isinstance(kind := entry.get("type"), str)}


def _opening(word: str) -> dict[str, Any] | None:
    found = {"isOpen": _OPEN.get(word), "isLocked": _LOCKED.get(word)}
    return found if any(value is not None for value in found.values()) else None


def _grid(entries: Any) -> dict[str, Any] | None:
    words = _words(entries)
    values = [
        {"row": row, "column": column, **found}
        for name, (row, column) in _PLACES.items()
        if (found := _opening(words.get(name, "")))
    ]
    return {"values": values, "rowCount": 2, "columnCount": 2} if values else None


def _systems(body: Any, units: Units) -> Bodies:
    found: Bodies = dict.fromkeys(_SYSTEM_CODES)
    for entry in list_of(dict_of(body).get("systems")):
        told = dict_of(entry)
        name = word_of(told.get("systemId")).removeprefix("SYSTEM_").replace("_", "").lower()
        if name.isascii() and name.isalnum():
            status = {"status": told.get("status"), "description": told.get("description")}
            found[f"diagnostics-{_SYSTEMS.get(name, name)}"] = status
    return found


def _codes(body: Any, units: Units) -> Bodies:
    values = dict_of(body).get("activeCodes")
    return {"diagnostics-dtclist": {"values": values} if isinstance(values, list) else None}


def _services(body: Any, units: Units) -> Bodies:
    """A list by experience, one record by the documentation."""
    records = [_service(entry) for entry in (body if isinstance(body, list) else [body]) if isinstance(entry, dict)]
    return {"service-records": {"values": records} if records or body == [] else None}


def _service(entry: Mapping[str, Any]) -> dict[str, Any]:
    cost = dict_of(entry.get("serviceCost"))
    tasks = [dict_of(task) for task in list_of(entry.get("serviceTasks"))]
    details = [dict_of(detail) for detail in list_of(entry.get("serviceDetails"))]
    return {
        "id": entry.get("serviceId"),
        "time": entry.get("serviceDate"),
        "odometer": entry.get("odometerDistance"),
        "cost": {"amount": cost.get("totalCost"), "currency": cost.get("currency")},
        "tasks": [{"id": task.get("taskId"), "description": task.get("taskDescription")} for task in tasks],
        "details": [{"id": detail.get("type"), "description": detail.get("value")} for detail in details],
    }


PATHS: Mapping[str, tuple[tuple[str, ...], Converter]] = {
    path: (tuple(converter({}, _METRIC)), converter)
    for path, converter in {
        "/battery": _battery,
        "/battery/capacity": _capacity,
        "/battery/nominal_capacity": _capacity,
        "/charge": _charge,
        "/charge/limit": _charge_limit,
        "/diagnostics/dtcs": _codes,
        "/diagnostics/system_status": _systems,
        "/engine/oil": _oil,
        "/fuel": _fuel,
        "/location": _location,
        "/odometer": _simple("odometer-traveleddistance", "distance", "length"),
        "/security": _security,
        "/service/history": _services,
        "/tires/pressure": _tires,
        "/vin": _simple("vehicleidentification-vin", "vin"),
    }.items()
}
"""What tells of each path, and the codes that it tells: they share the error of a call that failed."""
