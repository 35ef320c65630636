"""Tracks: GPX files, and what the OwnTracks recorder keeps."""

from __future__ import annotations

import json
import math
from datetime import timezone
from typing import Any, Dict, Optional
from xml.etree import ElementTree

from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.recordings.spreading import merge_same_times
from motorpool_collector.recordings.summary import Recording
from motorpool_collector.recordings.times import parse_date

EARTH_METRES = 6_371_008.8
"""Mean radius (IUGG)."""


def read_gpx(path: str, spread: bool = False) -> Recording:
    """Track points with a time (GPX 1.0 and 1.1); speed and heading follow from the points where the file has none."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if b"<!ENTITY" in data:
            raise CollectorError(f"{path} declares entities, which no GPX file needs.", permanent=True)
        root = ElementTree.fromstring(data)  # noqa: S314 - no entities, see above
    except (OSError, ElementTree.ParseError) as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    recording = Recording()
    for segment in root.iter():
        if _tag(segment) != "trkseg":
            continue
        before: Optional[Frame] = None
        for point in segment:
            if _tag(point) != "trkpt":
                continue
            recording.rows += 1
            found = _point(point, recording)
            if found is None:
                recording.leave_out("points without a time or a place")
                continue
            if before is not None:
                _add_motion(before, found)
            recording.frames.append(found)
            before = found
    recording.frames = merge_same_times(recording.frames, recording, spread)
    return recording


def read_owntracks(path: str) -> Recording:
    """The recorder's ``.rec`` files: a time, a kind and the JSON as the phone sent it, separated by tabs.

    Fields: OwnTracks booklet, "JSON"; ``vel`` in km/h, ``alt`` and ``acc`` in metres, ``batt`` in per cent.
    """
    recording = Recording()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    recording.rows += 1
                    _add_owntracks(line, number, recording)
    except OSError as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    recording.frames = merge_same_times(recording.frames, recording, False)
    return recording


def _add_owntracks(line: str, number: int, recording: Recording) -> None:
    try:
        body = json.loads(line[line.index("{") :])
        if not isinstance(body, dict):
            raise ValueError
    except ValueError:
        recording.leave_out("lines that are no JSON", number, line)
        return
    if body.get("_type") != "location":
        recording.leave_out("entries that are no location", number, str(body.get("_type")))
        return
    values: Dict[str, Any] = {}
    for key, signal in (
        ("lat", "location.latitude"), ("lon", "location.longitude"), ("alt", "location.altitude"),
        ("acc", "location.accuracy"), ("vel", "location.speed"), ("cog", "location.heading"),
        ("batt", "device.battery_level"),
    ):  # fmt: skip
        value = _finite(body.get(key))
        if value is not None and not (key in ("vel", "cog") and value < 0):
            values[signal] = value
    moment = _finite(body.get("tst"))
    if moment is None or not {"location.latitude", "location.longitude"} <= set(values):
        recording.leave_out("locations without a time or a place", number, line)
        return
    recording.frames.append(Frame(moment, values))


def _finite(value: Any) -> Optional[float]:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _point(point: ElementTree.Element, recording: Recording) -> Optional[Frame]:
    inner = {_tag(child): (child.text or "").strip() for child in point.iter() if child is not point}
    inner.update({_tag(child): (child.text or "").strip() for child in point})  # its own before its extensions
    try:
        parsed = parse_date(inner["time"])
        latitude, longitude = float(point.get("lat", "nan")), float(point.get("lon", "nan"))
    except (KeyError, ValueError):
        return None
    if parsed is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    moment = parsed.moment if parsed.moment.tzinfo else parsed.moment.replace(tzinfo=timezone.utc)
    values: Dict[str, Any] = {"location.latitude": latitude, "location.longitude": longitude}
    for tag, signal, factor in (
        ("ele", "location.altitude", 1.0), ("speed", "location.speed", 3.6), ("course", "location.heading", 1.0),
        ("sat", "location.satellites", 1.0), ("hdop", "location.hdop", 1.0),
    ):  # fmt: skip
        if not inner.get(tag):
            continue
        try:
            value = float(inner[tag]) * factor
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            values[signal] = round(value, 4)
        else:
            recording.leave_out(f"<{tag}> that is no finite number")
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


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
