"""Replay a recording: CSV, GPX, a CAN log, or one of the agent's own."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.recordings import read_any

BATCH = 1000


class ReplayDriver:
    """A recording, at its own speed, faster, or as fast as possible.

    With ``rebase`` the recording happens now: each frame's time is when it is played, and at top speed the last
    frame is now. Without it frames keep the times of the file.
    """

    def __init__(
        self,
        file: str,
        speed: Union[float, str] = 1,
        rebase: Union[bool, str] = False,
        source: str = "replay",
        timezone: str = "",
        time_column: str = "",
        columns: Optional[Dict[str, str]] = None,
        dbc: Union[str, List[str]] = "",
        map: Optional[Dict[str, Any]] = None,
        channel: str = "",
        interval: Union[float, str] = 0.0,
    ) -> None:
        self.source = source
        self.finished = False
        self.file = file
        try:
            self.speed: Optional[float] = None if speed == "max" else float(speed)
        except ValueError:
            raise CollectorError("Replay: speed is a number or max.", permanent=True) from None
        if self.speed is not None and self.speed <= 0:
            raise CollectorError("Replay: speed must be more than 0.", permanent=True)
        self.rebase = rebase in (True, "true", "yes", "1")
        self.options: Dict[str, Any] = {
            "timezone": timezone, "time_column": time_column, "columns": columns or {},
            "dbc": dbc, "map": map, "channel": channel, "interval": interval,
        }  # fmt: skip
        self.period: Optional[float] = None if self.speed is None else 0.05
        self.frames: List[Frame] = []
        self.words = ""
        self._next = 0
        self._begun = 0.0

    def open(self) -> None:
        """Read the file."""
        if self.frames:
            return
        recording = read_any(self.file, **self.options)
        self.frames = recording.frames
        self.words = recording.words
        if not self.frames:
            raise CollectorError(f"{self.file} holds no row with a time and a known value.", permanent=True)
        self._begun = time.time()

    def read(self) -> List[Frame]:
        """The frames whose time has come."""
        if self.speed is None:
            due = self.frames[self._next : self._next + BATCH]
        else:
            first, elapsed = self.frames[0].time, (time.time() - self._begun) * self.speed
            end = self._next
            while end < len(self.frames) and self.frames[end].time - first <= elapsed:
                end += 1
            due = self.frames[self._next : end]
        self._next += len(due)
        self.finished = self._next >= len(self.frames)
        return [Frame(self._moment(frame.time), frame.values) for frame in due]

    def _moment(self, moment: float) -> float:
        if not self.rebase:
            return moment
        if self.speed is None:
            return round(self._begun + moment - self.frames[-1].time, 6)
        return round(self._begun + (moment - self.frames[0].time) / self.speed, 6)

    def close(self) -> None:
        """Nothing to let go of."""
