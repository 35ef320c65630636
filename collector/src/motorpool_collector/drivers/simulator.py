"""Simulated vehicles: a Focus ST and an EV whose readings belong together."""

from __future__ import annotations

import time
from typing import Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.drivers.simulated_ev import ElectricCar
from motorpool_collector.drivers.simulated_focus import FocusST

MODELS = {"focus_st": FocusST, "ev": ElectricCar}


class SimulatorDriver:
    """Drives a model in real time, from a seed."""

    def __init__(
        self,
        model: str = "focus_st",
        scenario: str = "mixed",
        hz: Union[float, str] = 10,
        seed: Union[int, str] = 0,
    ) -> None:
        if model not in MODELS:
            raise CollectorError(f"There is no model {model!r}; known are {', '.join(MODELS)}.", permanent=True)
        self.source = "simulator"
        self.finished = False
        try:
            self.period: Optional[float] = 1 / float(hz)
            self.car: Union[FocusST, ElectricCar] = MODELS[model](scenario, int(seed))  # type: ignore[assignment]
        except (ValueError, ZeroDivisionError) as error:
            raise CollectorError(f"Simulator: {error}", permanent=True) from None
        self._last: Optional[float] = None

    def open(self) -> None:
        """Nothing to connect to."""

    def read(self) -> List[Frame]:
        """The car as it is now."""
        now = time.time()
        elapsed = 0.0 if self._last is None else min(5.0, max(0.0, now - self._last))
        self._last = now
        values: Dict[str, Union[float, bool, str]] = self.car.step(elapsed)
        return [Frame(round(now, 3), values)]

    def close(self) -> None:
        """Nothing to let go of."""
