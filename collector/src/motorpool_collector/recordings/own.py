"""The agent's own recordings: a line of JSON per frame, with source, time and values."""

from __future__ import annotations

import json
import math
from typing import List

from motorpool_collector.driver import CollectorError, Frame
from motorpool_collector.recordings.summary import Recording


def read_own(path: str) -> Recording:
    """What `Recorder` wrote; lines that are not whole, such as the last one after a power cut, are counted."""
    recording = Recording()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                recording.rows += 1
                try:
                    entry = json.loads(line)
                    moment = float(entry["time"])
                    values = {str(name): value for name, value in dict(entry["values"]).items()}
                    if not math.isfinite(moment):
                        raise ValueError
                    recording.frames.append(Frame(moment, values))
                except (ValueError, KeyError, TypeError, RecursionError):
                    recording.leave_out("lines that are not whole", number, line)
    except OSError as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    recording.frames.sort(key=lambda frame: frame.time)
    return recording


class Recorder:
    """Writes every frame to a file that `read_own` reads."""

    def __init__(self, path: str) -> None:
        """Append to the file; raises `CollectorError`."""
        try:
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise CollectorError(f"{path} cannot be written: {error}", permanent=True) from None

    def take(self, source: str, frames: List[Frame]) -> None:
        """Write some frames."""
        for frame in frames:
            self._file.write(json.dumps({"source": source, "time": frame.time, "values": frame.values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
