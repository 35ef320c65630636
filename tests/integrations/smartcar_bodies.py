"""What the tests of signals share: the samples' time, and how readings are held against the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integrations.sources.smartcar.signals import Signal, readings_of
from telemetry.catalog import BY_NAME, LONGEST_TEXT

AT = 1795172935.0
ISO = "2026-11-20T11:08:55.000Z"


def assert_fits_the_catalog(found: dict[str, Any]) -> None:
    """Names, kinds and bounds, as the way in checks them."""
    for name, value in found.items():
        definition = BY_NAME[name]
        if definition.kind == "number":
            assert type(value) is float, name
            assert definition.minimum is not None
            assert definition.maximum is not None
            assert definition.minimum <= value <= definition.maximum, name
        elif definition.kind == "boolean":
            assert type(value) is bool, name
        else:
            assert type(value) is str, name
            assert len(value) <= LONGEST_TEXT


def sample(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def all_readings(signals: list[Signal]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for signal in signals:
        found.update(readings_of(signal))
    assert_fits_the_catalog(found)
    return found
