"""Positions from gpsd (its JSON protocol over TCP) or from a serial NMEA receiver."""

from __future__ import annotations

import json
import socket
import time
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame, Value, needs

KNOT = 1.852
"""Kilometres per hour."""
SILENT_SECONDS = 15.0


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
        found = (self._of_nmea(line) if self._port else self._of_gpsd(line) for line in lines)
        return [frame for frame in found if frame is not None]

    def _of_gpsd(self, line: bytes) -> Optional[Frame]:
        """A TPV report with a fix (gpsd_json(5)); SKY only tells how many satellites are used."""
        try:
            report = json.loads(line)
        except ValueError:
            return None
        if not isinstance(report, dict):
            return None
        if report.get("class") == "SKY" and isinstance(report.get("uSat"), (int, float)):
            self._satellites = float(report["uSat"])
        if report.get("class") != "TPV" or report.get("mode", 0) < 2 or "lat" not in report or "lon" not in report:
            return None
        values: Dict[str, Value] = {"location.latitude": report["lat"], "location.longitude": report["lon"]}
        altitude = report.get("altMSL", report.get("alt"))
        for name, value in (
            ("location.altitude", altitude if report["mode"] >= 3 else None),
            ("location.speed", report["speed"] * 3.6 if "speed" in report else None),
            ("location.heading", report.get("track")),
            ("location.accuracy", report.get("eph")),
            ("location.satellites", self._satellites),
        ):
            if value is not None:
                values[name] = round(float(value), 4)
        return Frame(_moment(report.get("time")), values)

    def _of_nmea(self, line: bytes) -> Optional[Frame]:
        """GGA tells altitude and satellites, RMC ends a fix with date, position, speed and course (NMEA 0183)."""
        nmea = needs("pynmea2", "gps")
        try:
            sentence = nmea.parse(line.decode("ascii").strip(), check=True)
        except (nmea.ParseError, UnicodeDecodeError, ValueError):
            return None
        kind = getattr(sentence, "sentence_type", "")
        try:
            if kind == "GGA" and sentence.gps_qual:
                self._fix = {
                    "location.satellites": float(sentence.num_sats),
                    "location.altitude": float(sentence.altitude),
                }
            if kind != "RMC" or sentence.status != "A" or sentence.datestamp is None:
                return None
            values: Dict[str, Value] = {
                "location.latitude": round(sentence.latitude, 7), "location.longitude": round(sentence.longitude, 7),
            }  # fmt: skip
            if sentence.spd_over_grnd is not None:
                values["location.speed"] = round(float(sentence.spd_over_grnd) * KNOT, 3)
            if sentence.true_course is not None:
                values["location.heading"] = float(sentence.true_course)
            moment = datetime.combine(sentence.datestamp, sentence.timestamp.replace(tzinfo=timezone.utc))
        except (TypeError, ValueError, AttributeError):
            return None
        return Frame(moment.timestamp(), {**values, **self._fix})

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


def _moment(text: Any) -> float:
    """The report's own time where it is plausible: a receiver without a fix of the date tells one of long ago."""
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return round(time.time(), 3)
    return moment if moment > 946_684_800 else round(time.time(), 3)
