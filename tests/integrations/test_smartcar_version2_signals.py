"""Version 2 of the interface in the catalog's words: its paths, percentages, units, failures and events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrations.sources.smartcar.legacy_signals import legacy_event_signals, legacy_signals_of
from integrations.sources.smartcar.signals import Signal, SignalError
from tests.integrations.smartcar_bodies import AT, ISO, all_readings, sample


def test_a_batch_of_version_2(samples: Path) -> None:
    signals = legacy_signals_of(sample(samples, "api/v2_batch_200.json")["responses"])
    assert all_readings(signals) == {
        "traction_battery.soc": 58.0,
        "traction_battery.range": 283.24,
        "location.latitude": 52.5208,
        "location.longitude": 13.4094,
    }
    assert {signal.time for signal in signals if not signal.error} == {AT}
    (failed,) = [signal for signal in signals if signal.error]
    assert failed == Signal("internalcombustionengine-oillife", None, None, SignalError("PERMISSION", ""))


def test_a_schedule_of_version_2(samples: Path) -> None:
    payload = sample(samples, "v2_scheduled.json")["payload"]
    signals = legacy_signals_of(payload["vehicles"][0]["data"])
    assert {signal.code for signal in signals if signal.error == SignalError("VEHICLE_STATE", "ASLEEP")} == {
        "charge-ischargingcableconnected", "charge-detailedchargingstatus", "charge-ischarging",
    }  # fmt: skip
    assert all_readings(signals)["traction_battery.soc"] == 58.0


LEGACY: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("/odometer", {"distance": 104.32}, "metric", {"vehicle.odometer": 104.32}),
    ("/odometer", {"distance": 100}, "imperial", {"vehicle.odometer": 160.9344}),
    ("/battery", {"percentRemaining": 1, "range": 40.5}, "metric", {"traction_battery.soc": 100.0, "traction_battery.range": 40.5}),
    ("/battery", {"percentRemaining": 0.3, "range": 10}, "imperial", {"traction_battery.soc": 30.0, "traction_battery.range": 16.09344}),
    ("/battery", {"percentRemaining": None, "range": 10}, "metric", {"traction_battery.range": 10.0}),
    ("/battery/capacity", {"capacity": 28}, "imperial", {"traction_battery.capacity": 28.0}),
    (
        "/battery/nominal_capacity",
        {"availableCapacities": [{"capacity": 70.9}], "capacity": {"nominal": 80.9, "source": "SMARTCAR"}, "url": None},
        "metric",
        {"traction_battery.capacity": 80.9},
    ),
    ("/battery/nominal_capacity", {"availableCapacities": [], "capacity": None}, "metric", {}),
    (
        "/charge",
        {"isPluggedIn": True, "state": "FULLY_CHARGED"},
        "metric",
        {"charge.plugged_in": True, "charge.state": "complete", "charge.active": False},
    ),
    ("/charge/limit", {"limit": 0.7}, "metric", {"charge.limit": 70.0}),
    (
        "/fuel",
        {"amountRemaining": 53.2, "percentRemaining": 0.005, "range": 40.5},
        "metric",
        {"fuel.amount": 53.2, "fuel.level": 0.5, "fuel.range": 40.5},
    ),
    (
        "/fuel",
        {"amountRemaining": 10, "percentRemaining": 0.3, "range": 100},
        "Imperial",
        {"fuel.amount": 37.854118, "fuel.level": 30.0, "fuel.range": 160.9344},
    ),
    (
        "/tires/pressure",
        {"frontLeft": 219.1, "frontRight": 219.0, "backLeft": 219.3, "backRight": None},
        "metric",
        {"tire.front_left": 219.1, "tire.front_right": 219.0, "tire.rear_left": 219.3},
    ),
    ("/tires/pressure", {"backRight": 33}, "imperial", {"tire.rear_right": 227.526981}),
    ("/engine/oil", {"lifeRemaining": 0.35}, "metric", {"engine.oil_life": 35.0}),
    ("/vin", {"vin": "5YJ3E1EA7KF000001"}, "metric", {"identity.vin": "5YJ3E1EA7KF000001"}),
    ("/diagnostics/dtcs", {"activeCodes": [{"code": "P0300", "timestamp": None}]}, "metric", {"diagnostics.codes": "P0300"}),
    (
        "/diagnostics/system_status",
        {
            "systems": [
                {"systemId": "SYSTEM_TPMS", "status": "ALERT", "description": None},
                {"systemId": "SYSTEM_EV_HV_BATTERY", "status": "OK"},
                {"systemId": "SYSTEM_ENGINE", "status": "OK"},
            ]
        },
        "metric",
        {"diagnostics.tire_pressure_monitoring": "ALERT", "diagnostics.ev_hv_battery": "OK"},
    ),
    (
        "/service/history",
        [{"serviceId": 7, "serviceTasks": [{"taskId": "1", "taskDescription": "Oil"}], "serviceCost": None}],
        "metric",
        {
            "service.records": '[{"id":7,"time":null,"odometer":null,"cost":{"amount":null,"currency":null},'
            '"tasks":[{"id":"1","description":"Oil"}],"details":[]}]'
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "system", "expected"), LEGACY)
def test_version_2_tells_the_same(path: str, body: Any, system: str, expected: dict[str, Any]) -> None:
    headers = {"SC-Data-Age": ISO, "sc-unit-system": system}
    signals = legacy_signals_of([{"path": path, "code": 200, "body": body, "headers": headers}])
    assert all_readings(signals) == pytest.approx(expected) if _numeric(expected) else all_readings(signals) == expected
    assert {signal.time for signal in signals} <= {AT}


def _numeric(expected: dict[str, Any]) -> bool:
    return all(isinstance(value, float) for value in expected.values())


def test_version_2s_closures(samples: Path) -> None:
    body = sample(samples, "api/v2_security_200.json")
    body["doors"][1]["status"] = "OPEN"
    body["doors"][2]["status"] = "UNLOCKED"
    body["doors"][3]["status"] = "UNKNOWN"
    body["windows"] = []
    body["storage"][0]["status"] = "OPEN"
    signals = legacy_signals_of([{"path": "/security", "code": 200, "body": body}])
    assert all_readings(signals) == {
        "vehicle.locked": True,
        "closure.door_front_left_open": False,
        "closure.door_front_left_locked": True,
        "closure.door_front_right_open": True,
        "closure.door_rear_left_open": False,
        "closure.door_rear_left_locked": False,
        "closure.sunroof_open": False,
        "closure.rear_trunk_open": True,
        "closure.front_trunk_open": False,
        "charge.port_open": False,
    }
    assert {signal.time for signal in signals} == {None}


def test_version_2_without_its_own_time_has_the_time_of_the_asking() -> None:
    item = {"path": "odometer/", "code": 200, "body": {"distance": 1}, "headers": {"sc-fetched-at": ISO}}
    assert [(signal.code, signal.time) for signal in legacy_signals_of([item])] == [("odometer-traveleddistance", AT)]


def test_version_2s_failures_name_every_signal_of_the_path() -> None:
    body = {"type": "COMPATIBILITY", "code": "VEHICLE_NOT_CAPABLE", "percentRemaining": 0.5}
    failed = legacy_signals_of([{"path": "/battery", "code": 501, "body": body}, {"path": "/user", "code": 200}])
    error = SignalError("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
    assert failed == [
        Signal("tractionbattery-stateofcharge", None, None, error),
        Signal("tractionbattery-range", None, None, error),
    ]
    (bare,) = legacy_signals_of([{"path": "/vin", "code": 502, "body": "Bad Gateway"}])
    assert bare.error == SignalError("UNKNOWN", "")
    assert len(legacy_signals_of([{"path": "/diagnostics/system_status", "code": 403, "body": None}])) == 21


@pytest.mark.parametrize(
    ("event", "state", "active"),
    [
        ("CHARGING_STARTED", "charging", True),
        ("CHARGING_STOPPED", "stopped", False),
        ("CHARGING_COMPLETED", "complete", False),
    ],
)
def test_version_2s_events_of_charging(event: str, state: str, active: bool) -> None:
    signals = legacy_event_signals(event, AT)
    assert all_readings(signals) == {"charge.state": state, "charge.active": active}
    assert {signal.time for signal in signals} == {AT}
    assert legacy_event_signals("CHARGING_SINGING", AT) == []
