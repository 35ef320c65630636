"""Signals as the makers' cloud tells them, and what each is in the catalog. Pure: no clock, no database.

Webhooks and version 3 write a signal differently, and either differs from its documentation: both are read here, with
times as ISO 8601, seconds or milliseconds, and whatever does not fit is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integrations.sources.smartcar import bodies as shape
from integrations.sources.smartcar import conversions as unit
from integrations.sources.smartcar.bodies import Reader, Readings
from integrations.sources.smartcar.conversions import list_of, number_of

CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}", re.ASCII)
TIMES = ("oemUpdatedAt", "retrievedAt", "fetchedAt", "ingestedAt")
"""Best first: when the car said it, when its maker was asked, when Smartcar noted it."""
MILLISECONDS_FROM = 1e11
"""As seconds that is the year 5138, as milliseconds 1973."""
YEAR_10000 = 253_402_300_800.0
FAILED = ("ERROR", "UNAVAILABLE")


@dataclass(frozen=True)
class SignalError:
    """Why a signal has no new value."""

    type: str
    code: str


@dataclass(frozen=True)
class Signal:
    """One signal of a delivery or an answer."""

    code: str
    """Such as ``tractionbattery-stateofcharge``."""
    body: Mapping[str, Any] | None
    """None where there is no new value."""
    time: float | None
    """Epoch seconds; None for unknown."""
    error: SignalError | None = None


def signals_of(items: Any) -> list[Signal]:
    """The signals in a list of a webhook or of a version 3 answer; what is none is left out."""
    found = (_signal(item) for item in list_of(items) if isinstance(item, dict))
    return [signal for signal in found if signal is not None]


def _signal(item: Mapping[str, Any]) -> Signal | None:
    attributes = item.get("attributes")
    inner = attributes if isinstance(attributes, dict) else item
    told = inner.get("code") or item.get("id")
    code = told.strip().lower().replace(".", "-") if isinstance(told, str) else ""
    if not CODE.fullmatch(code):
        return None
    error = _failure(inner.get("status"))
    body = inner.get("body")
    meta = item.get("meta") or inner.get("meta")
    return Signal(
        code,
        body if isinstance(body, dict) and error is None else None,  # an error may still carry the last good value
        first_time(meta, TIMES),
        error,
    )


def _failure(status: Any) -> SignalError | None:
    """The error of a status, which may be a word or an object, or absent where all is well."""
    holder = status if isinstance(status, dict) else {"value": status}
    value = word_of(holder.get("value"))
    error = holder.get("error")
    if value in FAILED or (not value and isinstance(error, dict) and error):
        return error_of(error, value or FAILED[0])
    return None


def error_of(body: Any, otherwise: str) -> SignalError:
    """The type and code in an error of any generation; ``otherwise`` is the type where there is none."""
    told = body if isinstance(body, dict) else {}
    return SignalError(word_of(told.get("type")) or otherwise, word_of(told.get("code")))


def word_of(value: Any) -> str:
    """An upper-case word of a maker's vocabulary; older answers have it in lower case, and null for none."""
    return value.strip().upper()[:80] if isinstance(value, str) else ""


def first_time(times: Any, keys: tuple[str, ...]) -> float | None:
    """The first of the times that is known."""
    told = (epoch_of(times.get(key)) for key in keys) if isinstance(times, dict) else ()
    return next((time for time in told if time is not None), None)


def epoch_of(value: Any) -> float | None:
    """Epoch seconds of a time in ISO 8601, seconds or milliseconds; None for zero and for what is no time."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    else:
        told = number_of(value) or 0.0
        seconds = told / 1000 if told >= MILLISECONDS_FROM else told
    return seconds if 0 < seconds < YEAR_10000 else None


def readings_of(signal: Signal) -> Readings:
    """The readings in a signal: catalog names and values in the catalog's units.

    Returns:
        Nothing for a code that is not mapped and for a body that does not fit.
    """
    reader = CODES.get(signal.code)
    if reader is None or signal.body is None or signal.error is not None:
        return {}
    return reader(signal.body)


def is_mapped(code: str) -> bool:
    """Whether the catalog has a name for what a code tells."""
    return code in CODES


_CHARGING = {"CHARGING": "charging", "FULLY_CHARGED": "complete", "NOT_CHARGING": "stopped"}
_GEARS = {"PARK": "P", "REVERSE": "R", "NEUTRAL": "N", "DRIVE": "D"}
"""The letters that cars show, and that other sources send."""
_HEALTH = {"OK": "OK", "ALERT": "ALERT"}
_SYSTEMS = (
    "abs", "active_safety", "airbag", "brake_fluid", "driver_assistance", "emissions", "ev_battery_conditioning",
    "ev_charging", "ev_drive_unit", "ev_hv_battery", "lighting", "mil", "oil_life", "oil_pressure", "oil_temperature",
    "telematics", "tire_pressure", "tire_pressure_monitoring", "transmission", "washer_fluid", "water_in_fuel",
)  # fmt: skip
"""Named as in the catalog; without the underscores they are the codes' second halves."""


def _opening(name: str) -> Reader:
    return shape.flags({"isOpen": f"closure.{name}_open", "isLocked": f"closure.{name}_locked"})


CODES: Mapping[str, Reader] = {
    "charge-amperage": shape.number("charge.current", unit.CURRENT),
    "charge-amperagemax": shape.number("charge.current_max", unit.CURRENT),
    "charge-amperagerequested": shape.number("charge.current_requested", unit.CURRENT),
    "charge-chargelimits": shape.charge_limit,
    "charge-chargeportstatuscolor": shape.text("charge.port_color"),
    "charge-chargerate": shape.number("charge.rate", unit.SPEED),
    "charge-chargerecords": shape.listing("charge.records"),
    "charge-chargerphases": shape.count("charge.phases"),
    "charge-chargetimers": shape.listing("charge.timers"),
    "charge-chargingconnectortype": shape.text("charge.connector"),
    "charge-detailedchargingstatus": shape.word("charge.state", _CHARGING),
    "charge-energyadded": shape.number("charge.energy_added", unit.ENERGY),
    "charge-fastchargertype": shape.text("charge.fast_charger_type"),
    # Not charge.state: both come together, and a full battery would be called stopped by the one that comes last.
    "charge-ischarging": shape.flag("charge.active"),
    "charge-ischargingcableconnected": shape.flag("charge.plugged_in"),
    "charge-ischargingcablelatched": shape.flag("charge.cable_latched"),
    "charge-ischargingportflapopen": shape.flag("charge.port_open"),
    "charge-isfastchargerpresent": shape.flag("charge.fast_charger"),
    "charge-timetocomplete": shape.number("charge.time_to_complete", unit.DURATION),
    "charge-voltage": shape.number("charge.voltage", unit.VOLTAGE),
    "charge-wattage": shape.number("charge.power", unit.POWER),
    "climate-externaltemperature": shape.number("ambient.temp", unit.TEMPERATURE),
    "climate-internaltemperature": shape.number("cabin.temp", unit.TEMPERATURE),
    "closure-doors": shape.grid(
        {"isOpen": "closure.door_{}_open", "isLocked": "closure.door_{}_locked"}, "values", "doors"
    ),
    "closure-enginecover": shape.flags({"isOpen": "closure.hood_open"}),
    "closure-fronttrunk": _opening("front_trunk"),
    "closure-islocked": shape.flag("vehicle.locked"),
    "closure-reartrunk": _opening("rear_trunk"),
    "closure-sunroof": shape.flags({"isOpen": "closure.sunroof_open"}),
    "closure-tailgate": _opening("tailgate"),
    "closure-windows": shape.grid({"isOpen": "closure.window_{}_open"}, "values", "windows"),
    "connectivitysoftware-currentfirmwareversion": shape.text("vehicle.firmware"),
    "connectivitystatus-isasleep": shape.flag("connectivity.asleep"),
    "connectivitystatus-isdigitalkeypaired": shape.flag("connectivity.digital_key"),
    "connectivitystatus-isonline": shape.flag("connectivity.online"),
    "diagnostics-dtccount": shape.count("engine.dtc_count"),
    "diagnostics-dtclist": shape.trouble_codes,
    **{
        f"diagnostics-{name.replace('_', '')}": shape.word(f"diagnostics.{name}", _HEALTH, "status")
        for name in _SYSTEMS
    },
    "hvac-cabintargettemperature": shape.number("climate.target_temp", unit.TEMPERATURE),
    "hvac-iscabinhvacactive": shape.flag("climate.active"),
    "hvac-isfrontdefrosteractive": shape.flag("climate.front_defroster"),
    "hvac-isreardefrosteractive": shape.flag("climate.rear_defroster"),
    "hvac-issteeringheateractive": shape.flag("climate.steering_heater"),
    "internalcombustionengine-amountremaining": shape.number("fuel.amount", unit.VOLUME),
    "internalcombustionengine-fuellevel": shape.fuel_level,
    "internalcombustionengine-oillife": shape.number("engine.oil_life", unit.PERCENT),
    # Neither range is vehicle.range: a plug-in hybrid tells both, and one would overwrite the other.
    "internalcombustionengine-range": shape.number("fuel.range", unit.LENGTH),
    "location-isathome": shape.flag("location.at_home"),
    "location-preciselocation": shape.position,
    "lowvoltagebattery-stateofcharge": shape.number("electrical.soc", unit.PERCENT),
    "lowvoltagebattery-status": shape.text("electrical.status"),
    "motion-currentspeed": shape.number("vehicle.speed", unit.SPEED),
    "odometer-traveleddistance": shape.number("vehicle.odometer", unit.LENGTH),
    "service-isinservice": shape.flag("service.in_service"),
    "service-records": shape.listing("service.records"),
    "surveillance-brand": shape.text("surveillance.brand"),
    "surveillance-isenabled": shape.flag("surveillance.enabled"),
    "tractionbattery-estimatedrange": shape.number("traction_battery.range_estimated", unit.LENGTH),
    "tractionbattery-idealrange": shape.number("traction_battery.range_ideal", unit.LENGTH),
    "tractionbattery-isheateractive": shape.flag("traction_battery.heater"),
    "tractionbattery-maxrangechargecounter": shape.count("traction_battery.max_range_charges"),
    "tractionbattery-nominalcapacity": shape.number("traction_battery.capacity", unit.ENERGY, "capacity"),
    "tractionbattery-range": shape.battery_range,
    "tractionbattery-ratedrange": shape.number("traction_battery.range_rated", unit.LENGTH),
    "tractionbattery-stateofcharge": shape.number("traction_battery.soc", unit.PERCENT),
    "transmission-drivemode": shape.text("vehicle.drive_mode", "canonical", "oemDisplayName", "value"),
    "transmission-gearstate": shape.word("vehicle.gear", _GEARS, others=True),
    "vehicleidentification-exteriorcolor": shape.text("identity.color"),
    "vehicleidentification-nickname": shape.text("identity.nickname"),
    "vehicleidentification-packages": shape.listing("identity.packages"),
    "vehicleidentification-trim": shape.text("identity.trim"),
    "vehicleidentification-vin": shape.text("identity.vin"),
    "vehicleuseraccount-permissions": shape.listing("account.permissions"),
    "vehicleuseraccount-role": shape.text("account.role"),
    "wheel-style": shape.text("identity.wheel_style"),
    "wheel-tires": shape.tires,
}
"""What each code is; every reader takes a body and gives readings."""
