"""A sender with a conscience: notes with fsync what it sends and what was acknowledged, and never gives up.

Frames follow from the agent's number and their index alone, so that the checker can make them anew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import httpx

SIGNALS = ["engine.rpm", "vehicle.speed", "engine.load", "engine.coolant_temp", "fuel.level"]
FRAMES_PER_BATCH = 10
STEP = 360.0
"""Seconds between frames: a batch fills an hour, so that no later batch makes good what a sink lost."""
RESEND = 0.1
SPLIT = 0.15
PATIENCE = 0.5


def frame(agent: int, index: int) -> list[float]:
    """The values of one frame, in the order of `SIGNALS`."""
    mixed = (index * 2_654_435_761 + agent * 40_503) % 1_000_003
    return [float(mixed % 7_000), float(mixed % 250), float(mixed % 101), float(mixed % 120), float(mixed % 97)]


def batch(agent: int, number: int, base: float) -> list[list[float]]:
    """The frames of one batch, each with its time first."""
    first = number * FRAMES_PER_BATCH
    return [[base + i * STEP, *frame(agent, i)] for i in range(first, first + FRAMES_PER_BATCH)]


class Journal:
    """A file of lines that are on disk before the next step is taken."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def write(self, entry: Any) -> None:
        """Append one line."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class Agent:
    """Sends batches in order; some in two halves by signal, some once more later."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed * 100 + options.number)
        self.client = httpx.Client(timeout=6, trust_env=False, headers={"Authorization": f"Bearer {options.key}"})
        self.sent = Journal(options.folder / f"sent-{options.number}.log")
        self.acked = Journal(options.folder / f"acked-{options.number}.log")
        self.odd = Journal(options.folder / f"odd-{options.number}.log")

    def run(self) -> None:
        """Send everything at the asked pace."""
        batches = self.options.readings // (FRAMES_PER_BATCH * len(SIGNALS))
        begun = time.monotonic()
        for number in range(batches):
            time.sleep(max(0.0, begun + number / self.options.rate - time.monotonic()))
            self.deliver(number)
            if number and self.random.random() < RESEND:
                self.deliver(self.random.randrange(number))

    def deliver(self, number: int) -> None:
        """Send a batch until it is acknowledged."""
        rows = batch(self.options.number, number, self.options.base)
        self.sent.write(number)
        if self.random.random() < SPLIT:
            cut = self.random.randint(1, len(SIGNALS) - 1)
            self.post(number, SIGNALS[:cut], [row[: cut + 1] for row in rows])
            self.post(number, SIGNALS[cut:], [[row[0], *row[cut + 1 :]] for row in rows])
        else:
            self.post(number, SIGNALS, rows)
        self.acked.write(number)

    def post(self, number: int, signals: list[str], rows: list[list[float]]) -> None:
        """One request, again and again."""
        block = {"vehicle": self.options.vehicle, "source": "obd", "signals": signals, "frames": rows}
        body = {"boot": f"agent-{self.options.number}", "seq": number, "blocks": [block]}
        while True:
            try:
                answer = self.client.post(f"{self.options.portal}/api/v1/telemetry", json=body)
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code == 200:
                    found = answer.json()
                    if found["readings"] != len(rows) * len(signals) or found["rejected_count"]:
                        self.odd.write({"number": number, "answer": found})
                    return
                if answer.status_code not in (429, 503) or "retry-after" not in answer.headers:
                    self.odd.write({"number": number, "status": answer.status_code, "body": answer.text[:300]})
            time.sleep(self.random.uniform(0.05, PATIENCE))


def main() -> None:
    """Parse the flags and send."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portal", required=True)
    parser.add_argument("--key", required=True)
    for name in ("number", "vehicle", "readings", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("base", "rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    Agent(parser.parse_args()).run()


if __name__ == "__main__":
    main()
