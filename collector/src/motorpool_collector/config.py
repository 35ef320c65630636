"""``collector.toml``: what to read and where to send it. Mistakes are told with the key that holds them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from motorpool_collector.carriers import Broker, Carrier, HttpCarrier, MqttCarrier
from motorpool_collector.driver import CollectorError
from motorpool_collector.drivers import DRIVERS

PORTAL = "http://127.0.0.1:8000"
SPOOL = "motorpool-spool.sqlite3"
KEYS: Dict[str, Dict[str, Any]] = {
    "portal": {"url": str, "key": str, "key_file": str, "vehicle": (str, int)},
    "mqtt": dict.fromkeys(("url", "ca_file", "cert_file", "key_file", "username", "password"), str),
    "spool": {"path": str, "max_mb": (int, float), "max_days": (int, float)},
    "screen": {"listen": str, "settings_file": str},
    "bridge": {"listen": str, "token": str},
    "log": {"level": str, "file": str},
}


@dataclass
class Config:
    """All that a run needs to know."""

    portal: str = PORTAL
    key: str = ""
    vehicle: Optional[str] = None
    spool: str = SPOOL
    max_mb: float = 2_000
    max_days: float = 90
    screen: str = ""
    settings_file: str = ""
    bridge: str = ""
    bridge_token: str = ""
    log_level: str = ""
    log_file: str = ""
    broker: Optional[Broker] = None
    """Where batches go by MQTT."""
    drivers: List[Dict[str, Any]] = field(default_factory=list)

    def carrier(self) -> Carrier:
        """The way to the portal; raises `CollectorError`."""
        if not self.key:
            raise CollectorError("No device key: use --key or set MOTORPOOL_KEY.", permanent=True)
        return MqttCarrier(self.broker, self.key) if self.broker else HttpCarrier(self.portal, self.key)


def read_config(path: str) -> Config:
    """Read the file; raises `CollectorError` that names the key."""
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"is not TOML: {error}") from None
    for name, table in found.items():
        if name != "driver":
            _check(path, name, table)
    portal, spool = found.get("portal", {}), found.get("spool", {})
    screen, bridge, log = found.get("screen", {}), found.get("bridge", {}), found.get("log", {})
    vehicle = portal.get("vehicle")
    return Config(
        portal=portal.get("url", PORTAL),
        key=_key(path, portal),
        vehicle=None if vehicle is None else str(vehicle),
        spool=spool.get("path", SPOOL),
        max_mb=spool.get("max_mb", 2_000),
        max_days=spool.get("max_days", 90),
        screen=screen.get("listen", ""),
        settings_file=screen.get("settings_file", ""),
        bridge=bridge.get("listen", ""),
        bridge_token=bridge.get("token", "") or os.environ.get("MOTORPOOL_BRIDGE_TOKEN", ""),
        log_level=log.get("level", ""),
        log_file=log.get("file", ""),
        broker=_broker(path, found.get("mqtt", {})),
        drivers=_drivers(path, found.get("driver", [])),
    )


def _check(path: str, name: str, table: Any) -> None:
    if name not in KEYS:
        raise _wrong(path, f"[{name}] is not known: there are {', '.join(f'[{k}]' for k in KEYS)} and [[driver]].")
    if not isinstance(table, dict):
        raise _wrong(path, f"{name} is a table: write [{name}].")
    for key, value in table.items():
        kind = KEYS[name].get(key)
        if kind is None:
            raise _wrong(path, f"{name}.{key} is not known: there are {', '.join(KEYS[name])}.")
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = "text" if kind is str else "a number" if kind == (int, float) else "text or a number"
            raise _wrong(path, f"{name}.{key} must be {wanted}, not {value!r}.")


def _broker(path: str, table: Dict[str, Any]) -> Optional[Broker]:
    if not table:
        return None
    if "url" not in table:
        raise _wrong(path, "mqtt.url is missing.")
    return Broker(**{"password": os.environ.get("MOTORPOOL_MQTT_PASSWORD", ""), **table})


def _drivers(path: str, tables: Any) -> List[Dict[str, Any]]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _wrong(path, "driver is a list of tables: write [[driver]].")
    for number, table in enumerate(tables, 1):
        if table.get("type") not in DRIVERS:
            known = ", ".join(sorted(DRIVERS))
            raise _wrong(path, f"driver {number}: type is {table.get('type')!r}; known are {known}.")
    return tables


def _key(path: str, portal: Dict[str, Any]) -> str:
    """The device key: from the environment, a file, or the configuration itself, in this order."""
    if os.environ.get("MOTORPOOL_KEY"):
        return os.environ["MOTORPOOL_KEY"]
    if portal.get("key_file"):
        try:
            with open(portal["key_file"], encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise _wrong(path, f"portal.key_file: {error}") from None
    return str(portal.get("key", ""))


def _wrong(path: str, words: str) -> CollectorError:
    return CollectorError(f"{path}: {words}", permanent=True)


TEMPLATE = """# motorpool-collector: what to read, and where to send it.

[portal]
url = "{url}"
key_file = "{key_file}"  # or MOTORPOOL_KEY in the environment
{vehicle}
[spool]
path = "{spool}"
max_mb = 2000
max_days = 90

{drivers}"""


def write_config(path: str, *, url: str, key_file: str, key: str, vehicle: str, spool: str, drivers: List[str]) -> None:
    """Write a new configuration, and the key beside it, readable by its owner only.

    Raises:
        CollectorError: the file is there already, or cannot be written.
    """
    tables = []
    for words in drivers:
        name, _, rest = words.partition(":")
        lines = [f'type = "{name}"'] + [
            f'{key.strip()} = "{value.strip()}"' for key, _, value in (p.partition("=") for p in rest.split(",") if p)
        ]
        tables.append("[[driver]]\n" + "\n".join(lines) + "\n")
    text = TEMPLATE.format(
        url=url, key_file=key_file, spool=spool, drivers="\n".join(tables),
        vehicle=f'vehicle = "{vehicle}"\n' if vehicle else "",
    )  # fmt: skip
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
        if key:
            with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(key + "\n")
    except FileExistsError:
        raise _wrong(path, "is there already; remove it, or name another with --config.") from None
    except OSError as error:
        raise _wrong(path, f"cannot be written: {error}") from None
