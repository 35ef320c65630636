"""A collector whose readings follow from their index, and which notes what its spool holds; a process of its own.

Killed and started again it goes on after the last frame that its journal tells of. `chaos.check` knows the rest.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import signal
import time
from pathlib import Path

from motorpool_collector.agent import Agent
from motorpool_collector.carriers import HttpCarrier
from motorpool_collector.driver import Frame
from motorpool_collector.spool import Spool
from motorpool_collector.uplink import Uplink

from chaos.agent import FRAMES_PER_BATCH, SIGNALS, STEP, Journal, frame

SOURCE = "obd"


class CountingDriver:
    """Frames by index, whole batches at a time, at a fixed rate."""

    def __init__(self, number: int, base: float, first: int, batches: int, rate: float) -> None:
        self.source = SOURCE
        self.period: float | None = 0.05
        self.finished = first >= batches
        self._number, self._base, self._next, self._batches, self._rate = number, base, first, batches, rate
        self._begun, self._first = time.monotonic(), first

    def open(self) -> None:
        """Nothing to connect to."""

    def read(self) -> list[Frame]:
        """The batches that are due."""
        due = min(self._batches, self._first + int((time.monotonic() - self._begun) * self._rate))
        frames = [
            Frame(self._base + i * STEP, dict(zip(SIGNALS, frame(self._number, i), strict=True)))
            for i in range(self._next * FRAMES_PER_BATCH, due * FRAMES_PER_BATCH)
        ]
        self._next = due
        self.finished = due >= self._batches
        return frames

    def close(self) -> None:
        """Nothing to let go of."""


class JournalledSpool(Spool):
    """Notes each batch before and after it is on disk: what comes after is a promise."""

    def __init__(self, path: str, folder: Path, number: int, base: float) -> None:
        super().__init__(path)
        self._base = base
        self._sent = Journal(folder / f"sent-{number}.log")
        self._taken_log = Journal(folder / f"acked-{number}.log")

    def add(self, blocks: bytes, frames: int) -> int | None:
        """Spool, and note it."""
        numbers = sorted(
            {
                round((row[0] - self._base) / STEP) // FRAMES_PER_BATCH
                for block in json.loads(b"[" + gzip.decompress(blocks) + b"]")
                if block["source"] == SOURCE
                for row in block["frames"]
            }
        )
        for number in numbers:
            self._sent.write(number)
        seq = super().add(blocks, frames)
        assert seq is not None
        for number in numbers:
            self._taken_log.write(number)
        return seq


def main() -> None:
    """Go on where the journal ends, until all is committed by the portal."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("portal", "key", "vehicle"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("number", "batches"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("base", "rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level="WARNING")
    journal = options.folder / f"acked-{options.number}.log"
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    first = max((int(line) for line in lines), default=-1) + 1
    spool = JournalledSpool(
        str(options.folder / f"spool-{options.number}.sqlite3"), options.folder, options.number, options.base
    )
    uplink = Uplink(HttpCarrier(options.portal, options.key), spool)
    driver = CountingDriver(options.number, options.base, first, options.batches, options.rate)
    agent = Agent([driver], spool, uplink, options.vehicle)
    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    agent.run()
    assert uplink.drain(600)
    uplink.stop()


if __name__ == "__main__":
    main()
