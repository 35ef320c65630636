"""What the controls page offers: the settings and media actions of the EV Smart Screen, and changes to the collector.

The agent has the last word on a value; this only spares people from typing what it would refuse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from telemetry.commands.queue import CommandError

RANGES = {"charge_limit": ("Charge limit", 50, 100, "%"), "brightness": ("Brightness", 0, 100, "%")}
CHOICES = {
    "regen_level": ("Regeneration", ("off", "low", "standard", "high")),
    "drive_mode": ("Drive mode", ("eco", "comfort", "normal", "sport", "snow")),
    "twin_mode": ("Vehicle picture", ("2d", "3d")),
}
SWITCHES = {"light_theme": "Light theme", "predictions_on": "Predictions"}
MEDIA = ("play", "pause", "previous", "next")


def rows(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings as the page shows them: name, label, the kind of control, what is asked for and what is told."""
    found: list[dict[str, Any]] = []
    for name, (label, low, high, unit) in RANGES.items():
        found.append({"name": name, "label": label, "kind": "range", "low": low, "high": high, "unit": unit})
    for name, (label, choices) in CHOICES.items():
        found.append({"name": name, "label": label, "kind": "choice", "choices": choices})
    for name, label in SWITCHES.items():
        found.append({"name": name, "label": label, "kind": "choice", "choices": ("on", "off")})
    for row in found:
        name = row["name"]
        row["desired"], row["reported"] = _shown(desired.get(name)), _shown(reported.get(name))
        row["pending"] = name in desired and row["desired"] != row["reported"]
    return found


def value_of(name: str, given: str | None) -> Any:
    """A form's text as the setting's value; raises `CommandError`."""
    if name in RANGES:
        return number(RANGES[name][0], given)
    if name in SWITCHES:
        return given == "on"
    return given


def number(label: str, given: str | None) -> float:
    """A form's number; raises `CommandError`."""
    try:
        value = float(given or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CommandError(f"{label}: type a number.")
    return int(value) if value == int(value) else value


def collector_change(driver: str, options: str, log_level: str) -> dict[str, Any]:
    """The arguments of a ``collector_config`` command; raises `CommandError`."""
    arguments: dict[str, Any] = {}
    if driver:
        try:
            table = json.loads(options or "{}")
        except ValueError as error:
            raise CommandError(f'Options are JSON such as {{"hz": 5}}: {error}.') from None
        if not isinstance(table, dict) or not table:
            raise CommandError('Options are a JSON object such as {"hz": 5}.')
        arguments |= {"driver": driver, "options": table}
    if log_level:
        arguments["log_level"] = log_level
    return arguments


def _shown(value: Any) -> Any:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value
