"""A Focus ST: speed follows the driver, everything else follows speed, gear and load.

Ranges are those of the Focus ST gateway's documentation (16 PIDs); values are in the portal's units.
"""

from __future__ import annotations

import math
import random
from typing import Dict, Tuple, Union

SCENARIOS = ("idle", "cruising", "acceleration", "hard_driving", "mixed")
MIXED: Tuple[Tuple[str, float], ...] = (
    ("acceleration", 14), ("cruising", 40), ("hard_driving", 30), ("cruising", 20), ("idle", 12),
)  # fmt: skip
IDLE_RPM = 820.0
RPM_PER_KMH = {1: 128.0, 2: 73.0, 3: 49.0, 4: 36.5, 5: 29.0, 6: 24.0}
UPSHIFT_RPM = {"idle": 2500.0, "cruising": 2600.0, "acceleration": 5600.0, "hard_driving": 6200.0}
AMBIENT_KPA = 101.3
PSI = 6.894757


class FocusST:
    """The car's state; `step` moves it on."""

    def __init__(self, scenario: str = "mixed", seed: int = 0) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"the Focus ST's scenarios are {', '.join(SCENARIOS)}, not {scenario!r}")
        self.scenario = scenario
        self.random = random.Random(seed)
        self.clock = 0.0
        self.speed = 0.0
        self.gear = 1
        self.rpm = IDLE_RPM
        self.boost = -65.0
        self.coolant = 35.0
        self.oil = 32.0
        self.intake = 22.0
        self.fuel = 78.0
        self._phase = self.random.uniform(0, 100)

    def step(self, seconds: float) -> Dict[str, Union[float, bool, str]]:
        """Let time pass; returns every reading.

        Args:
            seconds: since the last step.
        """
        self.clock += seconds
        mood = self._mood()
        target = self._target(mood)
        strength = {"idle": 3.0, "cruising": 1.6, "acceleration": 4.5, "hard_driving": 5.5}[mood]
        wanted = max(-7.0, min(strength, (target - self.speed) / 3.6))
        before = self.speed
        self.speed = max(0.0, min(249.0, self.speed + wanted * 3.6 * seconds))
        acceleration = (self.speed - before) / 3.6 / seconds if seconds else 0.0
        self._shift(mood)
        rolling = self.speed * RPM_PER_KMH[self.gear]
        goal = max(IDLE_RPM, min(6500.0, rolling))
        self.rpm += (goal - self.rpm) * min(1.0, seconds * 8)
        load = self._load(acceleration)
        throttle = 0.0 if acceleration < -0.8 else min(100.0, 3 + load * 0.95)
        self._boost(load, seconds)
        self._warm(load, seconds)
        return self._readings(load, throttle, mood)

    def _mood(self) -> str:
        if self.scenario != "mixed":
            return self.scenario
        place = self.clock % sum(length for _, length in MIXED)
        for mood, length in MIXED:
            if place < length:
                return mood
            place -= length
        return "cruising"

    def _target(self, mood: str) -> float:
        wave = math.sin((self.clock + self._phase) / 7)
        if mood == "idle":
            return 0.0
        if mood == "cruising":
            return 96.5 + 6 * wave
        if mood == "acceleration":
            return 150.0 if self.scenario == "mixed" or self.clock % 40 < 25 else 20.0
        return 130 + 70 * math.sin((self.clock + self._phase) / 5)

    def _shift(self, mood: str) -> None:
        rpm = self.speed * RPM_PER_KMH[self.gear]
        if rpm > UPSHIFT_RPM[mood] and self.gear < 6:
            self.gear += 1
        elif self.gear > 1 and self.speed * RPM_PER_KMH[self.gear - 1] < UPSHIFT_RPM[mood] * 0.75:
            self.gear -= 1

    def _load(self, acceleration: float) -> float:
        drag = 0.0006 * self.speed**2 + 0.06 * self.speed
        push = max(0.0, acceleration) * 14 + (0 if acceleration < -0.5 else drag)
        return max(0.0, min(100.0, 12 + push + self.random.gauss(0, 0.6)))

    def _boost(self, load: float, seconds: float) -> None:
        """Vacuum at light load, up to 22 psi at full load and speed; the turbo lags by half a second."""
        spool = max(0.0, min(1.0, (self.rpm - 1500) / 1500))
        goal = -34.0 + (load / 100) * (34.0 + 22 * PSI * spool)
        self.boost += (goal - self.boost) * min(1.0, seconds * 2)
        self.boost = max(-5 * PSI, min(22 * PSI, self.boost))

    def _warm(self, load: float, seconds: float) -> None:
        self.coolant += (90 + load * 0.08 - self.coolant) * min(1.0, seconds / 120)
        self.oil += (92 + load * 0.35 - self.oil) * min(1.0, seconds / 240)
        self.intake += (24 + max(0.0, self.boost) * 0.12 - self.intake) * min(1.0, seconds / 20)
        self.fuel -= seconds * (0.0004 + load * 0.00003)
        if self.fuel < 5:
            self.fuel = 95.0  # a stop at the pump

    def _readings(self, load: float, throttle: float, mood: str) -> Dict[str, Union[float, bool, str]]:
        noise = self.random.gauss
        rpm = max(800.0, min(6500.0, self.rpm + noise(0, 8)))
        boost = self.boost
        maf = max(2.0, min(250.0, rpm / 6500 * (AMBIENT_KPA + boost) * 1.15))
        return {
            "engine.rpm": round(rpm, 1),
            "vehicle.speed": round(self.speed, 2),
            "engine.throttle": round(max(0.0, min(100.0, throttle)), 1),
            "engine.load": round(load, 1),
            "engine.coolant_temp": round(self.coolant + noise(0, 0.05), 2),
            "engine.intake_temp": round(self.intake + noise(0, 0.05), 2),
            "engine.maf": round(maf, 2),
            "engine.intake_pressure": round(max(10 * PSI, min(25 * PSI, AMBIENT_KPA + boost)), 2),
            "engine.timing_advance": round(max(-10.0, min(30.0, 28 - load * 0.24 + noise(0, 0.3))), 1),
            "engine.fuel_pressure": round(min(65.0, max(40.0, 44 + load * 0.18)) * PSI, 1),
            "engine.boost": round(boost, 2),
            "engine.oil_temp": round(self.oil, 2),
            "engine.turbo_speed": round(max(0.0, min(240000.0, (boost + 35) / 187 * 190000 * min(1, rpm / 3500)))),
            "engine.air_fuel_ratio": round(max(10.0, min(16.0, 14.7 - max(0.0, load - 60) * 0.07)), 2),
            "fuel.level": round(self.fuel, 3),
            "electrical.voltage": round(min(14.8, max(12.0, 14.2 + noise(0, 0.04))), 2),
            "vehicle.gear": "N" if self.speed < 1 else str(self.gear),
            "vehicle.ignition": True,
        }
