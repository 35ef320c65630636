"""Gather frames into batches of the portal's native format."""

from __future__ import annotations

import gzip
import json
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from motorpool_collector.driver import Frame

MOST_FRAMES = 1000
LEVEL = 1
"""gzip's: the columns of a batch repeat so much that more effort gains little."""


class BatchBuilder:
    """Frames of any drivers, on their way into one batch; drivers add from threads of their own."""

    def __init__(self, vehicle: Optional[str]) -> None:
        self.vehicle = vehicle
        self.count = 0
        self._lock = threading.Lock()
        self._frames: Dict[Tuple[str, Tuple[str, ...]], List[List[Any]]] = {}

    def add(self, source: str, frames: List[Frame]) -> None:
        """Add a driver's frames."""
        with self._lock:
            for frame in frames:
                key = (source, tuple(frame.values))
                self._frames.setdefault(key, []).append([frame.time, *frame.values.values()])
            self.count += len(frames)

    def take(self) -> Tuple[bytes, int]:
        """The gzipped blocks, joined by commas, and how many frames they hold; the builder is empty after it."""
        with self._lock:
            taken, count = self._frames, self.count
            self._frames, self.count = {}, 0
        blocks: List[str] = []
        for (source, signals), frames in taken.items():
            block: Dict[str, Any] = {"source": source, "signals": list(signals), "frames": frames}
            if self.vehicle:
                block["vehicle"] = self.vehicle
            blocks.append(json.dumps(block, separators=(",", ":"), allow_nan=False))
        return gzip.compress(",".join(blocks).encode(), compresslevel=LEVEL), count


def request_body(boot: str, seq: int, batches: Sequence[bytes]) -> bytes:
    """A whole gzipped request body from spooled batches: gzip's members follow one another, nothing is packed twice."""
    head = json.dumps({"boot": boot, "seq": seq})[:-1] + ', "blocks": ['
    parts = [gzip.compress(head.encode(), LEVEL)]
    for number, packed in enumerate(batches):
        if number:
            parts.append(gzip.compress(b",", LEVEL))
        parts.append(packed)
    return b"".join([*parts, gzip.compress(b"]}", LEVEL)])
