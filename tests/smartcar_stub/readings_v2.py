"""Version 2's reading addresses, made from the same signals: percentages from 0 to 1, metric or imperial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Trouble

_MILES, _GALLONS, _PSI = 0.621371, 0.264172, 0.145038
_PLACES = {(0, 0): "frontLeft", (0, 1): "frontRight", (1, 0): "backLeft", (1, 1): "backRight"}


@dataclass(frozen=True)
class Reading:
    """One address: the permission and signal it needs, how it is read, and what imperial units do to its fields."""

    permission: str
    signal: str
    read: Callable[[Vehicle], dict[str, Any]]
    imperial: dict[str, float] | None = None


def body_of(reading: Reading, car: Vehicle, permissions: list[str], unit_system: str) -> dict[str, Any]:
    """The body of a reading; raises `Trouble` with the error that the car's signal has."""
    if reading.permission not in permissions:
        raise Trouble("PERMISSION")
    signal = car.signals.get(reading.signal)
    if signal is None:
        raise Trouble("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
    if signal.status != "SUCCESS":
        raise Trouble(signal.error_type or "UPSTREAM", signal.error_code)
    content = reading.read(car)
    if unit_system == "imperial" and reading.imperial:
        for name, factor in reading.imperial.items():
            content[name] = round(content[name] * factor, 2)
    return content


def _fraction(car: Vehicle, code: str) -> float:
    """0 to 1; some cars' fuel level is one already, without a unit."""
    value = float(car.value(code) or 0)
    return value if car.value(code, "unit") is None and value <= 1 else round(value / 100, 4)


def _attributes(car: Vehicle) -> dict[str, Any]:
    return {"id": car.id, "make": car.make, "model": car.model, "year": car.year}


def _location(car: Vehicle) -> dict[str, Any]:
    place = "location-preciselocation"
    return {name: car.value(place, name) for name in ("latitude", "longitude")}


def _battery(car: Vehicle) -> dict[str, Any]:
    soc = _fraction(car, "tractionbattery-stateofcharge")
    return {"percentRemaining": soc, "range": float(car.value("tractionbattery-range") or 0)}


def _charge(car: Vehicle) -> dict[str, Any]:
    return {"isPluggedIn": car.is_plugged, "state": car.value("charge-detailedchargingstatus")}


def _fuel(car: Vehicle) -> dict[str, Any]:
    group = "internalcombustionengine"
    return {
        "amountRemaining": float(car.value(f"{group}-amountremaining") or 0),
        "percentRemaining": _fraction(car, f"{group}-fuellevel"),
        "range": float(car.value(f"{group}-range") or 0),
    }


def _tires(car: Vehicle) -> dict[str, Any]:
    tires = car.value("wheel-tires", "values") or []
    return {_PLACES[t["row"], t["column"]]: float(t["tirePressure"]) for t in tires}


def _oil(car: Vehicle) -> dict[str, Any]:
    return {"lifeRemaining": _fraction(car, "internalcombustionengine-oillife")}


def _security(car: Vehicle) -> dict[str, Any]:
    doors = car.value("closure-doors", "values") or []
    windows = car.value("closure-windows", "values") or []
    storage = {"rear": "closure-reartrunk", "front": "closure-fronttrunk"}
    flap = "charge-ischargingportflapopen"

    def door(entry: dict[str, Any]) -> str:
        return "OPEN" if entry["isOpen"] else "LOCKED" if entry["isLocked"] else "UNLOCKED"

    def word(is_open: Any) -> str:
        return "OPEN" if is_open else "CLOSED"

    return {
        "isLocked": bool(car.value("closure-islocked")),
        "doors": [{"type": _PLACES[d["row"], d["column"]], "status": door(d)} for d in doors],
        "windows": [{"type": _PLACES[w["row"], w["column"]], "status": word(w["isOpen"])} for w in windows],
        "sunroof": [],
        "storage": [{"type": t, "status": word(car.value(c, "isOpen"))} for t, c in storage.items() if car.has(c)],
        "chargingPort": [{"type": "chargingPort", "status": word(car.value(flap))}] if car.has(flap) else [],
    }


READINGS = {
    "/": Reading("read_vehicle_info", "vehicleidentification-vin", _attributes),
    "/vin": Reading(
        "read_vin", "vehicleidentification-vin", lambda car: {"vin": car.value("vehicleidentification-vin")}
    ),
    "/odometer": Reading(
        "read_odometer",
        "odometer-traveleddistance",
        lambda car: {"distance": car.value("odometer-traveleddistance")},
        {"distance": _MILES},
    ),
    "/location": Reading("read_location", "location-preciselocation", _location),
    "/battery": Reading("read_battery", "tractionbattery-stateofcharge", _battery, {"range": _MILES}),
    "/charge": Reading("read_charge", "charge-ischarging", _charge),
    "/charge/limit": Reading("read_charge", "charge-chargelimits", lambda car: {"limit": car.charge_limit / 100}),
    "/fuel": Reading(
        "read_fuel",
        "internalcombustionengine-fuellevel",
        _fuel,
        {"amountRemaining": _GALLONS, "range": _MILES},
    ),
    "/tires/pressure": Reading("read_tires", "wheel-tires", _tires, dict.fromkeys(_PLACES.values(), _PSI)),
    "/engine/oil": Reading("read_engine_oil", "internalcombustionengine-oillife", _oil),
    "/security": Reading("read_security", "closure-islocked", _security),
}
