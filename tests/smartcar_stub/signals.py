"""Signals: their names, the permission each needs, and their shapes in version 3 and in webhooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tests.smartcar_stub import errors

_GROUPS = {
    "Charge": "Amperage AmperageMax AmperageRequested ChargeLimits ChargePortStatusColor ChargeRate ChargeRecords "
    "ChargerPhases ChargeTimers ChargingConnectorType DetailedChargingStatus EnergyAdded FastChargerType IsCharging "
    "IsChargingCableConnected IsChargingCableLatched IsChargingPortFlapOpen IsFastChargerPresent TimeToComplete "
    "Voltage Wattage",
    "Climate": "ExternalTemperature InternalTemperature",
    "Closure": "Doors EngineCover FrontTrunk IsLocked RearTrunk Sunroof Tailgate Windows",
    "ConnectivitySoftware": "CurrentFirmwareVersion",
    "ConnectivityStatus": "IsAsleep IsDigitalKeyPaired IsOnline",
    "Diagnostics": "ABS ActiveSafety Airbag BrakeFluid DriverAssistance DTCCount DTCList Emissions "
    "EVBatteryConditioning EVCharging EVDriveUnit EVHVBattery Lighting MIL OilLife OilPressure OilTemperature "
    "Telematics TirePressure TirePressureMonitoring Transmission WasherFluid WaterInFuel",
    "HVAC": "CabinTargetTemperature IsCabinHVACActive IsFrontDefrosterActive IsRearDefrosterActive "
    "IsSteeringHeaterActive",
    "InternalCombustionEngine": "AmountRemaining FuelLevel OilLife Range",
    "Location": "IsAtHome PreciseLocation",
    "LowVoltageBattery": "StateOfCharge Status",
    "Motion": "CurrentSpeed",
    "Odometer": "TraveledDistance",
    "Service": "IsInService Records",
    "Surveillance": "Brand IsEnabled",
    "TractionBattery": "IsHeaterActive MaxRangeChargeCounter NominalCapacity Range StateOfCharge",
    "Transmission": "DriveMode GearState",
    "VehicleIdentification": "ExteriorColor Nickname Packages Trim VIN",
    "VehicleUserAccount": "Permissions Role",
    "Wheel": "Style Tires",
}
NAMES = {f"{group}-{name}".lower(): (group, name) for group, names in _GROUPS.items() for name in names.split()}

# Only where the documentation leaves no doubt; the other signals need no permission here.
_PERMISSIONS = {
    "charge": "read_charge",
    "climate": "read_climate",
    "closure": "read_security",
    "diagnostics": "read_diagnostics",
    "hvac": "read_climate",
    "internalcombustionengine": "read_fuel",
    "internalcombustionengine-oillife": "read_engine_oil",
    "location": "read_location",
    "motion": "read_speedometer",
    "odometer": "read_odometer",
    "service": "read_service_history",
    "tractionbattery": "read_battery",
    "vehicleidentification-vin": "read_vin",
    "wheel": "read_tires",
}
# The documentation's webhook examples spell some units differently from what is really sent.
_DOCUMENTED_UNITS = {"km": "kilometers", "ampere": "amps", "kWh": "kWhr"}


@dataclass
class Signal:
    """What the cloud knows under one code. Times are seconds since 1970."""

    body: dict[str, Any] | None
    oem_updated_at: float | None
    """None or 0: the maker does not say."""
    retrieved_at: float | None
    ingested_at: float
    status: str = "SUCCESS"
    error_type: str = ""
    error_code: str | None = None


def permission_of(code: str) -> str | None:
    """The permission that a signal needs."""
    return _PERMISSIONS.get(code) or _PERMISSIONS.get(code.split("-", maxsplit=1)[0])


def as_granted(code: str, signal: Signal, permissions: list[str]) -> Signal:
    """The signal as the application sees it: without its body where the owner did not grant it."""
    needed = permission_of(code)
    if needed is None or needed in permissions:
        return signal
    return replace(signal, body=None, oem_updated_at=None, retrieved_at=None, status="ERROR", error_type="PERMISSION",
                   error_code=None)  # fmt: skip


def iso(at: float) -> str:
    """A time as the version 3 API writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(at: float | None) -> int:
    return round((at or 0) * 1000)


def named(code: str) -> dict[str, str]:
    """A signal's code, name and group."""
    group, name = NAMES.get(code, ("Unknown", code))
    return {"code": code, "name": name, "group": group}


def resource(code: str, signal: Signal, vehicle_url: str, time_format: str) -> dict[str, Any]:
    """The signal as the version 3 API gives it; an ERROR keeps its stale body if it has one."""
    status: dict[str, Any] = {"value": signal.status}
    if signal.error_type:
        error_code = signal.error_code or "UNKNOWN"
        status["error"] = {
            "type": signal.error_type,
            "code": error_code,
            "title": errors.title(error_code),
            "detail": errors.sentence(signal.error_type, signal.error_code),
            "description": "Deprecated. Use detail",
            "resolution": {"type": errors.RESOLUTION.get(signal.error_type, "UNKNOWN_RESOLUTION_TYPE")},
        }
    attributes: dict[str, Any] = {**named(code), "status": status}
    if signal.body is not None:
        attributes["body"] = signal.body
    times = {
        "ingestedAt": signal.ingested_at,
        "retrievedAt": signal.retrieved_at,
        "oemUpdatedAt": signal.oem_updated_at,
    }
    writers: dict[str, Callable[[float], str | int]] = {"iso": iso, "ms": milliseconds, "s": lambda at: round(at)}
    write = writers[time_format]
    return {
        "id": code,
        "type": "signal",
        "attributes": attributes,
        "meta": {name: write(at) for name, at in times.items() if at},
        "links": {"self": f"{vehicle_url}/signals/{code}"},
    }


def event_entry(code: str, signal: Signal, shape: str) -> dict[str, Any]:
    """The signal as a webhook carries it, in the captured or in the documented shape."""
    if signal.status != "SUCCESS":
        error = {"type": signal.error_type, "code": signal.error_code}
        return {**named(code), "status": {"value": signal.status, "error": error}}
    body = dict(signal.body or {})
    if shape == "docs" and body.get("unit") in _DOCUMENTED_UNITS:
        body["unit"] = _DOCUMENTED_UNITS[body["unit"]]
    fetched = "fetchedAt" if shape == "docs" else "retrievedAt"
    meta = {"oemUpdatedAt": milliseconds(signal.oem_updated_at), fetched: milliseconds(signal.retrieved_at)}
    entry = {**named(code), "body": body, "meta": meta}
    return entry if shape == "docs" else {**entry, "status": {"value": "SUCCESS"}}
