"""What happens to a car: charging, driving, locking. Each changes the signals as the car itself would report them."""

from __future__ import annotations

import math
from typing import Any

from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.state import State

KM_PER_DEGREE = 111.2
SOC = "tractionbattery-stateofcharge"
FUEL = "internalcombustionengine-fuellevel"


def set_soc(state: State, car: Vehicle, percent: float) -> None:
    """The battery's charge, and with it the range."""
    percent = round(min(100.0, max(0.0, percent)), 1)
    state.set_signal(car.id, SOC, {"value": percent, "unit": "percent"})
    body = {"value": round(car.electric_range_km * percent / 100), "additionalValues": [], "unit": "km"}
    state.set_signal(car.id, "tractionbattery-range", body)


def set_fuel(state: State, car: Vehicle, percent: float) -> None:
    """The tank's level, and with it litres and range."""
    percent = round(min(100.0, max(0.0, percent)), 1)
    group = "internalcombustionengine"
    litres, range_km = round(car.tank_litres * percent / 100, 1), round(car.fuel_range_km * percent / 100)
    state.set_signal(car.id, FUEL, {"unit": "percent", "value": percent})
    state.set_signal(car.id, f"{group}-amountremaining", {"value": litres, "unit": "liters"})
    state.set_signal(car.id, f"{group}-range", {"value": range_km, "unit": "kilometers"})


def set_plugged(state: State, car: Vehicle, plugged: bool) -> None:
    """Plug the car in, or out."""
    state.set_signal(car.id, "charge-ischargingcableconnected", {"value": plugged})
    state.set_signal(car.id, "charge-ischargingportflapopen", {"value": plugged})
    if not plugged and car.is_charging:
        set_charging(state, car, False)


def set_charging(state: State, car: Vehicle, charging: bool) -> None:
    """Start or stop; to charge plugs the car in."""
    if charging and not car.is_plugged:
        set_plugged(state, car, True)
    soc = float(car.value(SOC) or 0)
    words = "CHARGING" if charging else "FULLY_CHARGED" if soc >= car.charge_limit else "NOT_CHARGING"
    minutes = round(max(0.0, car.charge_limit - soc) * 3) if charging else 0
    report: dict[str, dict[str, Any]] = {
        "ischarging": {"value": charging},
        "detailedchargingstatus": {"value": words},
        "wattage": {"value": 7_100 if charging else 0, "unit": "watts"},
        "amperage": {"value": 16 if charging else 0, "unit": "ampere"},
        "voltage": {"value": 230 if charging else 0, "unit": "volts"},
        "timetocomplete": {"value": minutes},
    }
    for name, body in report.items():
        state.set_signal(car.id, f"charge-{name}", body)
    if charging:
        state.set_signal(car.id, "charge-chargerate", {"value": 53, "unit": "km/h"})
    else:
        state.set_error(car.id, "charge-chargerate", "VEHICLE_STATE", "NOT_CHARGING", stale=True)


def set_charge_limit(state: State, car: Vehicle, percent: int) -> None:
    """How far the car charges."""
    values = [{"type": "GLOBAL", "limit": percent, "condition": None}]
    body = {"values": values, "activeLimit": percent, "unit": "percent"}
    state.set_signal(car.id, "charge-chargelimits", body)


def set_locked(state: State, car: Vehicle, locked: bool) -> None:
    """Lock or unlock all doors."""
    state.set_signal(car.id, "closure-islocked", {"value": locked})
    doors = [{**door, "isLocked": locked} for door in car.value("closure-doors", "values") or []]
    state.set_signal(car.id, "closure-doors", {"values": doors, "rowCount": 2, "columnCount": 2})


def drive(state: State, car: Vehicle, km: float) -> None:
    """Move along the present heading, which turns a little: nobody leaves the map."""
    if car.is_plugged:
        set_plugged(state, car, False)
    odometer = round(float(car.value("odometer-traveleddistance") or 0) + km, 1)
    state.set_signal(car.id, "odometer-traveleddistance", {"value": odometer, "unit": "km"})
    place = (car.signals["location-preciselocation"].body or {}) if car.has("location-preciselocation") else {}
    latitude, longitude = float(place.get("latitude", 0)), float(place.get("longitude", 0))
    heading = math.radians(place.get("heading", 0))
    north, east = km * math.cos(heading), km * math.sin(heading)
    moved = {
        "latitude": round(latitude + north / KM_PER_DEGREE, 6),
        "longitude": round(longitude + east / (KM_PER_DEGREE * max(0.1, math.cos(math.radians(latitude)))), 6),
        "heading": round(place.get("heading", 0) + 12) % 360,
        "locationType": "CURRENT" if car.is_in_motion else "LAST_PARKED",
    }
    state.set_signal(car.id, "location-preciselocation", moved)
    if car.electric_range_km and (car.value(SOC) or not car.fuel_range_km):
        set_soc(state, car, float(car.value(SOC) or 0) - 100 * km / car.electric_range_km)
    else:
        set_fuel(state, car, float(car.value(FUEL) or 0) - 100 * km / car.fuel_range_km)


def tick(state: State, car: Vehicle) -> None:
    """A little time passes: a charging car charges, a driving one moves, a parked one reports once more."""
    with state.lock:
        if car.is_charging:
            soc = float(car.value(SOC) or 0)
            set_soc(state, car, min(max(soc, car.charge_limit), soc + 1))
            set_charging(state, car, float(car.value(SOC)) < car.charge_limit)
        elif car.is_in_motion:
            drive(state, car, 0.3)
        elif car.has("odometer-traveleddistance"):
            body = car.signals["odometer-traveleddistance"].body or {}
            state.set_signal(car.id, "odometer-traveleddistance", dict(body))
