"""An electric car: power follows speed, the battery follows power, the position follows a closed route."""

from __future__ import annotations

import math
import random
from typing import Dict, Union

SCENARIOS = ("idle", "cruising", "acceleration", "hard_driving", "mixed", "charging")
CAPACITY_KWH = 52.0
MASS_KG = 1600.0
TRACKS = (("Long Road", "The Axles"), ("Night Lights", "Low Beam"), ("Recuperation", "Kilowatt Choir"))
CENTRE = (52.0907, 5.1214)
RADIUS_M = 2600.0


class ElectricCar:
    """The car's state; `step` moves it on. Negative current is charging."""

    def __init__(self, scenario: str = "mixed", seed: int = 0) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"the EV's scenarios are {', '.join(SCENARIOS)}, not {scenario!r}")
        self.scenario = scenario
        self.random = random.Random(seed)
        self.clock = self.random.uniform(0, 200)
        self.speed = 0.0
        self.soc = 41.0 if scenario == "charging" else 82.0
        self.odometer = 24_310.0 + seed
        self.travelled = self.random.uniform(0, 10_000)
        self.battery_temp = 19.0
        self.motor_temp = 24.0
        self.limit = 80.0

    def step(self, seconds: float) -> Dict[str, Union[float, bool, str]]:
        """Let time pass; returns every reading.

        Args:
            seconds: since the last step.
        """
        self.clock += seconds
        before = self.speed
        self.speed += max(-4.0, min(3.2, (self._target() - self.speed) / 3.6)) * 3.6 * seconds
        self.speed = max(0.0, min(160.0, self.speed))
        acceleration = (self.speed - before) / 3.6 / seconds if seconds else 0.0
        charging = self.scenario == "charging" and self.soc < self.limit
        power = self._charge_power() if charging else self._drive_power(acceleration)
        self.soc = max(4.0, min(100.0, self.soc - power * seconds / 3600 / CAPACITY_KWH * 100))
        if self.soc <= 4.0:
            self.soc = 90.0  # charged overnight
        if self.scenario == "charging" and self.soc >= self.limit and self.clock % 600 < 1:
            self.soc = 30.0  # another day's charge
        distance = self.speed / 3.6 * seconds
        self.travelled += distance
        self.odometer += distance / 1000
        self.battery_temp += (20 + abs(power) * 0.18 - self.battery_temp) * min(1.0, seconds / 300)
        self.motor_temp += (22 + abs(power) * 0.9 - self.motor_temp) * min(1.0, seconds / 90)
        return self._readings(power, charging)

    def _target(self) -> float:
        wave = math.sin(self.clock / 6)
        stop = self.clock % 75 < 9
        if self.scenario in ("idle", "charging"):
            return 0.0
        if self.scenario == "hard_driving":
            return max(0.0, 90 + 65 * wave)
        if self.scenario == "acceleration":
            return 120.0 if self.clock % 30 < 15 else 0.0
        return 0.0 if stop and self.scenario == "mixed" else 52 + 11 * wave

    def _drive_power(self, acceleration: float) -> float:
        """Kilowatts drawn: rolling and air resistance, acceleration, 0.6 kW for the rest; braking gives back."""
        metres = self.speed / 3.6
        force = 0.010 * MASS_KG * 9.81 + 0.40 * metres**2 + MASS_KG * acceleration
        mechanical = force * metres / 1000 if metres > 0.3 else 0.0
        electric = mechanical / 0.92 if mechanical > 0 else mechanical * 0.65
        return max(-60.0, min(100.0, electric)) + 0.6

    def _charge_power(self) -> float:
        return -(46.0 if self.soc < 60 else 46.0 - (self.soc - 60) * 1.4)

    def _readings(self, power: float, charging: bool) -> Dict[str, Union[float, bool, str]]:
        noise = self.random.gauss
        voltage = 330 + self.soc * 0.72 - power * 0.09
        spread = abs(noise(0, 0.3))
        parked = self.scenario == "charging"
        latitude, longitude, heading = self._position()
        title, artist = TRACKS[int(self.clock // 180) % len(TRACKS)]
        plugged = parked
        state = "charging" if charging else "complete" if plugged else "unplugged"
        return {
            "vehicle.speed": round(self.speed, 2),
            "vehicle.wheel_speed": round(self.speed * 1.006, 2),
            "vehicle.range": round(self.soc / 100 * CAPACITY_KWH / 0.155, 1),
            "vehicle.odometer": round(self.odometer, 3),
            "vehicle.efficiency_score": round(max(0.0, min(10.0, 9 - abs(power) * 0.05)), 2),
            "vehicle.ignition": not parked,
            "vehicle.locked": parked,
            "vehicle.gear": "P" if parked else "D",
            "motor.rpm": round(self.speed * 86),
            "motor.temp": round(self.motor_temp, 2),
            "traction_battery.soc": round(self.soc, 4),
            "traction_battery.soh": 96.4,
            "traction_battery.voltage": round(voltage, 2),
            "traction_battery.current": round(power * 1000 / voltage, 3),
            "traction_battery.power": round(power, 4),
            "traction_battery.temp_max": round(self.battery_temp + spread, 2),
            "traction_battery.temp_min": round(self.battery_temp - spread, 2),
            "traction_battery.cell_block_a": round(self.battery_temp + spread, 2),
            "traction_battery.cell_block_b": round(self.battery_temp, 2),
            "traction_battery.cell_block_c": round(self.battery_temp - spread, 2),
            "charge.state": state,
            "charge.plugged_in": plugged,
            "charge.limit": self.limit,
            "charge.power": round(-power, 3) if charging else 0.0,
            "electrical.voltage": round(14.1 + noise(0, 0.02), 2),
            "location.latitude": round(latitude, 7),
            "location.longitude": round(longitude, 7),
            "location.altitude": round(4 + 3 * math.sin(self.travelled / 900), 2),
            "location.speed": round(max(0.0, self.speed + noise(0, 0.15)), 2) if self.speed > 0.5 else 0.0,
            "location.heading": round(heading, 1),
            "location.satellites": 11,
            "tire.front_left": round(238 + noise(0, 0.2), 1),
            "tire.front_right": round(237 + noise(0, 0.2), 1),
            "tire.rear_left": round(243 + noise(0, 0.2), 1),
            "tire.rear_right": round(242 + noise(0, 0.2), 1),
            "cabin.temp": round(21 + 0.6 * math.sin(self.clock / 90), 2),
            "cabin.humidity": round(43 + 3 * math.sin(self.clock / 130), 2),
            "ambient.temp": round(12 + 0.4 * math.sin(self.clock / 700), 2),
            "connectivity.wifi": True,
            "connectivity.bluetooth": True,
            "connectivity.can_bus": True,
            "media.title": title,
            "media.artist": artist,
            "media.playing": not parked,
            "media.volume": 35.0,
            "media.position": round(self.clock % 180, 1),
            "settings.charge_limit": self.limit,
            "settings.regen_level": "standard",
            "settings.drive_mode": "normal",
            "settings.brightness": 70.0,
            "settings.theme": "dark",
        }

    def _position(self) -> "tuple[float, float, float]":
        """A closed ring road with bends, as latitude, longitude and heading."""
        here, ahead = self._point(self.travelled), self._point(self.travelled + 5)
        north, east = ahead[0] - here[0], ahead[1] - here[1]
        heading = math.degrees(math.atan2(east, north)) % 360
        latitude = CENTRE[0] + here[0] / 111_320
        return latitude, CENTRE[1] + here[1] / (111_320 * math.cos(math.radians(CENTRE[0]))), heading

    def _point(self, travelled: float) -> "tuple[float, float]":
        angle = travelled / RADIUS_M
        radius = RADIUS_M * (1 + 0.12 * math.sin(3 * angle) + 0.05 * math.cos(7 * angle))
        return radius * math.sin(angle), radius * math.cos(angle)
