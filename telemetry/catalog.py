"""The catalog of signals, which the collector shares: `motorpool_formats/signals.txt`."""

from __future__ import annotations

from motorpool_formats.signals import (
    BY_NAME,
    CATALOG,
    LONGEST_NAME,
    LONGEST_TEXT,
    WELL_FORMED,
    SignalDefinition,
    well_formed,
)

__all__ = ["BY_NAME", "CATALOG", "LONGEST_NAME", "LONGEST_TEXT", "WELL_FORMED", "SignalDefinition", "well_formed"]
