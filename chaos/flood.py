"""A flood without a conscience: prepared bodies on many connections, sent again at once whatever the answer.

A process of its own, so that it does not disturb who measures; prints its counts as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from bench.load import Connection, request

CONNECTIONS = 50
BODIES = 90
FRAMES = 1_000
NAMES = ["engine.rpm", "vehicle.speed", "engine.load", "fuel.level"] + [f"flood.s{i}" for i in range(12)]


def bodies(key: str, vehicle: int, start: float) -> list[bytes]:
    """Requests of one connection, each of other frames."""
    values = ", ".join(str(value) for value in range(len(NAMES)))
    found = []
    for number in range(BODIES):
        first = start + number * FRAMES / 10
        frames = ", ".join(f"[{first + i / 10:.1f}, {values}]" for i in range(FRAMES))
        body = f'{{"blocks": [{{"vehicle": {vehicle}, "signals": {json.dumps(NAMES)}, "frames": [{frames}]}}]}}'
        found.append(request("POST", "/api/v1/telemetry", body.encode(), {"Authorization": f"Bearer {key}"}))
    return found


def main() -> None:
    """Flood for some seconds."""
    port, key, seconds, *vehicles = sys.argv[1:]
    start = float(int(time.time()) - 3 * 86_400)
    prepared = [bodies(key, int(vehicle), start) for vehicle in vehicles]
    counts: dict[Any, int] = {"200": 0, "readings": 0, "without_retry_after": 0, "broken": 0}
    lock = threading.Lock()
    print("ready", flush=True)
    deadline = time.monotonic() + float(seconds)

    def work(requests: list[bytes]) -> None:
        at, connection = 0, None
        while time.monotonic() < deadline:
            try:
                connection = connection or Connection(int(port))
                status, body, bare = send(connection, requests[at % BODIES])
            except OSError:
                connection = None
                with lock:
                    counts["broken"] += 1
                continue
            with lock:
                counts[str(status)] = counts.get(str(status), 0) + 1
                if status == 200 and at < BODIES:  # what comes again is stored once
                    counts["readings"] += json.loads(body)["readings"]
                counts["without_retry_after"] += bare
            if status == 200:
                at += 1
            else:
                connection.close()
                connection = None

    workers = [threading.Thread(target=work, args=(requests,)) for requests in prepared]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(counts))


def send(connection: Connection, data: bytes) -> tuple[int, bytes, bool]:
    """Send a request; returns status, body, and whether a refusal lacks Retry-After."""
    status, body = connection.send(data)
    return status, body, status != 200 and b"retry-after" not in connection.head.lower()


if __name__ == "__main__":
    main()
