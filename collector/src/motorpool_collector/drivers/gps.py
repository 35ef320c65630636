"""Positions from gpsd (its JSON protocol over TCP) or from a serial NMEA receiver."""

from __future__ import annotations

import json
import logging
import math
import socket
import time
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame, Value, needs
from motorpool_collector.recordings.times import parse_date

KNOT = 1.852
"""Kilometres per hour."""
SILENT_SECONDS = 15.0
FASTEST_KNOTS = 100_000
ROLLOVER_SECONDS = 1024 * 7 * 86_400.0
YEAR_1990 = 631_152_000
LONGEST_LINE = 65_536
_NUMBERS = ("mode", "lat", "lon", "alt", "altMSL", "speed", "track", "eph", "uSat")

log = logging.getLogger("motorpool_collector.gps")


class GpsDriver:
    """``port`` for a serial receiver, else gpsd at ``host`` and ``gpsd_port``."""

    def __init__(
        self,
        port: str = "",
        baudrate: Union[int, str] = 9600,
        host: str = "127.0.0.1",
        gpsd_port: Union[int, str] = 2947,
        source: str = "gps",
    ) -> None:
        self.source = source
        self.period: Optional[float] = 0.1
        self.finished = False
        self._port, self._baudrate = port, int(baudrate)
        self._address = (host, int(gpsd_port))
        self._line: Any = None
        self._buffer = b""
        self._heard = 0.0
        self._satellites: Optional[float] = None
        self._fix: Dict[str, Value] = {}
        self._rolled_over = False

    def open(self) -> None:
        """Connect to gpsd, or open the serial port."""
        self._buffer, self._heard = b"", time.monotonic()
        if self._port:
            serial = needs("serial", "gps")
            needs("pynmea2", "gps")
            try:
                self._line = serial.serial_for_url(self._port, self._baudrate, timeout=0)
            except (OSError, ValueError) as error:
                raise CollectorError(f"the GPS receiver at {self._port} cannot be opened: {error}") from None
            return
        try:
            self._line = socket.create_connection(self._address, 3)
            self._line.sendall(b'?WATCH={"enable":true,"json":true};\n')
            self._line.setblocking(False)
        except OSError as error:
            raise CollectorError(f"gpsd does not answer at {self._address[0]}:{self._address[1]}: {error}") from None

    def read(self) -> List[Frame]:
        """The positions that came since."""
        try:
            data = self._line.read(65_536) if self._port else self._line.recv(65_536)
        except BlockingIOError:
            data = None
        except OSError as error:
            raise CollectorError(f"the GPS is gone: {error}") from None
        if data == b"" and not self._port:
            raise CollectorError("gpsd has closed the connection")
        if data:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > SILENT_SECONDS:
            raise CollectorError(f"the GPS has said nothing for {SILENT_SECONDS:.0f} s")
        *lines, self._buffer = (self._buffer + (data or b"")).split(b"\n")
        self._buffer = self._buffer[-LONGEST_LINE:]
        found = (self._of_nmea(line) if self._port else self._of_gpsd(line) for line in lines)
        return [frame for frame in found if frame is not None]

    def _of_gpsd(self, line: bytes) -> Optional[Frame]:
        """A TPV report with a fix (gpsd_json(5)); SKY only tells how many satellites are used."""
        try:
            report = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(report, dict):
            return None
        number = {name: _number(report.get(name)) for name in _NUMBERS}
        if report.get("class") == "SKY" and number["uSat"] is not None:
            self._satellites = number["uSat"]
        mode, latitude, longitude = number["mode"] or 0, number["lat"], number["lon"]
        if report.get("class") != "TPV" or mode < 2 or latitude is None or longitude is None:
            return None
        values: Dict[str, Value] = {"location.latitude": latitude, "location.longitude": longitude}
        altitude = number["alt"] if number["altMSL"] is None else number["altMSL"]
        speed = number["speed"]
        for name, value in (
            ("location.altitude", altitude if mode >= 3 else None),
            ("location.speed", None if speed is None else speed * 3.6),
            ("location.heading", number["track"]),
            ("location.accuracy", number["eph"]),
            ("location.satellites", self._satellites),
        ):
            if value is not None and math.isfinite(value):
                values[name] = round(value, 4)
        return Frame(self._moment(report.get("time")), values)

    def _of_nmea(self, line: bytes) -> Optional[Frame]:
        """GGA tells altitude and satellites, RMC ends a fix with date, position, speed and course (NMEA 0183)."""
        nmea = needs("pynmea2", "gps")
        try:
            sentence = nmea.parse(line.decode("ascii").strip(), check=True)
            kind = getattr(sentence, "sentence_type", "")
            if kind == "GGA":
                fix = (("location.satellites", sentence.num_sats), ("location.altitude", sentence.altitude))
                numbers = {name: _number(value) for name, value in fix} if sentence.gps_qual else {}
                self._fix = {name: value for name, value in numbers.items() if value is not None}
            if kind != "RMC" or sentence.status != "A" or sentence.datestamp is None or sentence.timestamp is None:
                return None
            latitude, longitude = _number(sentence.latitude), _number(sentence.longitude)
            speed, course = _number(sentence.spd_over_grnd), _number(sentence.true_course)
            located = bool(sentence.lat and sentence.lon)
            moment = datetime.combine(sentence.datestamp, sentence.timestamp.replace(tzinfo=timezone.utc))
        except Exception:  # the library meets whatever a worn cable carries
            return None
        if not located or latitude is None or longitude is None:
            return None
        values: Dict[str, Value] = {"location.latitude": round(latitude, 7), "location.longitude": round(longitude, 7)}
        if speed is not None and speed < FASTEST_KNOTS:
            values["location.speed"] = round(speed * KNOT, 3)
        if course is not None:
            values["location.heading"] = course
        return Frame(self._corrected(moment.timestamp()), {**values, **self._fix})

    def _moment(self, text: Any) -> float:
        """The report's own time; the system's where the receiver does not know the date."""
        try:
            parsed = parse_date(str(text))
            moment = parsed.moment if parsed else datetime.fromtimestamp(0, timezone.utc)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
        except (ValueError, OverflowError):
            return round(time.time(), 3)
        return self._corrected(seconds) if seconds > YEAR_1990 else round(time.time(), 3)

    def _corrected(self, moment: float) -> float:
        """A time without the 1,024 weeks by which a receiver falls back when its week number runs over.

        The week number of GPS has ten bits (IS-GPS-200, 20.3.3.3.1.1). A live receiver's time is now: one that is a
        multiple of 1,024 weeks away from the system's clock, to within a day, is put right.
        """
        behind = time.time() - moment
        weeks = round(behind / ROLLOVER_SECONDS)
        if weeks < 1 or abs(behind - weeks * ROLLOVER_SECONDS) > 86_400:
            return moment
        if not self._rolled_over:
            self._rolled_over = True
            log.warning(
                "%s: the receiver's date is %d weeks behind (week rollover); it is corrected", self.source, weeks * 1024
            )
        return round(moment + weeks * ROLLOVER_SECONDS, 6)

    def close(self) -> None:
        """Let go of it."""
        if self._line is not None:
            self._line.close()
        self._line = None

    def describe(self) -> str:
        """What ``check`` tells."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            frames = self.read()
            if frames:
                values = frames[-1].values
                return f"a fix at {values['location.latitude']}, {values['location.longitude']}"
            time.sleep(0.2)
        return "connected, but no fix within 5 s: does the antenna see the sky?"


def _number(value: Any) -> Optional[float]:
    """A finite number, also from a text or a Decimal; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
