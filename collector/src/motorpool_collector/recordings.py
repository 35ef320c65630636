"""Recordings by their kind: CSV, GPX, CAN logs (candump .log, .asc, .blf), and the agent's own (.jsonl)."""

from __future__ import annotations

import json
import math
import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Union
from xml.etree import ElementTree

from motorpool_collector.can_decoding import Decoder, Filter
from motorpool_collector.driver import CollectorError, Frame, needs
from motorpool_collector.recording import Recording, read_recording

CAN_LOGS = (".log", ".asc", ".blf", ".trc")
EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""


def read_any(
    path: str,
    *,
    timezone: str = "",
    time_column: str = "",
    columns: Optional[Dict[str, str]] = None,
    dbc: Union[str, List[str]] = "",
    map: Optional[Dict[str, Any]] = None,
    channel: str = "",
    interval: Union[float, str] = 0.0,
) -> Recording:
    """Read a recording of any kind that its name's ending tells.

    Args:
        timezone, time_column, columns: of a CSV file, see `read_recording`.
        dbc, map, interval: of a CAN log, see `Decoder`.
        channel: only frames of this channel of a CAN log, such as can0.

    Raises:
        CollectorError: it cannot be read.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending in CAN_LOGS:
        if not dbc:
            raise CollectorError(f"{path} is a CAN log: name its DBC file with --dbc.", permanent=True)
        files = dbc.split(";") if isinstance(dbc, str) else dbc
        return _can_log(path, Decoder(files, map, Filter(float(interval))), channel)
    if ending == ".gpx":
        return _gpx(path)
    if ending == ".jsonl":
        return _own(path)
    return read_recording(path, timezone, time_column, columns)


def _can_log(path: str, decoder: Decoder, channel: str) -> Recording:
    can = needs("can", "can")
    frames: List[Frame] = []
    try:
        with can.LogReader(path) as reader:
            for message in reader:
                if channel and str(message.channel) != channel:
                    continue
                if message.is_error_frame or message.is_remote_frame:
                    continue
                found = decoder.frame(round(message.timestamp, 6), message.arbitration_id, bytes(message.data))
                if found is not None:
                    frames.append(found)
    except (OSError, ValueError, can.CanError) as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    frames.sort(key=lambda frame: frame.time)
    words = f"{decoder.decoded} CAN frames decoded, {decoder.unknown} that no DBC file knows, {decoder.broken} broken"
    return Recording(frames, words)


def _gpx(path: str) -> Recording:
    """Track points with a time (GPX 1.0 and 1.1); speed and heading follow from the points where the file has none."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if b"<!ENTITY" in data:
            raise CollectorError(f"{path} declares entities, which no GPX file needs.", permanent=True)
        root = ElementTree.fromstring(data)  # noqa: S314 - no entities, see above
    except (OSError, ElementTree.ParseError) as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    frames: List[Frame] = []
    left = 0
    for segment in root.iter():
        if _tag(segment) != "trkseg":
            continue
        before: Optional[Frame] = None
        for point in segment:
            found = _point(point) if _tag(point) == "trkpt" else None
            if found is None:
                left += 1
                continue
            if before is not None:
                _add_motion(before, found)
            frames.append(found)
            before = found
    frames.sort(key=lambda frame: frame.time)
    return Recording(frames, f"{len(frames)} positions; {left} have no time or no place")


def _point(point: ElementTree.Element) -> Optional[Frame]:
    inner = {_tag(child): (child.text or "").strip() for child in point.iter() if child is not point}
    try:
        moment = datetime.fromisoformat(inner["time"].replace("Z", "+00:00"))
        latitude, longitude = float(point.get("lat", "nan")), float(point.get("lon", "nan"))
    except (KeyError, ValueError):
        return None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    values: Dict[str, Any] = {"location.latitude": latitude, "location.longitude": longitude}
    for tag, signal, factor in (
        ("ele", "location.altitude", 1.0), ("speed", "location.speed", 3.6), ("course", "location.heading", 1.0),
        ("sat", "location.satellites", 1.0), ("hdop", "location.hdop", 1.0),
    ):  # fmt: skip
        try:
            values[signal] = round(float(inner[tag]) * factor, 4)
        except (KeyError, ValueError):
            continue
    return Frame(moment.timestamp(), values)


def _add_motion(before: Frame, now: Frame) -> None:
    """Speed and heading from one point to the next: great circle, initial bearing."""
    seconds = now.time - before.time
    (lat1, lon1), (lat2, lon2) = (
        (math.radians(float(f.values["location.latitude"])), math.radians(float(f.values["location.longitude"])))
        for f in (before, now)
    )
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    metres = 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))
    if seconds > 0 and metres / seconds * 3.6 < 500:
        now.values.setdefault("location.speed", round(metres / seconds * 3.6, 3))
        if metres > 1:
            east = math.sin(lon2 - lon1) * math.cos(lat2)
            north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
            now.values.setdefault("location.heading", round(math.degrees(math.atan2(east, north)) % 360, 2))


def _own(path: str) -> Recording:
    """What ``--record`` wrote: a line of JSON per frame, with source, time and values."""
    frames, odd = [], 0
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    frames.append(Frame(float(entry["time"]), dict(entry["values"])))
                except (ValueError, KeyError, TypeError):
                    odd += 1  # the last line of a recording that was cut off
    except OSError as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    frames.sort(key=lambda frame: frame.time)
    return Recording(frames, f"{len(frames)} frames; {odd} lines are not whole")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


class Recorder:
    """Writes every frame to a file that `read_any` reads."""

    def __init__(self, path: str) -> None:
        """Append to the file; raises `CollectorError`."""
        try:
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise CollectorError(f"{path} cannot be written: {error}", permanent=True) from None

    def take(self, source: str, frames: List[Frame]) -> None:
        """Write some frames."""
        for frame in frames:
            self._file.write(json.dumps({"source": source, "time": frame.time, "values": frame.values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
