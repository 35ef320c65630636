"""The cars that the simulated cloud starts with, and as many more as a test wants. All of them are invented."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.smartcar_stub.signals import Signal

AGE = 65.0
"""How long ago the cars last reported, in seconds, when the cloud starts."""
_VIN_VALUES = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


@dataclass
class Vehicle:
    """A car and what its maker's cloud knows of it."""

    vin: str
    make: str
    model: str
    year: int
    powertrain_type: str
    signals: dict[str, Signal]
    electric_range_km: float = 0.0
    """With a full battery."""
    fuel_range_km: float = 0.0
    tank_litres: float = 0.0
    asleep: bool = False
    is_in_motion: bool = False
    destination: dict[str, float] | None = None
    """Where the navigation was last told to go."""
    pending: list[str] = field(default_factory=list)
    """Codes that changed since the last webhook."""
    delivered: bool = False
    """Whether a webhook has told of the car since it was connected."""
    id: str = field(default_factory=lambda: str(uuid4()))

    def value(self, code: str, key: str = "value") -> Any:
        """A value of a signal's body, also of a stale one; None where there is none."""
        signal = self.signals.get(code)
        return (signal.body or {}).get(key) if signal else None

    def has(self, code: str) -> bool:
        """Whether the car is capable of a signal."""
        signal = self.signals.get(code)
        return signal is not None and signal.error_type != "COMPATIBILITY"

    @property
    def is_plugged(self) -> bool:
        return bool(self.value("charge-ischargingcableconnected"))

    @property
    def is_charging(self) -> bool:
        return bool(self.value("charge-ischarging"))

    @property
    def charge_limit(self) -> float:
        return float(self.value("charge-chargelimits", "activeLimit") or 100)


def owners_cars() -> list[Vehicle]:
    """A parked electric car, one with a combustion engine, and a plug-in hybrid that is charging."""
    tesla = _car("5YJ3E7EAXPF400121", "TESLA", "Model 3", 2023, "BEV", 48_211.7, 52.5208, 13.4094, "Blue Three")
    _add_battery(tesla, soc=57, full_range=445, capacity=75, charging=False)
    bmw = _car("WBA7M9107P7K20417", "BMW", "118i", 2023, "ICE", 31_870.0, 52.5014, 13.3413, "")
    _add_fuel(bmw, percent=62, full_range=690, litres=42)
    volvo = _car("YV4H60DZ9P1300552", "VOLVO", "XC60 Recharge", 2022, "PHEV", 22_415.3, 52.4816, 13.4350, "Family car")
    _add_battery(volvo, soc=38, full_range=78, capacity=18.8, charging=True)
    _add_fuel(volvo, percent=81, full_range=640, litres=71)
    return [tesla, bmw, volvo]


def others_cars() -> list[Vehicle]:
    """Two cars of somebody else."""
    vw = _car("WVGZZZE27NP004410", "VOLKSWAGEN", "ID.4", 2022, "BEV", 27_904.0, 48.1372, 11.5755, "")
    _add_battery(vw, soc=71, full_range=410, capacity=77, charging=False)
    ford = _car("WF05XXGC7LS700338", "FORD", "Focus", 2020, "ICE", 64_120.0, 48.1531, 11.5470, "")
    _add_fuel(ford, percent=34, full_range=720, litres=52)
    return [vw, ford]


def many_cars(count: int) -> list[Vehicle]:
    """Electric cars with VINs of their own, for tests of paging and load."""
    cars = []
    for _ in range(count):
        serial = uuid4().int % 1_000_000
        car = _car(
            with_check_digit(f"KMHKR81A0PU{serial:06}"), "HYUNDAI", "IONIQ 5", 2023, "BEV", 12_000, 50.1, 8.7, ""
        )
        _add_battery(car, soc=64, full_range=480, capacity=77.4, charging=False)
        cars.append(car)
    return cars


def with_check_digit(vin: str) -> str:
    """The VIN with the ninth character that 49 CFR 565 prescribes."""
    digits = (int(c) if c.isdigit() else _VIN_VALUES[c] for c in vin)
    rest = sum(digit * weight for digit, weight in zip(digits, _VIN_WEIGHTS, strict=True)) % 11
    return f"{vin[:8]}{'X' if rest == 10 else rest}{vin[9:]}"


def _car(
    vin: str, make: str, model: str, year: int, powertrain: str, odometer: float, lat: float, lon: float, name: str
) -> Vehicle:
    """A car with the signals that all cars here have."""
    car = Vehicle(vin, make, model, year, powertrain, {})
    place = {"latitude": lat, "longitude": lon, "heading": 94, "locationType": "LAST_PARKED"}
    _add(
        car,
        {
            "odometer-traveleddistance": {"value": odometer, "unit": "km"},
            "location-preciselocation": place,
            "connectivitystatus-isonline": {"value": True},
            "lowvoltagebattery-stateofcharge": {"value": 88, "unit": "percent"},
            "diagnostics-tirepressure": {"status": "OK"},
        },
    )
    _add(car, _closed_and_on_its_wheels())
    # A VIN never changes, so its maker gives no time for it.
    car.signals["vehicleidentification-vin"] = Signal({"value": vin}, 0, 0, time.time())
    if name:
        _add(car, {"vehicleidentification-nickname": {"value": name}})
    else:
        _cannot(car, "vehicleidentification-nickname")
    _cannot(
        car,
        "location-isathome",
        "diagnostics-dtclist",
        "diagnostics-mil",
        "climate-externaltemperature",
        "hvac-cabintargettemperature",
        "surveillance-isenabled",
    )
    return car


def _closed_and_on_its_wheels() -> dict[str, dict[str, Any]]:
    corners = [{"row": row, "column": column} for row in (0, 1) for column in (0, 1)]
    grid = {"rowCount": 2, "columnCount": 2}
    return {
        "closure-islocked": {"value": True},
        "closure-doors": {"values": [{**corner, "isOpen": False, "isLocked": True} for corner in corners], **grid},
        "closure-windows": {"values": [{**corner, "isOpen": False} for corner in corners], **grid},
        "closure-fronttrunk": {"isOpen": False, "isLocked": None},
        "closure-reartrunk": {"isOpen": False, "isLocked": True},
        "wheel-tires": {"values": [{**corner, "tirePressure": 231 + 2 * corner["row"]} for corner in corners], **grid},
    }


def _add_battery(car: Vehicle, soc: float, full_range: float, capacity: float, *, charging: bool) -> None:
    car.electric_range_km = full_range
    _add(
        car,
        {
            "tractionbattery-stateofcharge": {"value": soc, "unit": "percent"},
            "tractionbattery-range": {"value": round(full_range * soc / 100), "additionalValues": [], "unit": "km"},
            "tractionbattery-nominalcapacity": {
                "capacity": capacity,
                "source": "SMARTCAR",
                "availableCapacities": [{"capacity": capacity, "description": None}],
                "unit": "kWh",
            },
            "charge-chargelimits": {
                "values": [{"type": "GLOBAL", "limit": 80, "condition": None}],
                "activeLimit": 80,
                "unit": "percent",
            },
            "charge-ischargingcableconnected": {"value": charging},
            "charge-ischarging": {"value": charging},
            "charge-detailedchargingstatus": {"value": "CHARGING" if charging else "NOT_CHARGING"},
            "charge-ischargingportflapopen": {"value": charging},
            "charge-wattage": {"value": 7_100 if charging else 0, "unit": "watts"},
            "charge-amperage": {"value": 16 if charging else 0, "unit": "ampere"},
            "charge-voltage": {"value": 230 if charging else 0, "unit": "volts"},
            "charge-timetocomplete": {"value": 45 if charging else 0},
            "charge-chargerate": {"value": 53, "unit": "km/h"},
        },
    )
    if not charging:  # as makers do it: an error that still carries the last good value
        rate = car.signals["charge-chargerate"]
        rate.status, rate.error_type, rate.error_code = "ERROR", "VEHICLE_STATE", "NOT_CHARGING"


def _add_fuel(car: Vehicle, percent: float, full_range: float, litres: float) -> None:
    car.fuel_range_km, car.tank_litres = full_range, litres
    _add(
        car,
        {
            "internalcombustionengine-fuellevel": {"unit": "percent", "value": percent},
            "internalcombustionengine-amountremaining": {"value": round(litres * percent / 100, 1), "unit": "liters"},
            "internalcombustionengine-range": {"value": round(full_range * percent / 100), "unit": "kilometers"},
            "internalcombustionengine-oillife": {"value": 85, "unit": "percent"},
        },
    )
    if not car.electric_range_km:
        _cannot(car, "tractionbattery-stateofcharge", "tractionbattery-range", "charge-ischarging")


def _add(car: Vehicle, bodies: dict[str, dict[str, Any]]) -> None:
    now = time.time()
    for code, body in bodies.items():
        car.signals[code] = Signal(body, now - AGE, now - 2, now)


def _cannot(car: Vehicle, *codes: str) -> None:
    now = time.time()
    for code in codes:
        car.signals[code] = Signal(None, None, None, now, "ERROR", "COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
