"""Commands to a car, the same for both generations of the API: who may, whether the car can now, and what it does.

The rules are those of Smartcar's simulator: a moving car neither locks nor unlocks; charging needs the plug.
"""

from __future__ import annotations

from typing import Any

from tests.smartcar_stub import simulation
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Trouble
from tests.smartcar_stub.records import Connection
from tests.smartcar_stub.state import State

# The permission that a command needs, and the signal that only a capable car has.
COMMANDS = {
    "charge/start": ("control_charge", "charge-ischarging"),
    "charge/stop": ("control_charge", "charge-ischarging"),
    "charge/set-limit": ("control_charge", "charge-chargelimits"),
    "charge-port/open": ("control_charge", "charge-ischargingportflapopen"),
    "charge-port/close": ("control_charge", "charge-ischargingportflapopen"),
    "security/lock": ("control_security", "closure-islocked"),
    "security/unlock": ("control_security", "closure-islocked"),
    "navigation/set-destination": ("control_navigation", "location-preciselocation"),
}


def check(connection: Connection, car: Vehicle, command: str, parameters: dict[str, Any]) -> None:
    """Raises `Trouble` where the command cannot be done."""
    if command not in COMMANDS:
        raise Trouble("RESOURCE_NOT_FOUND", "PATH")
    permission, signal = COMMANDS[command]
    if permission not in connection.permissions:
        raise Trouble("PERMISSION")
    if not car.has(signal):
        raise Trouble("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
    if command == "charge/set-limit":
        _check_percent(parameters.get("percent"))
    if command == "navigation/set-destination":
        _check_place(parameters)
    if car.asleep:
        raise Trouble("VEHICLE_STATE", "ASLEEP")
    if command.startswith("security/") and car.is_in_motion:
        raise Trouble("VEHICLE_STATE", "IN_MOTION")
    if command in ("charge/start", "charge/stop"):
        _check_charging(car, command)


def _check_percent(percent: Any) -> None:
    if type(percent) is not int or not 50 <= percent <= 100:
        raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", "percent is not a whole number from 50 to 100.")


def _check_place(parameters: dict[str, Any]) -> None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        value = parameters.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
            raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", f"{name} is not a number from -{most} to {most}.")


def _check_charging(car: Vehicle, command: str) -> None:
    if not car.is_plugged:
        raise Trouble("VEHICLE_STATE", "CHARGING_PLUG_NOT_CONNECTED")
    if command == "charge/stop" and not car.is_charging:
        raise Trouble("VEHICLE_STATE", "NOT_CHARGING")
    if command == "charge/start" and float(car.value(simulation.SOC) or 0) >= car.charge_limit:
        raise Trouble("VEHICLE_STATE", "FULLY_CHARGED")


def perform(state: State, car: Vehicle, command: str, parameters: dict[str, Any]) -> bool:
    """Do what was checked; False where the test's knob lets commands fail."""
    state.count("commands")
    if state.command_outcome != "SUCCESS":
        return False
    if command in ("charge/start", "charge/stop"):
        simulation.set_charging(state, car, command == "charge/start")
    elif command == "charge/set-limit":
        simulation.set_charge_limit(state, car, parameters["percent"])
    elif command.startswith("charge-port/"):
        state.set_signal(car.id, "charge-ischargingportflapopen", {"value": command.endswith("open")})
    elif command.startswith("security/"):
        simulation.set_locked(state, car, command.endswith("/lock"))
    else:
        car.destination = {name: float(parameters[name]) for name in ("latitude", "longitude")}
    return True
