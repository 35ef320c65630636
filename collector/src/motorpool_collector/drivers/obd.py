"""The OBD port through an ELM327 adapter: serial, Bluetooth serial, or TCP (``socket://host:port``)."""

from __future__ import annotations

import logging
import time
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame, Value
from motorpool_collector.obd import codes
from motorpool_collector.obd.adapter import SEARCH_SECONDS, Elm327, Silent
from motorpool_collector.obd.answers import Answer
from motorpool_collector.obd.diagnostics import clear_codes, read_codes
from motorpool_collector.obd.formulas import formula_value
from motorpool_collector.obd.parameters import PARAMETERS, Parameter, blank, monitor_status

STATUS_SECONDS = 30.0
MOST_SILENT = 3
"""So many requests in a row without any sign of the adapter mean that it is gone."""
UNANSWERED_SECONDS = 20.0
"""After so long without an answer from the car it is searched for anew."""
FEW_FAILURES = 3
REST_SECONDS = 60.0
"""A parameter that failed `FEW_FAILURES` times in a row is asked for this seldom."""
AWAKE_SECONDS = 5.0
AT_ONCE = 8

log = logging.getLogger("motorpool_collector.obd")


class ObdDriver:
    """Asks the car's control units for what they support, each parameter at its own rate."""

    commands = ("pid_query", "dtc_read", "dtc_clear")

    def __init__(
        self,
        port: str = "",
        baudrate: Union[int, str] = 0,
        protocol: str = "",
        rates: Union[Dict[str, float], str, None] = None,
        timeout: Union[float, str] = 2.0,
        source: str = "obd",
    ) -> None:
        """``rates`` maps parameters' names to times a second (0: never), as a table or ``RPM=10;FUEL_LEVEL=0.1``."""
        self.source = source
        self.period: Optional[float] = 0.02
        self.finished = False
        self.port, self.protocol = port, str(protocol).upper()
        self.vin = ""
        try:
            self.baudrate = int(baudrate) or None
            self.timeout = float(timeout)
            given = dict(p.split("=") for p in rates.split(";") if p) if isinstance(rates, str) else (rates or {})
            self.rates = {name: float(rate) for name, rate in given.items()}
        except ValueError as error:
            raise CollectorError(f"obd: {error}", permanent=True) from None
        unknown = self.rates.keys() - PARAMETERS.keys()
        if unknown:
            raise CollectorError(f"obd: rates knows no {', '.join(sorted(unknown))}.", permanent=True)
        if self.protocol not in ("", *"0123456789ABC"):
            raise CollectorError("obd: protocol is a number from 0 (automatic) to 9, or A to C.", permanent=True)
        self._adapter: Optional[Elm327] = None
        self._supported: Dict[str, int] = {}
        self._unit = ""
        self._due: Dict[str, float] = {}
        self._failed: Dict[str, int] = {}
        self._silent = 0
        self._answered = 0.0
        self._awake = 0.0
        self._pressure: Dict[str, float] = {}

    def open(self) -> None:
        """Connect, and ask what is supported; raises `CollectorError`, which says what is wrong."""
        adapter = self._adapter = Elm327(self.port, self.baudrate, self.timeout)
        try:
            adapter.open(self.protocol)
            self._discover(adapter)
        except CollectorError:
            self.close()
            raise
        now = time.monotonic()
        self._silent, self._answered, self._awake = 0, now, 0.0
        self._failed = {}
        self._due = {name: now for name, p in PARAMETERS.items() if self._has(p.pid) and self._rate(name) > 0}
        self._due["STATUS"] = now
        self.vin = self._read_vin()

    def _discover(self, adapter: Elm327) -> None:
        """Which control units there are, and what each supports (PIDs 00, 20, 40 and so on)."""
        self._supported, self._unit = {}, ""
        for first in range(0x00, 0xE0, 0x20):
            answer = adapter.request(bytes([0x01, first]), SEARCH_SECONDS if not first else None)
            if not first:
                adapter.read_protocol()
            found = {unit: int.from_bytes(data, "big") for unit, data in answer.data.items() if len(data) == 4}
            if not first and not found:
                raise CollectorError(self._no_car(adapter, answer))
            for unit, bits in found.items():
                if bits != 0xFFFFFFFF:
                    pids = sum(1 << (first + 32 - i) for i in range(32) if bits >> i & 1)
                    self._supported[unit] = self._supported.get(unit, 0) | pids
            if not any(pids >> (first + 32) & 1 for pids in self._supported.values()):
                break
        if not any(self._supported.values()):
            raise CollectorError(f"the adapter at {adapter.where} answers, but the car supports no parameter at all")
        self._unit = max(sorted(self._supported), key=lambda unit: bin(self._supported[unit]).count("1"))

    def _no_car(self, adapter: Elm327, answer: Answer) -> str:
        volts = adapter.voltage()
        at_port = f", {volts} at the port" if volts else ""
        return (
            f"the adapter at {adapter.where} answers{at_port}, but not the car: {answer.reason()}; is the ignition on?"
        )

    def _has(self, pid: int) -> bool:
        return any(pids >> pid & 1 for pids in self._supported.values())

    def _rate(self, name: str) -> float:
        return self.rates.get(name, PARAMETERS[name].hz)

    def read(self) -> List[Frame]:
        """Ask for what is due: the most overdue first, a few at a time so that commands get their turn."""
        now = time.monotonic()
        due = sorted((name for name, at in self._due.items() if at <= now), key=lambda name: self._due[name])
        values: Dict[str, Value] = {}
        for name in due[:AT_ONCE]:
            found = self._status_values() if name == "STATUS" else self._parameter(name)
            values.update(found)
            self._failed[name] = 0 if found else self._failed.get(name, 0) + 1
            every = STATUS_SECONDS if name == "STATUS" else 1 / self._rate(name)
            if self._failed[name] >= FEW_FAILURES:
                every = max(every, REST_SECONDS)
            self._due[name] = max(self._due[name] + every, time.monotonic() - every)
        if due and time.monotonic() - self._answered > UNANSWERED_SECONDS:
            raise CollectorError("the car has not answered for a while: is the ignition on?")
        return [Frame(round(time.time(), 3), values)] if values else []

    def _parameter(self, name: str) -> Dict[str, Value]:
        parameter = PARAMETERS[name]
        data = self._bytes(parameter)
        if data is not None and blank(data):
            data = self._confirmed(parameter) if parameter.full_scale_is_real else None
        if data is None:
            return {}
        if not blank(data):
            self._awake = time.monotonic()
        number = parameter.decode(int.from_bytes(data, "big"))
        return {parameter.signal: round(number, 4), **self._boost(name, number)}

    def _bytes(self, parameter: Parameter, service: int = 0x01) -> Optional[bytes]:
        """A parameter's data bytes from the control unit that is best at it; None where none has them."""
        request = bytes([0x02, parameter.pid, 0]) if service == 0x02 else bytes([service, parameter.pid])
        answer = self._ask(request)
        for unit in (self._unit, *sorted(self._supported)):
            data = answer.data.get(unit)
            can = self._supported.get(unit, 0) >> parameter.pid & 1 or service != 0x01
            if data is not None and can and len(data) == parameter.size:
                return data
        # Adapters that show no headers do not tell who answers.
        return next((data for unit, data in answer.data.items() if unit == "car" and len(data) == parameter.size), None)

    def _confirmed(self, parameter: Parameter) -> Optional[bytes]:
        """All bytes FF where that may be real: asked again, and believed of a control unit that has other values."""
        data = self._bytes(parameter)
        if data is None or not blank(data):
            return data
        if time.monotonic() - self._awake > AWAKE_SECONDS:
            for name in ("RPM", "SPEED", "COOLANT_TEMP"):
                other = self._bytes(PARAMETERS[name]) if self._has(PARAMETERS[name].pid) else None
                if other is not None and not blank(other):
                    self._awake = time.monotonic()
                    return data
            return None
        return data

    def _boost(self, name: str, number: float) -> Dict[str, Value]:
        """Boost, as gauge pressure, once both pressures it is made of are known."""
        if name in ("INTAKE_PRESSURE", "BAROMETRIC_PRESSURE"):
            self._pressure[name] = number
            if name == "INTAKE_PRESSURE" and "BAROMETRIC_PRESSURE" in self._pressure:
                return {"engine.boost": round(number - self._pressure["BAROMETRIC_PRESSURE"], 2)}
        return {}

    def _status_values(self) -> Dict[str, Value]:
        found = self._ask(b"\x01\x01").data
        status = monitor_status(found.get(self._unit) or next(iter(found.values()), b""))
        return {} if status is None else {"engine.mil": status.mil, "engine.dtc_count": float(status.count)}

    def _ask(self, request: bytes, header: str = "", receive: str = "") -> Answer:
        """What the car answers; a silent adapter is given some tries, and then given up."""
        if self._adapter is None:
            raise CollectorError("the adapter is not connected")
        try:
            answer = self._adapter.request(request, None, header, receive)
        except Silent:
            self._silent += 1
            if self._silent >= MOST_SILENT:
                raise CollectorError(f"the adapter at {self._adapter.where} does not answer any more") from None
            return Answer()
        self._silent = 0
        if answer.data or answer.refused:
            self._answered = time.monotonic()
        elif answer.unreachable:
            raise CollectorError(f"the car cannot be reached: the adapter says {answer.unreachable!r}")
        return answer

    def _read_vin(self) -> str:
        vins = (codes.vin_of(data) for data in self._ask(b"\x09\x02").data.values())
        return next(filter(None, vins), "")

    def command(self, name: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out one of `commands`; raises `CollectorError`."""
        if name == "pid_query":
            return self._pid_query(arguments)
        protocol = self._adapter.protocol if self._adapter else ""
        run = read_codes if name == "dtc_read" else clear_codes
        return run(self._ask, protocol, {"vin": self.vin})

    def _pid_query(self, arguments: Dict[str, Any]) -> Dict[str, Any]:
        request = codes.request_of(arguments.get("pid", ""))
        header, receive = codes.header_of(arguments.get("header")), codes.header_of(arguments.get("receive"))
        formula = str(arguments.get("formula") or "")
        answer = self._ask(request, header, receive)
        if not answer.data:
            raise CollectorError(f"{request.hex().upper()}: {answer.reason()}.")
        answers = []
        for unit, data in sorted(answer.data.items()):
            found: Dict[str, Any] = {"ecu": unit, "bytes": data.hex(" ").upper()}
            if formula:
                found["value"] = formula_value(formula, data)
            answers.append(found)
        return {"pid": request.hex().upper(), "answers": answers}

    def close(self) -> None:
        """Let the adapter go."""
        if self._adapter is not None:
            self._adapter.close()
        self._adapter = None

    def describe(self) -> str:
        """What ``check`` tells."""
        names = ", ".join(sorted(PARAMETERS[name].signal for name in self._due if name in PARAMETERS))
        protocol = self._adapter.protocol if self._adapter else ""
        return f"protocol {protocol or 'unknown'}, VIN {self.vin or 'not reported'}, reads {names}"
