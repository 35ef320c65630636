"""The one list of signals: dotted name, unit, kind, plausible range, and what stands for "no value"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

WELL_FORMED = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+", re.ASCII)
LONGEST_NAME = 100
LONGEST_TEXT = 1000


@dataclass(frozen=True)
class SignalDefinition:
    """A signal as the list has it."""

    name: str
    unit: str
    kind: str
    """number, boolean, text or enum."""
    minimum: float | None
    maximum: float | None
    description: str
    obd_pid: str = ""
    no_value: float | None = None
    """What control units and apps send where they have no value, in the signal's unit."""

    def is_no_value(self, value: float) -> bool:
        """Whether a value is `no_value`, also after it was converted from another unit."""
        return self.no_value is not None and math.isclose(value, self.no_value, rel_tol=1e-6)


def well_formed(name: str) -> bool:
    """Whether a name may become a signal: lower-case words, at least two, joined by dots."""
    return len(name) <= LONGEST_NAME and WELL_FORMED.fullmatch(name) is not None


def _parse(line: str) -> SignalDefinition:
    name, unit, domain, pid, no_value, description = (part.strip() for part in line.split("|"))
    if domain == "boolean":
        return SignalDefinition(name, unit, "boolean", 0, 1, description, pid)
    if domain in ("text", "enum"):
        return SignalDefinition(name, unit, domain, None, None, description, pid)
    low, high = domain.split("..")
    blank = float(no_value) if no_value else None
    return SignalDefinition(name, unit, "number", float(low), float(high), description, pid, blank)


def _read() -> tuple[SignalDefinition, ...]:
    text = Path(__file__).with_name("signals.txt").read_text(encoding="utf-8")
    return tuple(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


CATALOG: tuple[SignalDefinition, ...] = _read()
BY_NAME: dict[str, SignalDefinition] = {signal.name: signal for signal in CATALOG}
