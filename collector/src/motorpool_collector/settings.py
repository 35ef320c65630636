"""What a person sets in the car: charge limit, drive mode, screen, media. One state for the screen and the portal.

Allowed values are those that the EV Smart Screen's controls can send.
"""

from __future__ import annotations

import json
import math
import os
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

from motorpool_collector.driver import CollectorError, Value

DEFAULTS: Dict[str, Any] = {
    "charge_limit": 80, "regen_level": "standard", "drive_mode": "eco", "brightness": 60,
    "light_theme": False, "predictions_on": True, "twin_mode": "3d",
}  # fmt: skip
RANGES: Dict[str, Tuple[float, float]] = {"charge_limit": (50, 100), "brightness": (0, 100)}
CHOICES: Dict[str, Tuple[str, ...]] = {
    "regen_level": ("off", "low", "standard", "high"),
    "drive_mode": ("eco", "comfort", "normal", "sport", "snow"),
    "twin_mode": ("2d", "3d"),
}
SWITCHES = ("light_theme", "predictions_on")
MEDIA = ("play", "pause", "next", "previous", "volume", "connect")
TRACKS = (("Long Road", "The Axles", 214), ("Night Lights", "Low Beam", 187), ("Recuperation", "Kilowatt Choir", 243))


class Settings:
    """The settings and the player's state, kept in a file where one is named."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._lock = threading.Lock()
        self._changed: List[Callable[[], None]] = []
        self.values: Dict[str, Any] = dict(DEFAULTS)
        self.media: Dict[str, Any] = {
            "connected": True, "device_name": "Phone", "is_playing": False, "position": 0, "volume": 0.5, "track": 0,
        }  # fmt: skip
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                kept = json.load(file)
            for name, value in kept.items():
                try:
                    self.values[name] = checked(name, value)
                except CollectorError:
                    continue

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._changed.append(listener)

    def apply(self, command: str, arguments: Dict[str, Any]) -> Dict[str, Value]:
        """Carry out ``setting`` {name, value} or ``media`` {action, …}; returns what changed, as signals.

        Raises:
            CollectorError: a value that is not allowed, with what is.
        """
        changed = self.set(arguments) if command == "setting" else self.play(arguments)
        for listener in self._changed:
            listener()
        return changed

    def set(self, arguments: Dict[str, Any]) -> Dict[str, Value]:
        """Set one value."""
        name = arguments.get("name")
        if name not in DEFAULTS:
            raise CollectorError(f"There is no setting {name!r}: there are {', '.join(DEFAULTS)}.")
        value = checked(str(name), arguments.get("value"))
        with self._lock:
            self.values[str(name)] = value
            if self._path:
                draft = self._path + ".new"
                with open(draft, "w", encoding="utf-8") as file:
                    json.dump(self.values, file)
                os.replace(draft, self._path)
        return {f"settings.{name}": value}

    def play(self, arguments: Dict[str, Any]) -> Dict[str, Value]:
        """Move the player."""
        action = arguments.get("action")
        media = self.media
        if action not in MEDIA:
            raise CollectorError(f"There is no media action {action!r}: there are {', '.join(MEDIA)}.")
        with self._lock:
            if action in ("play", "pause"):
                media["is_playing"] = action == "play"
            elif action in ("next", "previous"):
                media["track"] = (media["track"] + (1 if action == "next" else -1)) % len(TRACKS)
                media["position"] = 0
            elif action == "volume":
                media["volume"] = _number("volume", arguments.get("volume"), 0.0, 1.0)
            else:
                media["device_name"] = _address(arguments.get("device_address"))
                media["connected"] = True
            title, artist, _ = TRACKS[media["track"]]
            return {
                "media.playing": bool(media["is_playing"]), "media.title": title, "media.artist": artist,
                "media.volume": round(media["volume"] * 100, 1),
            }  # fmt: skip

    def tick(self, seconds: float) -> None:
        """Let a playing track go on."""
        with self._lock:
            if self.media["is_playing"]:
                self.media["position"] += seconds
                if self.media["position"] >= TRACKS[self.media["track"]][2]:
                    self.media["track"] = (self.media["track"] + 1) % len(TRACKS)
                    self.media["position"] = 0


def checked(name: str, value: Any) -> Any:
    """A setting's value, where it is allowed; raises `CollectorError` where not."""
    if name in RANGES:
        number = _number(name, value, *RANGES[name])
        return int(number) if number == int(number) else number
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise CollectorError(f"{name} is true or false, not {_shown(value)}.")
        return value
    if value not in CHOICES.get(name, ()):
        raise CollectorError(f"{name} is one of {', '.join(CHOICES.get(name, ()))}, not {_shown(value)}.")
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CollectorError(f"{name} is a number from {low:g} to {high:g}, not {_shown(value)}.")
    if not low <= value <= high:
        raise CollectorError(f"{name} is from {low:g} to {high:g}, not {value:g}.")
    return float(value)


def _address(value: Optional[Any]) -> str:
    parts = value.split(":") if isinstance(value, str) else []
    if len(parts) != 6 or not all(len(p) == 2 and all(c in "0123456789abcdefABCDEF" for c in p) for p in parts):
        raise CollectorError(f"device_address is written as AA:BB:CC:DD:EE:FF, not {_shown(value)}.")
    return str(value).upper()


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:60]
