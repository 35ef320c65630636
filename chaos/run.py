"""``make chaos``: kills, sabotages, collectors, outages, overload; a line each, a JSON file, status 1 if one broke.

``ARGS="--only kills --seed 7 --readings 100000"`` runs less.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos import collectors, kills, outages, webhooks

RESULTS = Path("chaos-results")
EVERYTHING = ["postgres", "postgres", "redis", "web", "web", "worker", "worker", "beat", "freeze"]
SABOTAGES = {
    "synchronous_commit_off": ["postgres"],
    "ack_before_commit": ["postgres", "web"],
    "merge_removed": ["web", "postgres"],
    "progress_before_work": ["worker"],
}
SHORT = {
    "readings": 40_000, "kills": 5, "sabotage_readings": 20_000, "sabotage_kills": 4, "outage": 16,
    "only": "kills,sabotage,redis", "variants": "merge_removed,ack_before_commit", "redis": "stopped",
}  # fmt: skip
"""About three minutes: a few kills, two sabotages that must be noticed, and Redis away."""


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--outage", type=float, default=60, help="seconds of an outage of PostgreSQL")
    parser.add_argument("--sabotage-readings", type=int, default=60_000)
    parser.add_argument("--sabotage-kills", type=int, default=8)
    parser.add_argument("--redis", default="stopped,frozen,flushed,full", help="faults of Redis to try")
    parser.add_argument("--variants", default=",".join(SABOTAGES), help="sabotages to try")
    parser.add_argument("--only", default="kills,sabotage,collectors,webhooks,redis,postgres,overload,partitions")
    parser.add_argument("--short", action="store_true", help="kills, two sabotages, an outage of Redis: three minutes")
    options = parser.parse_args()
    if options.short:
        vars(options).update(SHORT)
    begun = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {words}", flush=True)

    say(f"seed {options.seed}")
    reports: list[dict[str, Any]] = []
    for name, part in _parts(options, say).items():
        if name in options.only.split(","):
            say(f"== {name}")
            for report in part():
                reports.append({"part": name, **report})
                say(f"{'good' if report['good'] else 'BROKEN'}  {json.dumps(report)}")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"seed": options.seed, "reports": reports}, indent=1))
    say(f"written to {path}")
    sys.exit(0 if all(report["good"] for report in reports) else 1)


def _parts(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    return {
        "kills": lambda: [_killed("none", options.seed, options.readings, options.kills, EVERYTHING, say)],
        "sabotage": lambda: [
            _killed(variant, options.seed, options.sabotage_readings, options.sabotage_kills, faults, say)
            for variant, faults in SABOTAGES.items()
            if variant in options.variants.split(",")
        ],
        "collectors": lambda: [collectors.run(options.seed, options.readings, options.kills, say)],
        "webhooks": lambda: webhooks.run(say),
        "redis": lambda: outages.redis_faults(options.outage / 2, options.redis.split(","), say),
        "postgres": lambda: outages.postgres_faults(options.outage, say),
        "overload": lambda: outages.overload(options.outage / 2, say),
        "partitions": lambda: outages.partitions(options.outage / 3, say),
    }


def _killed(
    variant: str, seed: int, readings: int, most: int, faults: list[str], say: Callable[[str], None]
) -> dict[str, Any]:
    found = kills.run(variant, seed, readings, most, faults, say)
    verdict = found.verdict
    complete = verdict.acknowledged == readings
    good = verdict.good and complete if variant == "none" else not verdict.good
    report = dataclasses.asdict(found)
    report["caught" if variant != "none" else "complete"] = good if variant != "none" else complete
    return {**report, "good": good}


if __name__ == "__main__":
    main()
