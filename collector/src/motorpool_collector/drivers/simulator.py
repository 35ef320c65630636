"""Simulated vehicles: a Focus ST and an EV whose readings belong together, and that answer a tester's questions."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Tuple, Union

from motorpool_collector.driver import CollectorError, Frame, Value
from motorpool_collector.drivers.simulated_ev import ElectricCar
from motorpool_collector.drivers.simulated_focus import FocusST
from motorpool_collector.obd import codes
from motorpool_collector.obd.formulas import formula_value

MODELS = {"focus_st": FocusST, "ev": ElectricCar}
VIN = "1FADP3L97DL000018"
CODES = (("P0299", "confirmed"), ("P0171", "pending"))
"""What the simulated car tells until it is cleared."""
FREEZE_FRAME = ("engine.rpm", "vehicle.speed", "engine.load", "engine.coolant_temp", "engine.boost")


class SimulatorDriver:
    """Drives a model in real time, from a seed."""

    commands = ("pid_query", "dtc_read", "dtc_clear")

    def __init__(
        self,
        model: str = "focus_st",
        scenario: str = "mixed",
        hz: Union[float, str] = 10,
        seed: Union[int, str] = 0,
    ) -> None:
        """``scenario`` is a name, or a script of names and seconds that is repeated: ``idle:10;acceleration:20``."""
        if model not in MODELS:
            raise CollectorError(f"There is no model {model!r}; known are {', '.join(MODELS)}.", permanent=True)
        self.source = "simulator"
        self.finished = False
        try:
            self._script = _script(scenario)
            self.period: Optional[float] = 1 / float(hz)
            self.car: Any = MODELS[model](self._script[0][0], int(seed))
            for name, _ in self._script[1:]:
                MODELS[model](name, 0)  # a wrong name is told now, not on the road
        except (ValueError, ZeroDivisionError) as error:
            raise CollectorError(f"Simulator: {error}", permanent=True) from None
        self._last: Optional[float] = None
        self._driven = 0.0
        self._values: Dict[str, Value] = {}
        self._codes = list(CODES)

    def open(self) -> None:
        """Nothing to connect to."""

    def read(self) -> List[Frame]:
        """The car as it is now."""
        now = time.time()
        elapsed = 0.0 if self._last is None else min(5.0, max(0.0, now - self._last))
        self._last = now
        self._driven += elapsed
        if len(self._script) > 1:
            self.car.scenario = self._scenario()
        self._values = self.car.step(elapsed)
        return [Frame(round(now, 3), self._values)]

    def _scenario(self) -> str:
        place = self._driven % sum(seconds for _, seconds in self._script)
        for name, seconds in self._script:
            if place < seconds:
                return name
            place -= seconds
        return self._script[0][0]

    def command(self, name: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Answer as a car would; raises `CollectorError`."""
        if name == "dtc_clear":
            self._codes = []
            return {"cleared": True, "codes": []}
        if name == "dtc_read":
            frame = {signal: self._values[signal] for signal in FREEZE_FRAME if signal in self._values}
            found = [{"code": code, "status": status} for code, status in self._codes]
            more = {"freeze_frame": {"code": found[0]["code"], **frame}} if found else {}
            mil = any(status == "confirmed" for _, status in self._codes)
            return {"vin": VIN, "codes": found, "mil": mil, "count": len(found), **more}
        request = codes.request_of(arguments.get("pid", "")).hex().upper()
        data = self._answer(request)
        answer: Dict[str, Any] = {"ecu": "01", "bytes": data.hex(" ").upper()}
        if arguments.get("formula"):
            answer["value"] = formula_value(str(arguments["formula"]), data)
        return {"pid": request, "answers": [answer]}

    def _answer(self, request: str) -> bytes:
        """The data bytes of a query (SAE J1979): engine speed, speed, coolant temperature, load, throttle."""

        def of(signal: str, factor: float = 1.0, offset: float = 0.0) -> int:
            return max(0, round((float(self._values.get(signal, 0.0)) + offset) * factor))

        if request == "010C":
            return (of("engine.rpm", 4) & 0xFFFF).to_bytes(2, "big")
        one = {
            "010D": lambda: of("vehicle.speed"), "0105": lambda: of("engine.coolant_temp", 1, 40),
            "0104": lambda: of("engine.load", 2.55), "0111": lambda: of("engine.throttle", 2.55),
        }.get(request)  # fmt: skip
        if one is None:
            raise CollectorError(f"No control unit answers {request}.")
        return bytes([min(255, one())])

    def close(self) -> None:
        """Nothing to let go of."""


def _script(words: str) -> List[Tuple[str, float]]:
    """A scenario, or several with their seconds; raises `ValueError`."""
    steps = []
    for part in words.replace(";", ",").split(","):
        name, colon, seconds = part.strip().partition(":")
        steps.append((name, float(seconds) if colon else 30.0))
    if any(seconds <= 0 for _, seconds in steps):
        raise ValueError(f"the steps of {words!r} need seconds above 0")
    return steps
