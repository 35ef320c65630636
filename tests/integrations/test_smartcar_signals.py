"""What makers' clouds tell, in the catalog's words: every code, every unit's spelling, and the known oddities.

What is expected is written by hand, from the makers' documentation and from traffic.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from integrations.sources.smartcar.legacy_signals import legacy_signals_of
from integrations.sources.smartcar.selectors import unclaimed_of
from integrations.sources.smartcar.signals import (
    CODES,
    Signal,
    SignalError,
    epoch_of,
    is_mapped,
    readings_of,
    signals_of,
)
from telemetry.catalog import BY_NAME, LONGEST_TEXT, well_formed
from tests.conftest import Team
from tests.integrations.smartcar_bodies import AT, ISO, all_readings, assert_fits_the_catalog, sample

MILLISECONDS = 1795172935000

ON, OFF = {"value": True}, {"value": False}


def grid(*entries: tuple[int, int, dict[str, Any]]) -> dict[str, Any]:
    """A body of places."""
    values = [{"row": row, "column": column, **more} for row, column, more in entries]
    return {"values": values, "rowCount": 2, "columnCount": 2}


DOORS = grid(
    (0, 0, {"isOpen": False, "isLocked": True}),
    (0, 1, {"isOpen": True, "isLocked": False}),
    (1, 0, {"isOpen": None, "isLocked": True}),
    (1, 1, {"isOpen": False}),
)
WINDOWS = grid((0, 0, {"isOpen": False}), (0, 1, {"isOpen": True}), (1, 0, {"isOpen": False}), (1, 1, {"isOpen": True}))
TIRES = grid(
    (0, 0, {"tirePressure": 231}),
    (0, 1, {"tirePressure": 232.5}),
    (1, 0, {"tirePressure": 240}),
    (1, 1, {"tirePressure": None}),
)
LIMITS = {
    "values": [
        {"type": "location", "limit": 90, "condition": {"name": "Home"}},
        {"type": "global", "limit": 80, "condition": None},
    ],
    "activeLimit": 70,
    "unit": "percent",
}
RECORDS = {"values": [{"id": "CHG123", "energyAdded": 40.5, "isPublicCharger": False, "location": {"name": "Zürich"}}]}
TIMERS = {"values": [{"type": "GLOBAL", "departureTimers": [{"time": "07:00:00", "days": ["MONDAY"]}]}]}
SERVICES = {"values": [{"id": "7", "time": "2026-01-05T08:00:00Z", "odometer": 40000, "tasks": []}]}
RANGES = {
    "value": 253,
    "type": "DEFAULT",
    "additionalValues": [
        {"type": "IDEAL_CONDITIONS", "value": 300},
        {"type": "ESTIMATED", "value": 240.5},
        {"type": "RATED", "value": 310},
        {"type": "ASTROLOGICAL", "value": 1},
    ],
    "unit": "km",
}
CAPACITY = {"capacity": 90, "source": "SMARTCAR", "availableCapacities": [{"capacity": 60}], "unit": "kWhr"}
ALERT, FINE = {"status": "ALERT", "description": "see a garage"}, {"status": "OK"}

EVERY_CODE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("charge-amperage", {"value": 16, "unit": "ampere"}, {"charge.current": 16.0}),
    ("charge-amperagemax", {"value": 32, "unit": "amps"}, {"charge.current_max": 32.0}),
    ("charge-amperagerequested", {"value": 24}, {"charge.current_requested": 24.0}),
    ("charge-chargelimits", LIMITS, {"charge.limit": 70.0}),
    ("charge-chargeportstatuscolor", {"value": "GREEN"}, {"charge.port_color": "GREEN"}),
    ("charge-chargerate", {"value": 53, "unit": "km/h"}, {"charge.rate": 53.0}),
    (
        "charge-chargerecords",
        RECORDS,
        {"charge.records": '[{"id":"CHG123","energyAdded":40.5,"isPublicCharger":false,"location":{"name":"Zürich"}}]'},
    ),
    ("charge-chargerphases", {"unit": "count", "value": 3}, {"charge.phases": 3.0}),
    (
        "charge-chargetimers",
        TIMERS,
        {"charge.timers": '[{"type":"GLOBAL","departureTimers":[{"time":"07:00:00","days":["MONDAY"]}]}]'},
    ),
    ("charge-chargingconnectortype", {"value": "J1772"}, {"charge.connector": "J1772"}),
    ("charge-detailedchargingstatus", {"value": "FULLY_CHARGED"}, {"charge.state": "complete"}),
    ("charge-energyadded", {"value": 25.5, "unit": "kilowatt_hours"}, {"charge.energy_added": 25.5}),
    ("charge-fastchargertype", {"value": "CCS"}, {"charge.fast_charger_type": "CCS"}),
    ("charge-ischarging", ON, {"charge.active": True}),
    ("charge-ischargingcableconnected", ON, {"charge.plugged_in": True}),
    ("charge-ischargingcablelatched", OFF, {"charge.cable_latched": False}),
    ("charge-ischargingportflapopen", ON, {"charge.port_open": True}),
    ("charge-isfastchargerpresent", OFF, {"charge.fast_charger": False}),
    ("charge-timetocomplete", {"value": 45}, {"charge.time_to_complete": 45.0}),
    ("charge-voltage", {"unit": "volts", "value": 240}, {"charge.voltage": 240.0}),
    ("charge-wattage", {"value": 7100, "unit": "watts"}, {"charge.power": 7.1}),
    ("climate-externaltemperature", {"unit": "celsius", "value": -7.5}, {"ambient.temp": -7.5}),
    ("climate-internaltemperature", {"unit": "fahrenheit", "value": 68}, {"cabin.temp": 20.0}),
    (
        "closure-doors",
        DOORS,
        {
            "closure.door_front_left_open": False,
            "closure.door_front_left_locked": True,
            "closure.door_front_right_open": True,
            "closure.door_front_right_locked": False,
            "closure.door_rear_left_locked": True,
            "closure.door_rear_right_open": False,
        },
    ),
    ("closure-enginecover", {"isOpen": True}, {"closure.hood_open": True}),
    ("closure-fronttrunk", {"isLocked": None, "isOpen": False}, {"closure.front_trunk_open": False}),
    ("closure-islocked", ON, {"vehicle.locked": True}),
    (
        "closure-reartrunk",
        {"isOpen": False, "isLocked": True},
        {"closure.rear_trunk_open": False, "closure.rear_trunk_locked": True},
    ),
    ("closure-sunroof", {"isOpen": False}, {"closure.sunroof_open": False}),
    (
        "closure-tailgate",
        {"isOpen": True, "isLocked": False},
        {"closure.tailgate_open": True, "closure.tailgate_locked": False},
    ),
    (
        "closure-windows",
        WINDOWS,
        {
            "closure.window_front_left_open": False,
            "closure.window_front_right_open": True,
            "closure.window_rear_left_open": False,
            "closure.window_rear_right_open": True,
        },
    ),
    ("connectivitysoftware-currentfirmwareversion", {"value": "2026.38.4"}, {"vehicle.firmware": "2026.38.4"}),
    ("connectivitystatus-isasleep", OFF, {"connectivity.asleep": False}),
    ("connectivitystatus-isdigitalkeypaired", ON, {"connectivity.digital_key": True}),
    ("connectivitystatus-isonline", ON, {"connectivity.online": True}),
    ("diagnostics-abs", ALERT, {"diagnostics.abs": "ALERT"}),
    ("diagnostics-activesafety", FINE, {"diagnostics.active_safety": "OK"}),
    ("diagnostics-airbag", FINE, {"diagnostics.airbag": "OK"}),
    ("diagnostics-brakefluid", ALERT, {"diagnostics.brake_fluid": "ALERT"}),
    ("diagnostics-driverassistance", FINE, {"diagnostics.driver_assistance": "OK"}),
    ("diagnostics-dtccount", {"value": 2, "unit": "count"}, {"engine.dtc_count": 2.0}),
    (
        "diagnostics-dtclist",
        {"values": [{"code": "P0300", "timestamp": "2023-10-15T08:00:00Z"}, {"code": "P0420"}]},
        {"diagnostics.codes": "P0300 P0420"},
    ),
    ("diagnostics-emissions", FINE, {"diagnostics.emissions": "OK"}),
    ("diagnostics-evbatteryconditioning", FINE, {"diagnostics.ev_battery_conditioning": "OK"}),
    ("diagnostics-evcharging", FINE, {"diagnostics.ev_charging": "OK"}),
    ("diagnostics-evdriveunit", ALERT, {"diagnostics.ev_drive_unit": "ALERT"}),
    ("diagnostics-evhvbattery", FINE, {"diagnostics.ev_hv_battery": "OK"}),
    ("diagnostics-lighting", FINE, {"diagnostics.lighting": "OK"}),
    ("diagnostics-mil", ALERT, {"diagnostics.mil": "ALERT"}),
    ("diagnostics-oillife", FINE, {"diagnostics.oil_life": "OK"}),
    ("diagnostics-oilpressure", FINE, {"diagnostics.oil_pressure": "OK"}),
    ("diagnostics-oiltemperature", FINE, {"diagnostics.oil_temperature": "OK"}),
    ("diagnostics-telematics", FINE, {"diagnostics.telematics": "OK"}),
    ("diagnostics-tirepressure", ALERT, {"diagnostics.tire_pressure": "ALERT"}),
    ("diagnostics-tirepressuremonitoring", FINE, {"diagnostics.tire_pressure_monitoring": "OK"}),
    ("diagnostics-transmission", FINE, {"diagnostics.transmission": "OK"}),
    ("diagnostics-washerfluid", ALERT, {"diagnostics.washer_fluid": "ALERT"}),
    ("diagnostics-waterinfuel", FINE, {"diagnostics.water_in_fuel": "OK"}),
    ("hvac-cabintargettemperature", {"unit": "celsius", "value": 22}, {"climate.target_temp": 22.0}),
    ("hvac-iscabinhvacactive", ON, {"climate.active": True}),
    ("hvac-isfrontdefrosteractive", OFF, {"climate.front_defroster": False}),
    ("hvac-isreardefrosteractive", ON, {"climate.rear_defroster": True}),
    ("hvac-issteeringheateractive", OFF, {"climate.steering_heater": False}),
    ("internalcombustionengine-amountremaining", {"unit": "liters", "value": 45.5}, {"fuel.amount": 45.5}),
    ("internalcombustionengine-fuellevel", {"unit": "percent", "value": 75}, {"fuel.level": 75.0}),
    ("internalcombustionengine-oillife", {"value": 85, "unit": "percent"}, {"engine.oil_life": 85.0}),
    ("internalcombustionengine-range", {"value": 239}, {"fuel.range": 239.0}),
    ("location-isathome", ON, {"location.at_home": True}),
    (
        "location-preciselocation",
        {"latitude": 52.5208, "longitude": 13.4094, "heading": 94, "direction": "E", "locationType": "LAST_PARKED"},
        {"location.latitude": 52.5208, "location.longitude": 13.4094, "location.heading": 94.0},
    ),
    ("lowvoltagebattery-stateofcharge", {"unit": "percent", "value": 95}, {"electrical.soc": 95.0}),
    ("lowvoltagebattery-status", {"value": "GOOD"}, {"electrical.status": "GOOD"}),
    ("motion-currentspeed", {"unit": "kph", "value": 65}, {"vehicle.speed": 65.0}),
    ("odometer-traveleddistance", {"value": 48211.7, "unit": "km"}, {"vehicle.odometer": 48211.7}),
    ("service-isinservice", OFF, {"service.in_service": False}),
    (
        "service-records",
        SERVICES,
        {"service.records": '[{"id":"7","time":"2026-01-05T08:00:00Z","odometer":40000,"tasks":[]}]'},
    ),
    ("surveillance-brand", {"value": "Sentry Mode"}, {"surveillance.brand": "Sentry Mode"}),
    ("surveillance-isenabled", ON, {"surveillance.enabled": True}),
    ("tractionbattery-isheateractive", OFF, {"traction_battery.heater": False}),
    ("tractionbattery-maxrangechargecounter", {"value": 12}, {"traction_battery.max_range_charges": 12.0}),
    ("tractionbattery-nominalcapacity", CAPACITY, {"traction_battery.capacity": 90.0}),
    (
        "tractionbattery-range",
        RANGES,
        {
            "traction_battery.range": 253.0,
            "traction_battery.range_ideal": 300.0,
            "traction_battery.range_estimated": 240.5,
            "traction_battery.range_rated": 310.0,
        },
    ),
    ("tractionbattery-stateofcharge", {"value": 57, "unit": "percent"}, {"traction_battery.soc": 57.0}),
    ("transmission-drivemode", {"canonical": "NORMAL", "oemDisplayName": "everyday"}, {"vehicle.drive_mode": "NORMAL"}),
    ("transmission-gearstate", {"value": "PARK"}, {"vehicle.gear": "P"}),
    ("vehicleidentification-exteriorcolor", {"value": "Deep Blue"}, {"identity.color": "Deep Blue"}),
    ("vehicleidentification-nickname", {"value": "Blue Three"}, {"identity.nickname": "Blue Three"}),
    ("vehicleidentification-packages", {"values": ["Winter", "Tow bar"]}, {"identity.packages": "Winter, Tow bar"}),
    ("vehicleidentification-trim", {"value": "Long Range"}, {"identity.trim": "Long Range"}),
    ("vehicleidentification-vin", {"value": "5YJ3E1EA7KF000001"}, {"identity.vin": "5YJ3E1EA7KF000001"}),
    (
        "vehicleuseraccount-permissions",
        {"values": ["vehicle_cmds", "vehicle_device_data"]},
        {"account.permissions": "vehicle_cmds, vehicle_device_data"},
    ),
    ("vehicleuseraccount-role", {"value": "Driver"}, {"account.role": "Driver"}),
    ("wheel-style", {"value": "Apollo 19"}, {"identity.wheel_style": "Apollo 19"}),
    ("wheel-tires", TIRES, {"tire.front_left": 231.0, "tire.front_right": 232.5, "tire.rear_left": 240.0}),
    # Only in the compatibility matrix
    ("tractionbattery-estimatedrange", {"value": 240, "unit": "km"}, {"traction_battery.range_estimated": 240.0}),
    ("tractionbattery-idealrange", {"value": 300, "unit": "km"}, {"traction_battery.range_ideal": 300.0}),
    ("tractionbattery-ratedrange", {"value": 310, "unit": "km"}, {"traction_battery.range_rated": 310.0}),
]


def readings(code: str, body: Any) -> dict[str, Any]:
    """What a body tells."""
    return readings_of(Signal(code, body, AT, None))


def one(items: Any) -> Signal:
    """The only signal of a list."""
    (signal,) = signals_of(items)
    return signal


@pytest.mark.parametrize(("code", "body", "expected"), EVERY_CODE, ids=[code for code, _, _ in EVERY_CODE])
def test_each_code_becomes_readings_that_the_catalog_has(
    code: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = readings(code, body)
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }
    assert_fits_the_catalog(found)
    assert is_mapped(code)


def test_every_code_is_mapped_and_tested(samples: Path) -> None:
    listed = sample(samples, "api/v3_signal_codes.json")
    assert len(listed["codes"]) == 93
    assert set(listed["codes"]) | set(listed["matrix_only"]) == set(CODES)
    assert {code for code, _, _ in EVERY_CODE} == set(CODES)
    assert len(EVERY_CODE) == 96


def test_no_two_codes_write_the_same_signal_at_once() -> None:
    written = [name for code, _, told in EVERY_CODE[:93] for name in told]
    assert len(written) == len(set(written))
    assert "vehicle.range" not in written


def test_the_catalog_is_well_formed_and_names_each_signal_once() -> None:
    assert all(well_formed(name) for name in BY_NAME)
    assert not is_mapped("charge-unheardof")
    assert readings("charge-unheardof", {"value": 1}) == {}


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        ("odometer-traveleddistance", 100, "kilometers", 100.0),
        ("odometer-traveleddistance", 100, "Kilometres", 100.0),
        ("odometer-traveleddistance", 100, "miles", 160.9344),
        ("odometer-traveleddistance", 100, "mi", 160.9344),
        ("odometer-traveleddistance", 100, None, 100.0),
        ("odometer-traveleddistance", 100, "", 100.0),
        ("odometer-traveleddistance", 100, "furlongs", None),
        ("odometer-traveleddistance", 100, ["km"], None),
        ("tractionbattery-stateofcharge", 57, "percentage", 57.0),
        ("tractionbattery-stateofcharge", 57, "%", 57.0),
        ("charge-energyadded", 5, "kWh", 5.0),
        ("charge-energyadded", 5, "kWhr", 5.0),
        ("charge-energyadded", 5, "kilowatt-hours", 5.0),
        ("charge-energyadded", 5, "Kilowatt Hours", 5.0),
        ("charge-energyadded", 5000, "Wh", 5.0),
        ("charge-amperage", 16, "A", 16.0),
        ("charge-amperage", 16, "amperes", 16.0),
        ("charge-wattage", 7100, None, 7.1),
        ("charge-wattage", 7100, "W", 7.1),
        ("charge-wattage", 7.1, "kW", 7.1),
        ("charge-wattage", 7.1, "kilowatts", 7.1),
        ("charge-chargerate", 33, "miles_per_hour", 53.108352),
        ("charge-chargerate", 33, "mph", 53.108352),
        ("charge-chargerate", 33, "kilometers_per_hour", 33.0),
        ("charge-timetocomplete", 90, "minutes", 90.0),
        ("charge-timetocomplete", 90, "seconds", 1.5),
        ("charge-timetocomplete", 1.5, "hours", 90.0),
        ("climate-externaltemperature", -40, "fahrenheit", -40.0),
        ("climate-externaltemperature", 212, "°F", 100.0),
        ("climate-externaltemperature", 293.15, "kelvin", 20.0),
        ("internalcombustionengine-amountremaining", 10, "gallons", 37.854118),
        ("internalcombustionengine-amountremaining", 10, "litres", 10.0),
        ("lowvoltagebattery-stateofcharge", 0.5, "fraction", 50.0),
    ],
)
def test_units_in_their_spellings(code: str, value: float, unit: Any, expected: float | None) -> None:
    found = list(readings(code, {"value": value, "unit": unit}).values())
    assert found == ([] if expected is None else [pytest.approx(expected, abs=1e-6)])


@pytest.mark.parametrize(
    ("unit", "value", "expected"), [("psi", 33.5, 230.97), ("bar", 2.31, 231.0), ("kPa", 231, 231.0)]
)
def test_tyre_pressures_in_their_units(unit: str, value: float, expected: float) -> None:
    body = {**grid((1, 1, {"tirePressure": value})), "unit": unit}
    assert readings("wheel-tires", body) == {"tire.rear_right": pytest.approx(expected, abs=0.01)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"value": 0.77}, 77.0),
        ({"value": 1}, 100.0),
        ({"value": 0}, 0.0),
        ({"value": 0.77, "unit": ""}, 77.0),
        ({"value": 0.77, "unit": "percent"}, 0.77),
        ({"value": 1.5}, 1.5),
        ({"value": 62, "unit": None}, 62.0),
    ],
)
def test_a_fuel_level_without_a_unit_may_be_a_fraction(body: dict[str, Any], expected: float) -> None:
    assert readings("internalcombustionengine-fuellevel", body) == {"fuel.level": expected}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"values": [{"type": "LOCATION", "limit": 90}, {"type": "GLOBAL", "limit": 80}], "activeLimit": None}, 80.0),
        ({"values": [{"type": "CONNECTOR", "limit": 95}, {"type": "LOCATION", "limit": 90}]}, 95.0),
        ({"values": [], "activeLimit": 70}, 70.0),
        ({"values": [None, {"type": 7, "limit": 60}], "activeLimit": "80"}, 60.0),
        ({"values": [], "activeLimit": None}, None),
        ({"activeLimit": True}, None),
    ],
)
def test_which_charge_limit_counts(body: dict[str, Any], expected: float | None) -> None:
    assert readings("charge-chargelimits", body) == ({} if expected is None else {"charge.limit": expected})


@pytest.mark.parametrize(
    ("told", "state"), [("CHARGING", "charging"), ("NOT_CHARGING", "stopped"), ("FULLY_CHARGED", "complete")]
)
def test_charge_states_in_the_catalogs_words(told: str, state: str) -> None:
    assert readings("charge-detailedchargingstatus", {"value": told}) == {"charge.state": state}
    assert readings("charge-detailedchargingstatus", {"value": "SINGING"}) == {}


@pytest.mark.parametrize(
    ("told", "gear"), [("DRIVE", "D"), ("REVERSE", "R"), ("NEUTRAL", "N"), ("park", "P"), ("L2", "L2")]
)
def test_gears_as_other_sources_tell_them(told: str, gear: str) -> None:
    assert readings("transmission-gearstate", {"value": told}) == {"vehicle.gear": gear}


@pytest.mark.parametrize(
    "body",
    [
        {"latitude": 52.5},
        {"latitude": 52.5, "longitude": None},
        {"latitude": 90.1, "longitude": 13.4},
        {"latitude": 52.5, "longitude": -180.5},
        {"latitude": "52.5", "longitude": "13.4"},
        {"latitude": float("nan"), "longitude": 13.4},
        {"latitude": True, "longitude": False},
        {"heading": 94},
    ],
)
def test_half_a_place_and_places_off_the_earth_are_none(body: dict[str, Any]) -> None:
    assert readings("location-preciselocation", body) == {}


def test_a_place_without_a_heading_or_with_a_wrong_one_is_a_place() -> None:
    place = {"location.latitude": -33.9, "location.longitude": 151.2}
    assert readings("location-preciselocation", {"latitude": -33.9, "longitude": 151.2}) == place
    assert readings("location-preciselocation", {"latitude": -33.9, "longitude": 151.2, "heading": 361}) == place


def test_rows_behind_the_second_and_strange_columns_are_left_out() -> None:
    body = grid((0, 0, {"isOpen": True}), (2, 0, {"isOpen": True}), (0, 2, {"isOpen": True}), (-1, 0, {"isOpen": True}))
    body["values"] += [{"row": [0], "column": {}, "isOpen": True}, {"row": True, "column": 0, "isOpen": True}, 7]
    assert readings("closure-windows", body) == {"closure.window_front_left_open": True}


def test_doors_under_the_name_that_the_examples_give_them() -> None:
    listed = grid((0, 1, {"isOpen": False, "isLocked": False}))["values"]
    told = {"closure.door_front_right_open": False, "closure.door_front_right_locked": False}
    assert readings("closure-doors", {"doors": listed}) == told
    assert readings("closure-windows", {"windows": listed}) == {"closure.window_front_right_open": False}


def test_lists_become_text_of_bounded_length() -> None:
    long = [{"id": "x" * 300, "n": n} for n in range(4)]
    assert readings("charge-chargerecords", {"values": long}) == {"charge.records": "4 entries"}
    assert readings("vehicleidentification-packages", {"values": ["y" * 600] * 2}) == {"identity.packages": "2 entries"}
    assert readings("service-records", {"values": []}) == {"service.records": ""}
    assert readings("vehicleuseraccount-permissions", {"value": "all"}) == {"account.permissions": "all"}
    assert readings("charge-chargetimers", {"values": [float("nan")]}) == {}


def test_a_list_too_deep_to_be_written_is_no_reading() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    found = readings("charge-chargetimers", {"values": deep})
    assert found == {}


def test_trouble_codes_that_are_gone_are_told_as_gone() -> None:
    assert readings("diagnostics-dtclist", {"values": []}) == {"diagnostics.codes": ""}
    assert readings("diagnostics-dtclist", {"values": ["P0300", {"code": None}]}) == {"diagnostics.codes": "P0300"}
    assert readings("diagnostics-dtclist", {"values": [{"code": None}]}) == {}
    assert readings("diagnostics-dtclist", {"values": None}) == {}
    many = readings("diagnostics-dtclist", {"values": [{"code": f"P{n:04}"} for n in range(500)]})["diagnostics.codes"]
    assert len(many) <= LONGEST_TEXT
    assert many.split() == [f"P{n:04}" for n in range(len(many.split()))]


def test_texts_are_made_storable() -> None:
    assert readings("vehicleidentification-nickname", {"value": " A\x00B\ud800\n"}) == {"identity.nickname": "A B"}
    assert readings("vehicleidentification-nickname", {"value": " \x00 "}) == {}
    assert readings("vehicleidentification-trim", {"value": "z" * 1200}) == {"identity.trim": "z" * 1000}


@pytest.mark.parametrize("value", [None, True, "57", [57], {"value": 57}, float("nan"), float("inf"), 10**400])
def test_what_is_no_number_is_no_reading(value: Any) -> None:
    for code in ("tractionbattery-stateofcharge", "charge-wattage", "diagnostics-dtccount"):
        assert readings(code, {"value": value, "unit": None}) == {}


@pytest.mark.parametrize("value", [None, 1, 0, "true", "", []])
def test_what_is_no_boolean_is_no_reading(value: Any) -> None:
    assert readings("closure-islocked", {"value": value}) == {}
    assert readings("closure-fronttrunk", {"isOpen": value, "isLocked": True}) == {"closure.front_trunk_locked": True}


def test_an_error_leaves_no_value_even_where_a_stale_one_is_sent() -> None:
    for status in ("ERROR", "UNAVAILABLE", "error"):
        item = {"code": "charge-chargerate", "status": {"value": status}, "body": {"value": 53, "unit": "km/h"}}
        signal = one([item])
        assert signal.body is None
        assert signal.error == SignalError(status.upper(), "")
        assert readings_of(signal) == {}
    error = {"type": "PERMISSION", "code": None, "resolution": "REAUTHENTICATE"}
    told = one([{"code": "closure-islocked", "status": {"value": "ERROR", "error": error}}])
    assert told == Signal("closure-islocked", None, None, SignalError("PERMISSION", ""))
    older = one([{"code": "closure-islocked", "status": "ERROR", "body": {"value": True}}])
    assert older.body is None
    assert readings_of(Signal("closure-islocked", {"value": True}, AT, SignalError("ERROR", ""))) == {}


def test_a_status_that_says_success_or_nothing_is_success() -> None:
    for status in ({"value": "SUCCESS"}, None, {}, "SUCCESS", {"value": "SUCCESS", "error": None}):
        assert readings_of(one([{"code": "closure-islocked", "status": status, "body": {"value": True}}])) == {
            "vehicle.locked": True
        }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ISO, AT),
        ("2026-11-20T12:08:55+01:00", AT),
        ("2026-11-20T11:08:55", AT),
        (1795172935, AT),
        (MILLISECONDS, AT),
        (1752104218549, 1752104218.549),
        (1696156800, 1696156800.0),
        (1795172935.25, 1795172935.25),
        (0, None),
        (-5, None),
        (None, None),
        (True, None),
        ("", None),
        ("yesterday", None),
        ({}, None),
        (10**400, None),
        (1e300, None),
        (float("nan"), None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times_in_every_form(value: Any, expected: float | None) -> None:
    assert epoch_of(value) == expected


def test_the_best_known_time_counts() -> None:
    def time_of(meta: Any) -> float | None:
        return one([{"code": "odometer-traveleddistance", "body": {"value": 1}, "meta": meta}]).time

    others = {"retrievedAt": 1795172998000, "ingestedAt": "2026-11-20T11:10:00Z"}
    assert time_of({"oemUpdatedAt": ISO, **others}) == AT
    assert time_of({"oemUpdatedAt": 0, **others}) == 1795172998.0
    assert time_of({"oemUpdatedAt": None, "fetchedAt": MILLISECONDS}) == AT
    assert time_of({"ingestedAt": ISO}) == AT
    assert time_of({"oemUpdatedAt": 0, "retrievedAt": 0}) is None
    assert time_of({}) is None
    assert time_of([ISO]) is None


def test_junk_is_skipped_and_names_are_understood() -> None:
    good = {"code": "Odometer.TraveledDistance", "body": {"value": 7}}
    junk = [None, 7, "odometer", [], {}, {"code": 7}, {"code": "x\x00"}, {"code": "c" * 81}, {"attributes": []}]
    assert one([*junk, good]) == Signal("odometer-traveleddistance", {"value": 7}, None, None)
    assert one([{"code": "new-signal", "body": {"any": 1}}]).body == {"any": 1}
    assert one([{"code": "odometer-traveleddistance", "body": [1]}]).body is None
    assert one([{"id": "closure-islocked", "attributes": {"body": {"value": True}}}]).code == "closure-islocked"
    for nothing in (None, {}, "signals", 7, True):
        assert signals_of(nothing) == []
        assert legacy_signals_of(nothing) == []


def test_a_delivery_as_captured(samples: Path) -> None:
    event = sample(samples, "v4_vehicle_state.captured-shape.json")
    signals = signals_of(event["data"]["signals"])
    assert len(signals) == event["meta"]["signalCount"] == 18
    assert {signal.code: signal.time for signal in signals if signal.time != AT} == {
        "vehicleidentification-vin": None,
        "connectivitystatus-isonline": None,
        "diagnostics-dtclist": None,
    }
    errors = {signal.code: signal.error for signal in signals if signal.error}
    assert errors == {
        "connectivitystatus-isonline": SignalError("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
        "diagnostics-dtclist": SignalError("PERMISSION", ""),
    }
    closed = {f"closure.door_{place}_open": False for place in ("front_left", "front_right", "rear_left", "rear_right")}
    locked = {
        f"closure.door_{place}_locked": True for place in ("front_left", "front_right", "rear_left", "rear_right")
    }
    assert all_readings(signals) == {
        "charge.plugged_in": True,
        "charge.state": "charging",
        "charge.active": True,
        "charge.limit": 80.0,
        "charge.time_to_complete": 45.0,
        "charge.power": 7.1,
        "charge.current": 16.0,
        "vehicle.odometer": 48211.7,
        "traction_battery.soc": 54.0,
        "traction_battery.range": 231.0,
        "traction_battery.capacity": 75.0,
        "vehicle.locked": True,
        "closure.front_trunk_open": False,
        "location.latitude": 52.5208,
        "location.longitude": 13.4094,
        "location.heading": 94.0,
        "identity.vin": "5YJ3E1EA7KF000001",
        **closed,
        **locked,
    }


def test_a_delivery_as_documented(samples: Path) -> None:
    signals = signals_of(sample(samples, "v4_vehicle_state.docs-shape.json")["data"]["signals"])
    assert {signal.time for signal in signals} == {AT}
    assert all_readings(signals) == {
        "traction_battery.soc": 78.0,
        "charge.active": True,
        "charge.voltage": 240.0,
        "location.latitude": 52.5208,
        "location.longitude": 13.4094,
        "vehicle.odometer": 48211.7,
    }


def test_a_delivery_of_2025_and_one_with_a_fraction(samples: Path) -> None:
    older = signals_of(sample(samples, "v4_vehicle_state.captured-shape-2025-09.json")["data"]["signals"])
    assert [signal.time for signal in older] == [AT, None, None]
    assert all_readings(older) == {"vehicle.odometer": 62041.0, "charge.active": False}
    quirk = signals_of(sample(samples, "v4_vehicle_state_ice_fraction_quirk.captured-shape.json")["data"]["signals"])
    assert all_readings(quirk) == {"fuel.level": 77.0, "fuel.range": 239.0}


def test_every_sample_delivery_fits(samples: Path) -> None:
    files = sorted(samples.glob("v4_vehicle_state*.json"))
    assert len(files) >= 9
    for file in files:
        assert all_readings(signals_of(json.loads(file.read_text())["data"]["signals"]))


def test_an_answer_of_version_3(samples: Path) -> None:
    signals = signals_of(sample(samples, "api/v3_signals_200.json")["data"])
    assert [signal.code for signal in signals] == [
        "odometer-traveleddistance", "tractionbattery-stateofcharge", "location-preciselocation", "charge-chargerate",
        "closure-fronttrunk", "vehicleidentification-vin",
    ]  # fmt: skip
    assert signals[0].time == 1795172875.0  # 2026-11-20T11:07:55Z
    assert signals[3].error == SignalError("VEHICLE_STATE", "NOT_CHARGING")
    assert signals[3].body is None
    assert signals[5].time == 1795172940.11  # only the time at which the cloud noted it
    assert all_readings(signals) == {
        "vehicle.odometer": 48211.7,
        "traction_battery.soc": 57.0,
        "location.latitude": 52.5208,
        "location.longitude": 13.4094,
        "identity.vin": "5YJ3E1EA7KF000001",
    }


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["km", "percent", "ERROR", "GLOBAL", ISO, MILLISECONDS, 0, 10**400, "frontLeft", "OPEN"])
)  # fmt: skip
KEYS = st.text(max_size=5) | st.sampled_from(
    ["value", "values", "unit", "row", "column", "isOpen", "code", "limit", "activeLimit", "type", "status", "error",
     "latitude", "longitude", "heading", "additionalValues", "capacity", "tirePressure", "oemUpdatedAt", "body", "meta",
     "distance", "range", "percentRemaining", "doors", "storage", "systems", "systemId", "activeCodes", "isPluggedIn"]
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
PATHS = ["/battery", "/battery/nominal_capacity", "/charge", "/charge/limit", "/security", "/tires/pressure", "/fuel",
         "/service/history", "/diagnostics/system_status", "/diagnostics/dtcs", "/location", "/vin", "/odometer"]  # fmt: skip
ITEM = st.fixed_dictionaries(
    {"code": st.sampled_from(sorted(CODES)) | JSON},
    optional={"body": JSON, "status": JSON, "meta": JSON, "attributes": JSON, "id": JSON},
)
LEGACY_ITEM = st.fixed_dictionaries(
    {"path": st.sampled_from(PATHS) | JSON, "body": JSON},
    optional={"code": st.sampled_from([200, 409, None]) | JSON, "headers": JSON},
)


def test_f18_the_list_of_unknown_vehicles_reads_no_bodies_but_those_it_shows(team: Team) -> None:
    with CaptureQueriesContext(connection) as asked:
        unclaimed_of(team.organization, all_of_them=True)
    events = [query["sql"] for query in asked if "unclaimed_ids" in query["sql"]]
    assert events
    assert not [sql for sql in events if '"body"' in sql.split("FROM")[0]]


def told(signals: list[Signal]) -> None:
    for signal in signals:
        assert signal.time is None or 0 < signal.time < 1e12
        for name, value in readings_of(signal).items():
            kind = BY_NAME[name].kind
            assert type(value) is {"number": float, "boolean": bool, "text": str}[kind]
            assert value == value  # no NaN


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(items=st.lists(ITEM, max_size=4) | JSON)
@example(items=[{"code": "charge-wattage", "body": {"value": 1e308, "unit": "kilowatts"}}])
@example(items=[{"code": "climate-externaltemperature", "body": {"value": 1.7e308, "unit": "fahrenheit"}}])
def test_no_json_makes_the_reading_fail(items: Any) -> None:
    told(signals_of(items))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(items=st.lists(LEGACY_ITEM, max_size=4) | JSON)
@example(items=[{"path": "/battery", "code": 200, "body": {"percentRemaining": 1e308}}])
def test_no_json_makes_the_reading_of_version_2_fail(items: Any) -> None:
    told(legacy_signals_of(items))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(code=st.sampled_from(sorted(CODES)), body=st.dictionaries(KEYS, JSON, max_size=6))
def test_no_body_of_a_known_code_makes_it_fail(code: str, body: dict[str, Any]) -> None:
    told([Signal(code, body, AT, None)])


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (268, "bar", 268), (2.6, None, 260), (2.6, "bar", 260), (36, "psi", pytest.approx(248.2, abs=0.1)),
        (36, None, pytest.approx(248.2, abs=0.1)), (0.26, None, 260), (2.6, "xyz", 260), (0, "kPa", 0), (250, "kPa", 250),
        (850, "kPa", 850),
    ],
)  # fmt: skip
def test_s1_a_tyres_pressure_is_read_in_the_unit_that_makes_sense(
    value: float, unit: str | None, expected: Any
) -> None:
    body = {"values": [{"row": 0, "column": 0, "tirePressure": value}], **({"unit": unit} if unit else {})}
    assert readings_of(Signal("wheel-tires", body, AT, None)) == {"tire.front_left": expected}
