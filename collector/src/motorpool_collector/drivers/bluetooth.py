"""Bluetooth and the phone's music through BlueZ, asked over D-Bus with systemd's ``busctl``; no Python package needed.

Interfaces: org.bluez.Device1 and org.bluez.MediaPlayer1, as BlueZ's doc/org.bluez.*.rst describe them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any, Dict, List, Optional, Tuple

from motorpool_collector.driver import CollectorError, Frame, Value

SECONDS = 5.0
DEVICE, PLAYER = "org.bluez.Device1", "org.bluez.MediaPlayer1"
METHODS = {"play": "Play", "pause": "Pause", "next": "Next", "previous": "Previous"}


class BluetoothDriver:
    """Whether a phone is connected, and what it plays; moves its player."""

    commands = ("media",)

    def __init__(self, source: str = "bluetooth") -> None:
        self.source = source
        self.period: Optional[float] = 2.0
        self.finished = False
        self._last: Dict[str, Value] = {}

    def open(self) -> None:
        """Find BlueZ."""
        if shutil.which("busctl") is None:
            raise CollectorError("busctl is missing: Bluetooth needs a system with systemd.", permanent=True)
        self._objects()

    def read(self) -> List[Frame]:
        """What has changed; the position of a playing track each time."""
        values = _readings(self._objects())
        changed = {name: value for name, value in values.items() if self._last.get(name) != value}
        self._last = values
        return [Frame(round(time.time(), 3), changed)] if changed else []

    def command(self, name: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out a media action; raises `CollectorError`."""
        action = arguments.get("action")
        objects = self._objects()
        if action == "connect":
            wanted = "dev_" + str(arguments.get("device_address", "")).upper().replace(":", "_")
            path = next((path for path in objects if path.endswith(wanted)), None)
            if path is None:
                raise CollectorError(f"Bluetooth knows no device {arguments.get('device_address')}: pair it first.")
            self._call(path, DEVICE, "Connect")
        elif action in METHODS:
            path = next((path for path, kinds in objects.items() if PLAYER in kinds), None)
            if path is None:
                raise CollectorError("No phone that plays music is connected.")
            self._call(path, PLAYER, METHODS[str(action)])
        return {"action": action}

    def _objects(self) -> Dict[str, Dict[str, Dict[str, Any]]]:
        """BlueZ's objects: path to interface to properties."""
        answer = self._call("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        try:
            return {
                path: {
                    kind: {name: entry.get("data") for name, entry in found.items()} for kind, found in kinds.items()
                }
                for path, kinds in answer["data"][0].items()
            }
        except (KeyError, IndexError, TypeError, AttributeError):
            raise CollectorError("BlueZ does not answer as expected: is its service running?") from None

    def _call(self, path: str, interface: str, method: str) -> Any:
        command = ["busctl", "--system", "--json=short", "call", "org.bluez", path, interface, method]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            if done.returncode:
                raise CollectorError(f"BlueZ does not answer: {done.stderr.strip()[:200]}")
            return json.loads(done.stdout or "{}")
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise CollectorError(f"BlueZ does not answer: {error}") from None

    def close(self) -> None:
        """Nothing to let go of."""


def _readings(objects: Dict[str, Dict[str, Dict[str, Any]]]) -> Dict[str, Value]:
    connected = any(kinds.get(DEVICE, {}).get("Connected") for kinds in objects.values())
    values: Dict[str, Value] = {"connectivity.bluetooth": bool(connected)}
    for kinds in objects.values():
        player = kinds.get(PLAYER)
        if player is None:
            continue
        values["media.playing"] = player.get("Status") == "playing"
        if isinstance(player.get("Position"), (int, float)):
            values["media.position"] = player["Position"] / 1000
        for title, signal in (("Title", "media.title"), ("Artist", "media.artist")):
            text = _plain(player.get("Track"), title)
            if text:
                values[signal] = text
    return values


def _plain(track: Any, name: str) -> str:
    """A field of a track: a dictionary whose values busctl wraps with their types."""
    entry: Any = track.get(name) if isinstance(track, dict) else None
    found: Tuple[Any, ...] = (entry.get("data"),) if isinstance(entry, dict) else (entry,)
    return str(found[0])[:200] if isinstance(found[0], str) else ""
