"""The parameters that are read live (SAE J1979, appendix B): bytes to value, and when the bytes stand for no value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional


@dataclass(frozen=True)
class Parameter:
    """One parameter of service 01."""

    pid: int
    size: int
    """How many bytes its value has."""
    signal: str
    hz: float
    """How often a second it is asked for."""
    decode: Callable[[int], float]
    """From the bytes as one big-endian number to the value in the portal's unit."""
    full_scale_is_real: bool = False
    """All bytes FF are a value that occurs (100 % throttle), not only what a sleeping control unit sends."""


def _percent(raw: int) -> float:
    return raw * 100 / 255


def _celsius(raw: int) -> float:
    return raw - 40.0


def _trim(raw: int) -> float:
    return (raw - 128) * 100 / 128


def _same(raw: int) -> float:
    return float(raw)


PARAMETERS: Dict[str, Parameter] = {
    # Names as python-OBD and the agent's configuration have them.
    "RPM": Parameter(0x0C, 2, "engine.rpm", 5, lambda raw: raw / 4),
    "SPEED": Parameter(0x0D, 1, "vehicle.speed", 5, _same),
    "THROTTLE_POS": Parameter(0x11, 1, "engine.throttle", 5, _percent, True),
    "ENGINE_LOAD": Parameter(0x04, 1, "engine.load", 5, _percent, True),
    "INTAKE_PRESSURE": Parameter(0x0B, 1, "engine.intake_pressure", 5, _same),
    "MAF": Parameter(0x10, 2, "engine.maf", 5, lambda raw: raw / 100),
    "TIMING_ADVANCE": Parameter(0x0E, 1, "engine.timing_advance", 1, lambda raw: raw / 2 - 64),
    "ACCELERATOR_POS_D": Parameter(0x49, 1, "engine.accelerator", 5, _percent, True),
    "COOLANT_TEMP": Parameter(0x05, 1, "engine.coolant_temp", 0.5, _celsius),
    "INTAKE_TEMP": Parameter(0x0F, 1, "engine.intake_temp", 0.5, _celsius),
    "OIL_TEMP": Parameter(0x5C, 1, "engine.oil_temp", 0.5, _celsius),
    "AMBIANT_AIR_TEMP": Parameter(0x46, 1, "ambient.temp", 0.1, _celsius),
    "FUEL_PRESSURE": Parameter(0x0A, 1, "engine.fuel_pressure", 1, lambda raw: raw * 3.0),
    "FUEL_LEVEL": Parameter(0x2F, 1, "fuel.level", 0.1, _percent, True),
    "FUEL_RATE": Parameter(0x5E, 2, "fuel.rate", 1, lambda raw: raw / 20),
    "RUN_TIME": Parameter(0x1F, 2, "engine.run_time", 0.2, _same),
    "CONTROL_MODULE_VOLTAGE": Parameter(0x42, 2, "electrical.voltage", 0.5, lambda raw: raw / 1000),
    "BAROMETRIC_PRESSURE": Parameter(0x33, 1, "engine.barometric_pressure", 0.1, _same),
    "SHORT_FUEL_TRIM_1": Parameter(0x06, 1, "engine.short_fuel_trim", 1, _trim),
    "LONG_FUEL_TRIM_1": Parameter(0x07, 1, "engine.long_fuel_trim", 0.5, _trim),
    "CATALYST_TEMP_B1S1": Parameter(0x3C, 2, "engine.catalyst_temp", 0.2, lambda raw: raw / 10 - 40),
    "COMMANDED_EQUIV_RATIO": Parameter(0x44, 2, "engine.lambda", 1, lambda raw: raw * 2 / 65536, True),
    "ABSOLUTE_LOAD": Parameter(0x43, 2, "engine.absolute_load", 1, _percent),
    "DISTANCE_W_MIL": Parameter(0x21, 2, "engine.mil_distance", 0.02, _same),
    "ETHANOL_PERCENT": Parameter(0x52, 1, "fuel.ethanol", 0.02, _percent, True),
    "HYBRID_BATTERY_REMAINING": Parameter(0x5B, 1, "traction_battery.soc", 0.2, _percent, True),
}
FREEZE_FRAME = ("ENGINE_LOAD", "COOLANT_TEMP", "RPM", "SPEED", "INTAKE_PRESSURE", "INTAKE_TEMP", "THROTTLE_POS", "MAF")
"""What is read of a freeze frame (service 02)."""

_CONTINUOUS = ("misfire_monitoring", "fuel_system_monitoring", "component_monitoring")
_SPARK = (
    "catalyst_monitoring", "heated_catalyst_monitoring", "evaporative_system_monitoring",
    "secondary_air_system_monitoring", "", "oxygen_sensor_monitoring", "oxygen_sensor_heater_monitoring",
    "egr_vvt_system_monitoring",
)  # fmt: skip
_COMPRESSION = (
    "nmhc_catalyst_monitoring", "nox_scr_aftertreatment_monitoring", "", "boost_pressure_monitoring", "",
    "exhaust_gas_sensor_monitoring", "pm_filter_monitoring", "egr_vvt_system_monitoring",
)  # fmt: skip


@dataclass(frozen=True)
class MonitorStatus:
    """Service 01, PID 01: the lamp, how many codes are confirmed, and the monitors that the car has."""

    mil: bool
    count: int
    readiness: Dict[str, str]
    """By monitor: complete, or not complete since the codes were cleared."""


def blank(data: bytes) -> bool:
    """Whether every byte is FF, which a control unit that sleeps or has no value sends."""
    return bool(data) and all(byte == 0xFF for byte in data)


def monitor_status(data: bytes) -> Optional[MonitorStatus]:
    """The four bytes of PID 01; None where they are not four, or no value."""
    if len(data) != 4 or blank(data):
        return None
    tests = {name: (data[1] >> bit & 1, data[1] >> (bit + 4) & 1) for bit, name in enumerate(_CONTINUOUS)}
    for bit, name in enumerate(_COMPRESSION if data[1] & 8 else _SPARK):
        if name:
            tests[name] = (data[2] >> bit & 1, data[3] >> bit & 1)
    readiness = {name: "not complete" if open_ else "complete" for name, (there, open_) in tests.items() if there}
    return MonitorStatus(bool(data[0] & 0x80), data[0] & 0x7F, readiness)
