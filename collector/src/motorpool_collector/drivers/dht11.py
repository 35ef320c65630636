"""Cabin temperature and humidity from a DHT11 sensor on a Raspberry Pi's GPIO pin."""

from __future__ import annotations

import time
from typing import Any, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame, needs

MOST_SILENT = 10
"""The sensor misses every other question; so many in a row mean that it is gone."""


class Dht11Driver:
    """Asks every two seconds, as often as the sensor can answer."""

    def __init__(self, pin: Union[int, str] = 4, source: str = "dht11") -> None:
        self.source = source
        self.period: Optional[float] = 2.0
        self.finished = False
        self._pin = int(pin)
        self._sensor: Any = None
        self._silent = 0

    def open(self) -> None:
        """Claim the pin."""
        dht = needs("adafruit_dht", "dht11")
        board = needs("board", "dht11")
        try:
            self._sensor = dht.DHT11(getattr(board, f"D{self._pin}"), use_pulseio=False)
        except (AttributeError, OSError, RuntimeError, ValueError) as error:
            raise CollectorError(f"the DHT11 on GPIO{self._pin} cannot be opened: {error}") from None

    def read(self) -> List[Frame]:
        """Temperature in °C and relative humidity in %."""
        try:
            temperature, humidity = self._sensor.temperature, self._sensor.humidity
        except RuntimeError:  # its checksum failed, as it often does
            temperature = humidity = None
        if temperature is None or humidity is None:
            self._silent += 1
            if self._silent >= MOST_SILENT:
                raise CollectorError(f"the DHT11 on GPIO{self._pin} does not answer: is it wired to 3.3 V and the pin?")
            return []
        self._silent = 0
        return [Frame(round(time.time(), 3), {"cabin.temp": float(temperature), "cabin.humidity": float(humidity)})]

    def close(self) -> None:
        """Let the pin go."""
        if self._sensor is not None:
            self._sensor.exit()
        self._sensor = None
