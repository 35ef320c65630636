"""One process of the portal, whole or sabotaged: ``python -m chaos.process <variant> web|worker|beat <folder>``.

The sabotages show that the harness can fail; each takes one promise away.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django


def ack_before_commit() -> None:
    """Answer at once, store afterwards."""
    from telemetry.ingest.committer import Committer
    from telemetry.readings import Outcome

    real = Committer.commit
    tasks: set[Any] = set()

    async def quietly(*arguments: Any) -> None:
        try:
            await real(*arguments)
        except Exception as error:
            print("lost", error, file=sys.stderr)

    async def commit(self: Committer, decoded: Any, *rest: Any) -> list[Outcome]:
        task = asyncio.ensure_future(quietly(self, decoded, *rest))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return [Outcome(0) for _ in decoded.blocks]

    vars_of: Any = Committer
    vars_of.commit = commit


def merge_removed() -> None:
    """Copy every frame, as if nothing were ever sent twice."""
    append: Any = importlib.import_module("telemetry.store.append")
    append._cannot_repeat = lambda group, prior: True


def progress_before_work() -> None:
    """Note a sink's progress first, then do its work."""
    from telemetry import sinks

    def process(name: str, registered: Any, sink: Any, owner: Any, claims: Any) -> int:
        sinks._complete(name, registered, owner, claims, None)
        time.sleep(3)  # a wide window, for a kill to meet it soon
        sink(claims)
        return len(claims)

    sinks._process = process


SABOTAGES: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "synchronous_commit_off": lambda: None,  # the server's own setting
    "ack_before_commit": ack_before_commit,
    "merge_removed": merge_removed,
    "progress_before_work": progress_before_work,
}


def main() -> None:
    """Run the process until it is stopped."""
    variant, name, folder = sys.argv[1:]
    django.setup()
    SABOTAGES[variant]()
    if name == "web":
        from fleet import web

        web.main()
        return
    from fleet.celery import app
    from telemetry import sinks

    # More turns per minute, so that more kills meet one.
    sinks.SINKS["rollups"] = dataclasses.replace(sinks.SINKS["rollups"], rest=timedelta(seconds=1))
    if name == "worker":
        app.worker_main(["worker", "--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "INFO"])
    else:
        app.start(["beat", "--schedule", str(Path(folder) / "beat-schedule"), "--pidfile", "", "--loglevel", "INFO"])


if __name__ == "__main__":
    main()
