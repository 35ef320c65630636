"""Gather frames into batches of the portal's native format."""

from __future__ import annotations

import gzip
import json
import math
import threading
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from motorpool_collector.driver import Frame

MOST_FRAMES = 1000
LONGEST_TEXT = 1000
LARGEST = 2**63
LATEST = 1e11
"""Epoch seconds far beyond any clock."""
MOST_SEEN = 10_000
MOST_SETS = 20
"""Different sets of signals of one source in a batch."""
LEVEL = 1
"""gzip's: the columns of a batch repeat so much that more effort gains little."""

PLAIN = frozenset((float, int, bool))

_seen: Set[Tuple[str, ...]] = set()
"""Names that can be sent, as frames have them."""


def sound(frame: Frame) -> Tuple[Optional[Frame], int]:
    """The frame with what can be sent, None where nothing can, and how many values are left out.

    Numbers have to be finite, names and texts valid Unicode: nothing that a driver hands over may cost the readings of
    others.
    """
    try:
        # Nearly every frame has finite numbers only, under names that were seen before.
        values = frame.values
        plain = PLAIN.issuperset(map(type, values.values())) and abs(frame.time) <= LATEST
        if plain and tuple(values) in _seen and math.isfinite(sum(values.values()) + frame.time):  # type: ignore[arg-type]
            return frame, 0
    except (TypeError, OverflowError, AttributeError):
        pass
    try:
        moment = float(frame.time)
        sendable = {name: _plain(value) for name, value in frame.values.items() if _sendable(name)}
        values = {name: value for name, value in sendable.items() if _sendable(value)}
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None, 1
    left = len(frame.values) - len(values)
    if not math.isfinite(moment) or abs(moment) > LATEST:
        return None, len(frame.values)
    if len(_seen) < MOST_SEEN and values:
        _seen.add(tuple(values))
    return (Frame(moment, values) if values else None), left


def _sendable(value: Any) -> bool:
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, (bool, int)):
        return abs(value) <= LARGEST
    return isinstance(value, float) and math.isfinite(value)


def _plain(value: Any) -> Any:
    """Numbers of other types, such as numpy's or Decimal, as those that JSON knows."""
    if isinstance(value, str) or type(value) in PLAIN:
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= LONGEST_TEXT and "\x00" not in text


class BatchBuilder:
    """Frames of any drivers, on their way into one batch; drivers add from threads of their own."""

    def __init__(self, vehicle: Optional[str]) -> None:
        self.vehicle = vehicle
        self.count = 0
        self._lock = threading.Lock()
        self._frames: Dict[Tuple[str, Tuple[str, ...]], List[List[Any]]] = {}

    def add(self, source: str, frames: List[Frame]) -> None:
        """Add a driver's frames, whose values `sound` has let through."""
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
        for (source, signals), frames in _few_sets(taken).items():
            block: Dict[str, Any] = {"source": source, "signals": list(signals), "frames": frames}
            if self.vehicle:
                block["vehicle"] = self.vehicle
            blocks.append(json.dumps(block, separators=(",", ":"), allow_nan=False))
        return gzip.compress(",".join(blocks).encode(), compresslevel=LEVEL), count


def _few_sets(
    taken: Dict[Tuple[str, Tuple[str, ...]], List[List[Any]]],
) -> Dict[Tuple[str, Tuple[str, ...]], List[List[Any]]]:
    """The frames of a source that has very many different sets of signals, as one set with null for what is missing."""
    sets: Dict[str, List[Tuple[str, ...]]] = {}
    for source, signals in taken:
        sets.setdefault(source, []).append(signals)
    for source, many in sets.items():
        if len(many) <= MOST_SETS:
            continue
        union = tuple(dict.fromkeys(name for signals in many for name in signals))
        places = {name: i + 1 for i, name in enumerate(union)}
        joined: List[List[Any]] = []
        for signals in many:
            for frame in taken.pop((source, signals)):
                row: List[Any] = [frame[0], *[None] * len(union)]
                for name, value in zip(signals, frame[1:]):  # noqa: B905
                    row[places[name]] = value
                joined.append(row)
        joined.sort(key=lambda row: row[0])
        taken[source, union] = joined
    return taken


def request_body(boot: str, seq: int, batches: Sequence[bytes]) -> bytes:
    """A whole gzipped request body from spooled batches: gzip's members follow one another, nothing is packed twice."""
    head = json.dumps({"boot": boot, "seq": seq})[:-1] + ', "blocks": ['
    parts = [gzip.compress(head.encode(), LEVEL)]
    for number, packed in enumerate(batches):
        if number:
            parts.append(gzip.compress(b",", LEVEL))
        parts.append(packed)
    return b"".join([*parts, gzip.compress(b"]}", LEVEL)])
