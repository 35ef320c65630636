"""Gather frames into batches of the portal's native format."""

from __future__ import annotations

import gzip
import json
from typing import Any, Dict, List, Optional, Tuple

from motorpool_collector.driver import Frame

MOST_FRAMES = 1000


class BatchBuilder:
    """Frames of any drivers, on their way into one batch."""

    def __init__(self, vehicle: Optional[str]) -> None:
        self.vehicle = vehicle
        self.count = 0
        self._frames: Dict[Tuple[str, Tuple[str, ...]], List[List[Any]]] = {}

    def add(self, source: str, frames: List[Frame]) -> None:
        """Add a driver's frames."""
        for frame in frames:
            key = (source, tuple(frame.values))
            self._frames.setdefault(key, []).append([frame.time, *frame.values.values()])
        self.count += len(frames)

    def take(self) -> bytes:
        """The batch's blocks as compressed JSON without ``boot`` and ``seq``; the builder is empty after it."""
        blocks: List[Dict[str, Any]] = []
        for (source, signals), frames in self._frames.items():
            block: Dict[str, Any] = {"source": source, "signals": list(signals), "frames": frames}
            if self.vehicle:
                block["vehicle"] = self.vehicle
            blocks.append(block)
        self._frames, self.count = {}, 0
        return json.dumps(blocks, separators=(",", ":"), allow_nan=False).encode()


def request_body(boot: str, seq: int, blocks: bytes) -> bytes:
    """A whole request body, gzipped, from a spooled batch."""
    head = json.dumps({"boot": boot, "seq": seq})[:-1].encode()
    return gzip.compress(head + b', "blocks": ' + blocks + b"}", compresslevel=5)
