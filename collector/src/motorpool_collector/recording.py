"""Read recorded CSV files: their columns, units, times and quirks."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Callable, Dict, List, Optional, Tuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from motorpool_collector.driver import CollectorError, Frame, Value

MISSING = {"", "-", "none", "null", "nan", "<invalid>", "n/a", "inf", "-inf", "∞", "-∞"}
NO_SPEED = 255.0
"""What some adapters send for a speed that they do not have, in km/h."""

Convert = Callable[[float], float]

CONVERSIONS: Dict[str, Convert] = {
    "°f": lambda value: (value - 32) * 5 / 9,
    "f": lambda value: (value - 32) * 5 / 9,
    "psi": lambda value: value * 6.894757,
    "bar": lambda value: value * 100,
    "mbar": lambda value: value / 10,
    "mph": lambda value: value * 1.609344,
    "meters/second": lambda value: value * 3.6,
    "m/s": lambda value: value * 3.6,
    "miles": lambda value: value * 1.609344,
    "mi": lambda value: value * 1.609344,
    "feet": lambda value: value * 0.3048,
    "ft": lambda value: value * 0.3048,
    "gal/h": lambda value: value * 3.785411784,
}

# What a column is called, without marks, prefixes and unit -> the portal's signal. The first column wins.
KNOWN = {
    "longitude": "location.longitude",
    "latitude": "location.latitude",
    "gps speed": "location.speed",
    "speed (gps)": "location.speed",
    "horizontal dilution of precision": "location.hdop",
    "altitude": "location.altitude",
    "bearing": "location.heading",
    "gps bearing": "location.heading",
    "gps latitude": "location.latitude",
    "gps longitude": "location.longitude",
    "gps altitude": "location.altitude",
    "gps accuracy": "location.accuracy",
    "gps satellites": "location.satellites",
    "engine rpm": "engine.rpm",
    "rpm": "engine.rpm",
    "speed": "vehicle.speed",
    "speed (obd)": "vehicle.speed",
    "vehicle speed": "vehicle.speed",
    "engine load": "engine.load",
    "engine coolant temp": "engine.coolant_temp",
    "engine coolant temperature": "engine.coolant_temp",
    "coolant temp": "engine.coolant_temp",
    "engine oil temp": "engine.oil_temp",
    "engine oil temperature": "engine.oil_temp",
    "engine oil pressure": "engine.oil_pressure",
    "oil life": "engine.oil_life",
    "intake air temp iat": "engine.intake_temp",
    "intake air temperature": "engine.intake_temp",
    "intake manifold press": "engine.intake_pressure",
    "intake manifold pressure": "engine.intake_pressure",
    "turbo boost & vacuum gauge": "engine.boost",
    "boost": "engine.boost",
    "mass air flow rate": "engine.maf",
    "maf": "engine.maf",
    "spark advance": "engine.timing_advance",
    "timing advance": "engine.timing_advance",
    "throttle position": "engine.throttle",
    "throttle position(manifold)": "engine.throttle",
    "commanded throttle pos": "engine.throttle",
    "fuel level": "fuel.level",
    "fuel level (from engine ecu)": "fuel.level",
    "ecm amb temp": "ambient.temp",
    "ambient air temp": "ambient.temp",
    "hybrid pack remaining (soc)": "traction_battery.soc",
    "soc(raw)": "traction_battery.soc",
    "soc": "traction_battery.soc",
    "voltage (obd adapter)": "electrical.voltage",
    "voltage (control module)": "electrical.voltage",
    "distance travel with mil on": "engine.mil_distance",
}
TIME_COLUMNS = ("device time", "time", "timestamp", "date", "gps time", "datetime")
_SIGNAL = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+")
_UNIT = re.compile(r"\s*\(([^()]*)\)\s*$")
_MARKS = re.compile(r"^[*?\s]+")
_PREFIX = re.compile(r"^master\s+")
_TORQUE_GPS = re.compile(r"^\w{3} (\w{3} \d{2} \d{2}:\d{2}:\d{2}) ([A-Z]{2,5}|[A-Z]{3}[+-]\d{2}:\d{2}) (\d{4})$")
# Zone names as phones write them (RFC 822 and the commonest others), in hours from UTC.
ZONES = {
    "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "JST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip


@dataclass
class Column:
    """A column that is sent."""

    index: int
    signal: str
    convert: Optional[Convert]


@dataclass
class Recording:
    """A file's frames in order of time, and a line about what was used and left out."""

    frames: List[Frame]
    words: str


def read_recording(
    path: str,
    timezone: str = "",
    time_column: str = "",
    columns: Optional[Dict[str, str]] = None,
) -> Recording:
    """Read a CSV file.

    Args:
        timezone: of times without one, such as Europe/Madrid; empty: as the file tells, else UTC.
        time_column: its name; empty: the first of `TIME_COLUMNS` that there is.
        columns: further columns, name (without unit) to signal.

    Raises:
        CollectorError: it cannot be read, or has no time column.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    except (OSError, csv.Error) as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    if not rows:
        raise CollectorError(f"{path} is empty.", permanent=True)
    header = [name.strip() for name in rows[0]]
    used = _columns(header, columns or {})
    time_index = _time_index(path, header, time_column)
    zone = _zone(timezone) if timezone else _zone_of_file(header, rows[1:])
    frames, odd = [], 0
    for row in rows[1:]:
        if [cell.strip() for cell in row] == header:
            continue  # the header again: the app was restarted
        moment = parse_time(row[time_index].strip(), zone) if time_index < len(row) else None
        values = _values(row, used)
        if moment is None:
            odd += 1
        elif values:
            frames.append(Frame(moment, values))
    frames.sort(key=lambda frame: frame.time)
    left = len(header) - len(used) - 1
    words = f"{len(frames)} frames of {len(used)} signals; {left} columns are not known, {odd} rows have no time"
    return Recording(frames, words)


def parse_time(text: str, zone: tzinfo) -> Optional[float]:
    """Epoch seconds from a recording's time: an epoch in s or ms, ISO 8601, or one of Torque's two forms."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return number / 1000 if number > 1e11 else number
    match = _TORQUE_GPS.match(text)
    if match:
        moment = datetime.strptime(f"{match.group(1)} {match.group(3)}", "%b %d %H:%M:%S %Y").replace(
            tzinfo=_named_zone(match.group(2)) or zone
        )
        return moment.timestamp()
    for form in ("%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone).timestamp()
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _columns(header: List[str], extra: Dict[str, str]) -> List[Column]:
    known = {**KNOWN, **{name.lower(): signal for name, signal in extra.items()}}
    chosen: Dict[str, Column] = {}
    for index, title in enumerate(header):
        name, unit = _split(title)
        signal = known.get(name) or known.get(_split(name)[0]) or (name if _SIGNAL.fullmatch(name) else "")
        if not signal:
            continue
        column = Column(index, signal, CONVERSIONS.get(unit))
        if signal == "location.altitude" and unit in ("m", ""):
            column.convert = None
        # The raw column of an app may be empty all along; a later one of the same signal fills in, see _values.
        chosen.setdefault(f"{signal}/{index}", column)
    return list(chosen.values())


def _split(title: str) -> Tuple[str, str]:
    """A column's plain name and its unit, both in lower case."""
    name = _PREFIX.sub("", _MARKS.sub("", title.strip()).lower())
    match = _UNIT.search(name)
    if match and name not in KNOWN:
        return name[: match.start()].strip(), match.group(1).strip()
    return name, ""


def _values(row: List[str], columns: List[Column]) -> Dict[str, Value]:
    values: Dict[str, Value] = {}
    for column in columns:
        if column.index >= len(row) or column.signal in values:
            continue
        text = row[column.index].strip()
        if text.lower() in MISSING:
            continue
        try:
            number = float(text)
        except ValueError:
            continue
        if not math.isfinite(number) or (column.signal == "vehicle.speed" and number == NO_SPEED):
            continue
        values[column.signal] = column.convert(number) if column.convert else number
    return values


def _time_index(path: str, header: List[str], wanted: str) -> int:
    names = [_split(title)[0] for title in header]
    for name in [wanted.lower()] if wanted else TIME_COLUMNS:
        if name in names:
            return names.index(name)
    raise CollectorError(
        f"{path} has no column {wanted or 'for the time'}: name it with --time-column.", permanent=True
    )


def _zone(name: str) -> tzinfo:
    named = _named_zone(name)
    if named:
        return named
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise CollectorError(f"There is no time zone {name!r}; an example is Europe/Madrid.", permanent=True) from None


def _zone_of_file(header: List[str], rows: List[List[str]]) -> tzinfo:
    """The zone that a Torque file's GPS Time names; UTC where none is named."""
    names = [_split(title)[0] for title in header]
    if "gps time" in names:
        index = names.index("gps time")
        for row in rows:
            match = _TORQUE_GPS.match(row[index].strip()) if index < len(row) else None
            zone = _named_zone(match.group(2)) if match else None
            if zone:
                return zone
    return timezone.utc


def _named_zone(name: str) -> Optional[tzinfo]:
    if name in ZONES:
        return timezone(timedelta(hours=ZONES[name]))
    match = re.fullmatch(r"(?:GMT|UTC)([+-])(\d{2}):(\d{2})", name)
    if match:
        offset = timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
        return timezone(-offset if match.group(1) == "-" else offset)
    return None
