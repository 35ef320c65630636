"""The OBD port through an ELM327 adapter, with python-OBD: serial, Bluetooth serial, or TCP (``socket://host:port``)."""

from __future__ import annotations

import logging
import time
from typing import Any, Dict, List, Optional, Tuple, Union

from motorpool_collector import obd_codes
from motorpool_collector.driver import CollectorError, Frame, Value, needs

SIGNALS: Dict[str, Tuple[str, str, float]] = {
    # python-OBD's name: signal, its unit there, and how often a second it is asked for
    "RPM": ("engine.rpm", "rpm", 5), "SPEED": ("vehicle.speed", "kph", 5),
    "THROTTLE_POS": ("engine.throttle", "percent", 5), "ENGINE_LOAD": ("engine.load", "percent", 5),
    "INTAKE_PRESSURE": ("engine.intake_pressure", "kilopascal", 5), "MAF": ("engine.maf", "gps", 5),
    "TIMING_ADVANCE": ("engine.timing_advance", "degree", 1), "ACCELERATOR_POS_D": ("engine.accelerator", "percent", 5),
    "COOLANT_TEMP": ("engine.coolant_temp", "degC", 0.5), "INTAKE_TEMP": ("engine.intake_temp", "degC", 0.5),
    "OIL_TEMP": ("engine.oil_temp", "degC", 0.5), "AMBIANT_AIR_TEMP": ("ambient.temp", "degC", 0.1),
    "FUEL_PRESSURE": ("engine.fuel_pressure", "kilopascal", 1), "FUEL_LEVEL": ("fuel.level", "percent", 0.1),
    "FUEL_RATE": ("fuel.rate", "liters_per_hour", 1), "RUN_TIME": ("engine.run_time", "second", 0.2),
    "CONTROL_MODULE_VOLTAGE": ("electrical.voltage", "volt", 0.5),
    "BAROMETRIC_PRESSURE": ("engine.barometric_pressure", "kilopascal", 0.1),
    "SHORT_FUEL_TRIM_1": ("engine.short_fuel_trim", "percent", 1),
    "LONG_FUEL_TRIM_1": ("engine.long_fuel_trim", "percent", 0.5),
    "CATALYST_TEMP_B1S1": ("engine.catalyst_temp", "degC", 0.2),
    "COMMANDED_EQUIV_RATIO": ("engine.lambda", "ratio", 1), "ABSOLUTE_LOAD": ("engine.absolute_load", "percent", 1),
    "DISTANCE_W_MIL": ("engine.mil_distance", "kilometer", 0.02), "ETHANOL_PERCENT": ("fuel.ethanol", "percent", 0.02),
    "HYBRID_BATTERY_REMAINING": ("traction_battery.soc", "percent", 0.2),
}  # fmt: skip
FREEZE_FRAME = ("ENGINE_LOAD", "COOLANT_TEMP", "RPM", "SPEED", "INTAKE_PRESSURE", "INTAKE_TEMP", "THROTTLE_POS", "MAF")
STATUS_SECONDS = 30.0
MOST_SILENT = 5
"""Answers missed in a row that mean the adapter is gone."""


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
        """``rates`` maps python-OBD's names to times a second (0: never), as a table or ``RPM=10;FUEL_LEVEL=0.1``."""
        self.source = source
        self.period: Optional[float] = 0.02
        self.finished = False
        self.port, self.protocol = port, protocol
        self.vin = ""
        try:
            self.baudrate = int(baudrate) or (38400 if port.startswith("socket://") else None)
            self.timeout = float(timeout)
            given = dict(p.split("=") for p in rates.split(";") if p) if isinstance(rates, str) else (rates or {})
            self.rates = {name: float(rate) for name, rate in given.items()}
        except ValueError as error:
            raise CollectorError(f"obd: {error}", permanent=True) from None
        unknown = self.rates.keys() - SIGNALS.keys()
        if unknown:
            raise CollectorError(f"obd: rates knows no {', '.join(sorted(unknown))}.", permanent=True)
        self._obd: Any = None
        self._connection: Any = None
        self._due: Dict[str, float] = {}
        self._silent = 0
        self._pressure: Dict[str, float] = {}

    def open(self) -> None:
        """Connect, and ask what is supported."""
        self._obd = needs("obd", "obd")
        for name in ("obd", "obd.obd", "obd.elm327"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._connection = self._obd.OBD(
                self.port or None, baudrate=self.baudrate, protocol=self.protocol or None, fast=False,
                timeout=self.timeout,
            )  # fmt: skip
        except Exception as error:
            raise CollectorError(f"the adapter at {self.port or 'any port'} cannot be opened: {error}") from None
        status = self._connection.status()
        if status != self._obd.OBDStatus.CAR_CONNECTED:
            self.close()
            where = self.port or "any port"
            if status == self._obd.OBDStatus.NOT_CONNECTED:
                raise CollectorError(f"no ELM327 adapter answers at {where}")
            raise CollectorError(f"the adapter at {where} answers ({status}), but not the car: is the ignition on?")
        known = {command.name for command in self._connection.supported_commands}
        now = time.monotonic()
        self._due = {name: now for name in SIGNALS if name in known and self._rate(name) > 0}
        self._due["STATUS"] = now
        self._silent = 0
        self.vin = self._read_vin()

    def _rate(self, name: str) -> float:
        return self.rates.get(name, SIGNALS[name][2])

    def read(self) -> List[Frame]:
        """Ask for what is due: the most overdue first, a few at a time so that commands get their turn."""
        now = time.monotonic()
        due = sorted((name for name, at in self._due.items() if at <= now), key=lambda name: self._due[name])[:8]
        values: Dict[str, Value] = {}
        for name in due:
            every = STATUS_SECONDS if name == "STATUS" else 1 / self._rate(name)
            self._due[name] = max(self._due[name] + every, time.monotonic() - every)
            values.update(self._ask(name))
        return [Frame(round(time.time(), 3), values)] if values else []

    def _ask(self, name: str) -> Dict[str, Value]:
        value = self._query(getattr(self._obd.commands, name))
        if value is None:
            return {}
        if name == "STATUS":
            return {"engine.mil": bool(value.MIL), "engine.dtc_count": float(value.DTC_count)}
        signal, unit, _ = SIGNALS[name]
        number = float(value.to(unit).magnitude) if hasattr(value, "to") else float(value)
        return {signal: round(number, 4), **self._boost(name, number)}

    def _boost(self, name: str, number: float) -> Dict[str, Value]:
        """Boost, as gauge pressure, once both pressures it is made of are known."""
        if name in ("INTAKE_PRESSURE", "BAROMETRIC_PRESSURE"):
            self._pressure[name] = number
            if name == "INTAKE_PRESSURE" and "BAROMETRIC_PRESSURE" in self._pressure:
                return {"engine.boost": round(number - self._pressure["BAROMETRIC_PRESSURE"], 2)}
        return {}

    def _query(self, command: Any) -> Any:
        try:
            answer = self._connection.query(command, force=True)
        except Exception as error:
            raise CollectorError(f"the adapter at {self.port} is gone: {error}") from None
        if answer.is_null():
            self._silent += 1
            if not self._connection.is_connected() or self._silent >= MOST_SILENT:
                raise CollectorError(f"the adapter at {self.port} does not answer any more")
            return None
        self._silent = 0
        return answer.value

    def _raw(self, request: bytes) -> List[Tuple[str, bytes]]:
        """The data bytes of each control unit that answers, after the echoed mode."""
        command = self._obd.OBDCommand(
            "RAW_" + request.decode(), "raw", request, 0, lambda messages: messages, self._obd.ECU.ALL, False
        )
        messages = self._query(command)
        return [(f"{message.ecu:02X}", bytes(message.data[1:])) for message in messages or () if len(message.data) > 1]

    def _read_vin(self) -> str:
        # python-OBD's own decoder loses digits at both ends.
        for _, data in self._raw(b"0902"):
            vin = obd_codes.vin_of(data[1:])
            if vin:
                return vin
        return ""

    def command(self, name: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out one of `commands`; raises `CollectorError`."""
        if name == "pid_query":
            return self._pid_query(arguments)
        if name == "dtc_read":
            return self._dtc_read()
        if not self._raw(b"04") and self._stored():
            raise CollectorError("The car did not accept the command: the ignition has to be on, the engine off.")
        return {"cleared": True, "codes": [{"code": code, "status": "confirmed"} for code in self._stored()]}

    def _stored(self) -> List[str]:
        return [code for _, data in self._raw(b"03") for code in obd_codes.trouble_codes(data)]

    def _pid_query(self, arguments: Dict[str, Any]) -> Dict[str, Any]:
        request = obd_codes.request_of(arguments.get("pid", ""))
        formula = str(arguments.get("formula") or "")
        answers = []
        for unit, data in self._raw(request):
            payload = data[len(request) // 2 - 1 :]  # after the echoed PID
            found: Dict[str, Any] = {"ecu": unit, "bytes": payload.hex(" ").upper()}
            if formula:
                found["value"] = obd_codes.formula_value(formula, payload)
            answers.append(found)
        if not answers:
            raise CollectorError(f"No control unit answers {request.decode()}.")
        return {"pid": request.decode(), "answers": answers}

    def _dtc_read(self) -> Dict[str, Any]:
        codes: Dict[str, str] = {}
        for request, status in ((b"07", "pending"), (b"03", "confirmed"), (b"0A", "permanent")):
            for _, data in self._raw(request):
                codes.update(dict.fromkeys(obd_codes.trouble_codes(data), status))
        status = self._query(self._obd.commands.STATUS)
        answer: Dict[str, Any] = {
            "vin": self.vin,
            "codes": [{"code": code, "status": state} for code, state in sorted(codes.items())],
        }
        if status is not None:
            answer |= {"mil": bool(status.MIL), "count": int(status.DTC_count), "readiness": _readiness(status)}
        if codes:
            answer["freeze_frame"] = self._freeze_frame()
        return answer

    def _freeze_frame(self) -> Dict[str, Any]:
        frame: Dict[str, Any] = {}
        for _, data in self._raw(b"020200"):
            if len(data) >= 4 and (data[-2] or data[-1]):
                frame["code"] = obd_codes.code_name(data[-2], data[-1])
        for name in FREEZE_FRAME:
            command = getattr(self._obd.commands, "DTC_" + name, None)
            value = self._query(command) if command else None
            if value is not None and hasattr(value, "to"):
                frame[SIGNALS[name][0]] = round(float(value.to(SIGNALS[name][1]).magnitude), 3)
        return frame

    def close(self) -> None:
        """Let the adapter go."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def describe(self) -> str:
        """What ``check`` tells."""
        names = ", ".join(sorted(SIGNALS[name][0] for name in self._due if name in SIGNALS))
        return f"{self._connection.protocol_name()}, VIN {self.vin or 'not told'}, reads {names}"


def _readiness(status: Any) -> Dict[str, str]:
    """The monitors that the car has, and whether each has run since the codes were cleared."""
    monitors = {}
    for name, test in vars(status).items():
        if getattr(test, "available", False):
            monitors[name.lower()] = "complete" if test.complete else "not complete"
    return monitors
