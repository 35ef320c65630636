"""The drivers by name: ``module:class``, imported when one is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict

from motorpool_collector.driver import CollectorError, Driver

DRIVERS = {
    "simulator": "motorpool_collector.drivers.simulator:SimulatorDriver",
    "replay": "motorpool_collector.drivers.replay:ReplayDriver",
    "obd": "motorpool_collector.drivers.obd:ObdDriver",
    "can": "motorpool_collector.drivers.can:CanDriver",
    "gps": "motorpool_collector.drivers.gps:GpsDriver",
    "dht11": "motorpool_collector.drivers.dht11:Dht11Driver",
    "bluetooth": "motorpool_collector.drivers.bluetooth:BluetoothDriver",
    "bridge": "motorpool_collector.drivers.bridge:BridgeDriver",
}
PACKAGES = {"obd": "serial", "can": "can cantools", "gps": "serial pynmea2", "dht11": "adafruit_dht"}
"""What a driver needs beside the agent itself; a serial receiver only, in the case of gps."""


def make_driver(name: str, options: Dict[str, Any]) -> Driver:
    """The named driver with its options; raises `CollectorError` for an unknown name or option."""
    if name not in DRIVERS:
        raise CollectorError(f"There is no driver {name!r}; known are {', '.join(sorted(DRIVERS))}.", permanent=True)
    module, _, kind = DRIVERS[name].partition(":")
    try:
        driver: Driver = getattr(import_module(module), kind)(**options)
    except TypeError as error:
        raise CollectorError(f"Driver {name}: {error}", permanent=True) from None
    return driver


def driver_of(table: Dict[str, Any]) -> Driver:
    """The driver that a table with ``type`` and its options describes; raises `CollectorError`."""
    return make_driver(str(table["type"]), {name: value for name, value in table.items() if name != "type"})


def driver_options(words: str) -> Dict[str, Any]:
    """``name:option=value,option=value`` as a table with ``type``; raises `CollectorError`."""
    name, _, rest = words.partition(":")
    options: Dict[str, Any] = {"type": name}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CollectorError(f"Driver {name}: write {key}=value.", permanent=True)
        options[key.strip()] = value.strip()
    return options
