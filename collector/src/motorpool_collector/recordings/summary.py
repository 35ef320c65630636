"""What a recording held: its frames, and what was left out with the reason and where it first happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List

from motorpool_collector.driver import Frame


@dataclass
class LeftOut:
    """How often something was left out, and the first case."""

    count: int = 0
    line: int = 0
    """The first case's line in the file, from 1; 0 where the file has no lines."""
    example: str = ""


@dataclass
class Recording:
    """A file's frames in order of time, and an account of what was read."""

    frames: List[Frame] = field(default_factory=list)
    rows: int = 0
    left_out: Dict[str, LeftOut] = field(default_factory=dict)
    """By reason."""
    notes: List[str] = field(default_factory=list)

    def leave_out(self, reason: str, line: int = 0, example: str = "", count: int = 1) -> None:
        """Count something that is not sent."""
        entry = self.left_out.setdefault(reason, LeftOut(0, line, example.strip()[:60]))
        entry.count += count

    @property
    def readings(self) -> int:
        """How many values the frames hold."""
        return sum(len(frame.values) for frame in self.frames)

    def lines(self) -> List[str]:
        """The account, a line each."""
        found = [f"read {self.rows} rows: {len(self.frames)} frames, {self.readings} readings"]
        for reason, entry in sorted(self.left_out.items(), key=lambda item: -item[1].count):
            first = f" (first in line {entry.line}: {entry.example!r})" if entry.line else ""
            found.append(f"left out {entry.count}: {reason}{first}")
        return found + self.notes

    def why_nothing(self) -> str:
        """The most frequent reasons for an empty recording, and the notes."""
        return "; ".join(self.lines()[1:4]) or "it has no row with a known signal"
