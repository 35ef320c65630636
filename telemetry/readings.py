"""Telemetry on its way in: whole blocks as arrays, never reading by reading. Plain Python and numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
"""Microseconds since 1970."""
Ids = NDArray[np.int32]
Values = NDArray[np.float64]
"""Frames x signals; NaN stands for "missing" here and nowhere else."""
Texts = NDArray[np.object_]
"""Frames x text signals; None is missing."""

CLOCK_TOLERANCE_US = 60_000_000
"""A device's clock may be so far ahead of the portal's. What is further ahead is stored, and moves neither the latest
state nor alerts before its time has come."""

NO_IDS: Ids = np.empty(0, np.int32)


@dataclass
class Block:
    """Frames of one vehicle and source: ``times`` (n, ascending), ``values`` (n x k), ``texts`` (n x j).

    ``signals`` and ``text_signals`` are ids in ascending order. ``live`` counts the frames, from the first on,
    that are not ahead of the clock: the rest is stored, but moves neither the latest state nor alerts.
    """

    organization_id: int
    vehicle_id: int
    source_id: int
    times: Times
    signals: Ids
    values: Values
    text_signals: Ids = field(default_factory=lambda: NO_IDS)
    texts: Texts | None = None
    live: int = -1
    boot: str | None = None
    seq: int | None = None
    batch: str = ""

    def __post_init__(self) -> None:
        if self.live < 0:
            self.live = len(self.times)

    @property
    def readings(self) -> int:
        """How many values the block holds."""
        count = int(np.count_nonzero(~np.isnan(self.values)))
        if self.texts is not None:
            count += int(np.count_nonzero(self.texts != None))  # noqa: E711  (elementwise)
        return count


@dataclass(frozen=True)
class Rejection:
    """One refused reading, frame or block: its place in the request and the reason."""

    code: str
    detail: str
    place: dict[str, int]
    """``block`` and ``frame``, or ``row``."""
    signal: str | None = None
    vehicle: str = ""
    source: str = ""
    time: float | None = None
    """Epoch seconds where known."""
    value: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As the answer lists it."""
        entry: dict[str, Any] = {**self.place}
        if self.signal is not None:
            entry["signal"] = self.signal
        return {**entry, "code": self.code, "detail": self.detail}


@dataclass
class Outcome:
    """What storing one block did."""

    version: int
    changed: bool = True
    duplicates: int = 0
    corrected: int = 0
