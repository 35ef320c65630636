"""Replay a recording: CSV, GPX, a CAN log, or one of the agent's own."""

from __future__ import annotations

import inspect
import time
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.recordings import Recording, read_any

BATCH = 1000
YES = (True, "true", "yes", "1")
OPTIONS = set(inspect.signature(read_any).parameters) - {"path", "spread", "interval"}


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
        spread: Union[bool, str] = False,
        interval: Union[float, str] = 0.0,
        **options: Any,
    ) -> None:
        """``options`` are those of `read_any`."""
        unknown = sorted(options.keys() - OPTIONS)
        if unknown:
            raise CollectorError(
                f"Replay has no option {unknown[0]}: there are {', '.join(sorted(OPTIONS))}.", permanent=True
            )
        self.source = source
        self.finished = False
        self.file = file
        try:
            self.speed: Optional[float] = None if speed == "max" else float(speed)
        except ValueError:
            raise CollectorError("Replay: speed is a number or max.", permanent=True) from None
        if self.speed is not None and self.speed <= 0:
            raise CollectorError("Replay: speed must be more than 0.", permanent=True)
        self.rebase = rebase in YES
        self.options: Dict[str, Any] = {**options, "spread": spread in YES, "interval": interval}
        self.period: Optional[float] = None if self.speed is None else 0.05
        self.frames: List[Frame] = []
        self.recording = Recording()
        self._next = 0
        self._begun = 0.0

    def open(self) -> None:
        """Read the file."""
        if self.frames:
            return
        self.recording = read_any(self.file, **self.options)
        self.frames = self.recording.frames
        if not self.frames:
            raise CollectorError(
                f"{self.file} holds nothing that could be sent: {self.recording.why_nothing()}.", permanent=True
            )
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
