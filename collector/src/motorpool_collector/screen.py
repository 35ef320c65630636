"""The screen in the car: a WebSocket server that speaks the EV Smart Screen backend's protocol, without the cloud.

First ``connection``, then ``telemetry`` every second to every client; each action is answered by ``response`` or
``error``. Unlike that backend, values are checked before they are applied.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import datetime
from typing import Any, Dict, Optional, Set, Tuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from motorpool_collector.agent import Agent
from motorpool_collector.driver import CollectorError
from motorpool_collector.settings import TRACKS

PERIOD = 1.0
PSI = 6.894757
"""Kilopascals: the screen's tyre pressures are in psi."""
MOST_CLIENTS = 50
SETTINGS = {
    "set_charge_limit": "charge_limit", "set_regen_level": "regen_level", "set_drive_mode": "drive_mode",
    "set_brightness": "brightness", "set_theme": "light_theme", "toggle_predictions": "predictions_on",
    "set_twin_mode": "twin_mode",
}  # fmt: skip
MEDIA = {
    "play_music": "play", "pause_music": "pause", "next_track": "next", "previous_track": "previous",
    "set_volume": "volume", "connect_bluetooth": "connect",
}  # fmt: skip

log = logging.getLogger("motorpool_collector.screen")


class ScreenServer:
    """Serves any number of screens from what the agent read last."""

    def __init__(self, agent: Agent, host: str, port: int) -> None:
        """Listen; raises `CollectorError`."""
        self._agent = agent
        self._clients: Set[ServerConnection] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        try:
            self._server: Server = serve(self._serve, host, port, max_size=65_536, compression=None)
        except OSError as error:
            raise CollectorError(f"the screen cannot listen at {host}:{port}: {error}", permanent=True) from None
        self.port = int(self._server.socket.getsockname()[1])
        for work in (self._server.serve_forever, self._broadcast):
            threading.Thread(target=work, name="screen", daemon=True).start()
        log.info("WebSocket server started on ws://%s:%d", host, self.port)

    def stop(self) -> None:
        """Hang up."""
        self._stopping.set()
        self._server.shutdown()

    def _serve(self, client: ServerConnection) -> None:
        with self._lock:
            if len(self._clients) >= MOST_CLIENTS:
                client.close(1013, "too many screens")
                return
        words = "Connected to EV Backend Server"
        client.send(json.dumps({"type": "connection", "status": "connected", "message": words}))
        with self._lock:
            self._clients.add(client)
        try:
            for text in client:
                client.send(json.dumps(self.answer(text)))
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._clients.discard(client)

    def _broadcast(self) -> None:
        due = time.monotonic() + PERIOD
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due += PERIOD
            self._agent.settings.tick(PERIOD)
            with self._lock:
                clients = list(self._clients)
            if not clients:
                continue
            text = json.dumps(self.document())
            for client in clients:
                try:
                    client.send(text)
                except (ConnectionClosed, OSError):
                    continue

    def answer(self, text: Any) -> Dict[str, Any]:
        """What a message of a screen is answered with."""
        try:
            message = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            return {"type": "error", "message": "Invalid JSON format"}
        action = message.get("action")
        if not isinstance(action, str) or action not in (*SETTINGS, *MEDIA, "update_gps"):
            return {"type": "error", "message": f"Invalid action: {str(action)[:60]}"}
        answer: Dict[str, Any] = {"type": "response", "action": action, "status": "success"}
        try:
            if action in SETTINGS:
                name = SETTINGS[action]
                self._agent.carry_out("setting", {"name": name, "value": message.get("value")})
                answer["value"] = self._agent.settings.values[name]
            elif action in MEDIA:
                self._agent.carry_out("media", {**message, "action": MEDIA[action]})
            else:
                self._agent.note(_position(message), "screen")
        except CollectorError as error:
            return {"type": "error", "action": action, "message": str(error)}
        return answer

    def document(self) -> Dict[str, Any]:
        """The telemetry document, from the newest readings; null where nothing reads it."""
        latest, settings, media = self._agent.latest, self._agent.settings.values, self._agent.settings.media
        title, artist, length = TRACKS[media["track"]]

        def of(signal: str, digits: int = 2, factor: float = 1.0) -> Optional[float]:
            value = latest.get(signal)
            return round(float(value) * factor, digits) if isinstance(value, (int, float)) else None

        def tyre(place: str) -> Optional[float]:
            return of(f"tire.{place}", 1, 1 / PSI)

        temperature, humidity = of("cabin.temp"), of("cabin.humidity")
        return {
            "type": "telemetry",
            "timestamp": datetime.now().isoformat(),  # noqa: DTZ005 - local, without a zone, as the screen expects it
            "ambient_temp": of("ambient.temp"),
            "humidity": humidity,
            "cabin_temp": temperature,
            "cabin": {"temperature_c": temperature, "humidity_pct": humidity},
            "speed": of("vehicle.speed"),
            "range_km": of("vehicle.range", 1),
            "battery_soc": of("traction_battery.soc"),
            "battery_voltage": of("traction_battery.voltage"),
            "battery_current": of("traction_battery.current"),
            "battery_soh": of("traction_battery.soh"),
            "motor_rpm": of("motor.rpm", 0),
            "motor_temp": of("motor.temp"),
            "power_kw": of("traction_battery.power"),
            "efficiency_score": of("vehicle.efficiency_score"),
            "wheel_speed": of("vehicle.wheel_speed"),
            "gps": {
                "latitude": of("location.latitude", 7), "longitude": of("location.longitude", 7),
                "altitude": of("location.altitude"), "satellites": of("location.satellites", 0),
                "speed_gps": of("location.speed"), "heading": of("location.heading"),
            },
            "tire_pressure": {
                place: tyre(place) for place in ("front_left", "front_right", "rear_left", "rear_right")
            },
            "battery_cells": {f"block_{b}": of(f"traction_battery.cell_block_{b}") for b in "abc"},
            "connectivity": {
                name: bool(latest.get(f"connectivity.{name}", False)) for name in ("wifi", "bluetooth", "can_bus")
            },
            "media": {
                "connected": media["connected"], "device_name": media["device_name"], "track_title": title,
                "track_artist": artist, "duration": length, "position": round(media["position"]),
                "is_playing": media["is_playing"],
            },
            "settings": dict(settings),
        }  # fmt: skip


def _position(message: Dict[str, Any]) -> Dict[str, Any]:
    """A position that the screen's own receiver found."""
    found = {}
    for name, limit in (("latitude", 90.0), ("longitude", 180.0)):
        value = message.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= limit:
            raise CollectorError(f"{name} is a number from {-limit:g} to {limit:g}.")
        found[f"location.{name}"] = float(value)
    return found


def host_and_port(words: str, port: int) -> Tuple[str, int]:
    """``:8765``, ``0.0.0.0:8765`` or ``8765`` as host and port; the loopback where no host is named.

    Raises:
        CollectorError: it is no such thing.
    """
    host, colon, number = words.rpartition(":") if ":" in words else ("", "", words)
    try:
        return host or ("0.0.0.0" if colon else "127.0.0.1"), int(number or port)  # noqa: S104
    except ValueError:
        raise CollectorError(f"{words!r} is no address to listen at: write host:port.", permanent=True) from None
