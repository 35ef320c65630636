"""Runs the simulated cloud in the foreground until it is told to end: ``python -m tests.smartcar_stub --help``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.smartcar_stub import simulation, storage
from tests.smartcar_stub.records import Application
from tests.smartcar_stub.server import Stub
from tests.smartcar_stub.state import State

VERIFY_TRIES, VERIFY_PAUSE = 24, 5.0
log = logging.getLogger("smartcar_stub")


def main() -> None:
    """Serve, keep the state, move the cars."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the webhook's address, which is a secret
    options = _options()
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    stub = Stub(
        options.port,
        application_id=options.application_id,
        client_id=options.client_id,
        client_secret=options.client_secret,
        management_token=options.management_token.replace(",", " ").split()[0],
        webhook_id=options.webhook_id,
        webhook_url=options.webhook_url,
        redirect_uris=tuple(options.redirect_uri),
    )
    known = options.state is not None and storage.load(stub.state, options.state)
    if not known:
        _set_off(stub.state)
    stub.start()
    log.info("A simulated maker's cloud listens at %s (%s).", stub.url, "as it was left" if known else "afresh")
    if options.webhook_url:
        threading.Thread(target=_verify, args=(stub, end), daemon=True).start()
    try:
        _live(stub, options.state, options.tick, end)
    finally:
        stub.stop()
        if options.state is not None:
            storage.save(options.state, storage.dump(stub.state))
        log.info("Ended.")


def _options() -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m tests.smartcar_stub", description="A simulated maker's cloud.", allow_abbrev=False
    )
    known, environment = Application(), os.environ
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--webhook-url", default="", help="where webhooks go; nowhere without it")
    parser.add_argument("--redirect-uri", action="append", default=[], help="may be repeated; any without it")
    parser.add_argument("--application-id", default=known.application_id)
    parser.add_argument("--client-id", default=known.client_id)
    parser.add_argument("--webhook-id", default=known.webhook_id)
    parser.add_argument("--state", type=Path, help="file that keeps connections and cars over a restart")
    parser.add_argument("--tick", type=float, default=20.0, help="seconds between changes; 0 for none")
    # Options show in the list of processes, so the environment is the better place for these.
    parser.add_argument(
        "--management-token",
        default=environment.get("SMARTCAR_MANAGEMENT_TOKEN") or known.management_token,
        help="or SMARTCAR_MANAGEMENT_TOKEN in the environment",
    )
    parser.add_argument(
        "--client-secret",
        default=environment.get("SMARTCAR_API_CLIENT_SECRET") or known.client_secret,
        help="or SMARTCAR_API_CLIENT_SECRET in the environment",
    )
    return parser.parse_args()


def _set_off(state: State) -> None:
    """The first car with a combustion engine and no plug is on the road."""
    next(car for car in state.vehicles.values() if not car.electric_range_km).is_in_motion = True


def _verify(stub: Stub, end: threading.Event) -> None:
    """The portal may still be starting, or its administrator has not armed the address: ask for a while."""
    for _ in range(VERIFY_TRIES):
        if stub.webhooks.verify():
            log.info("The webhook is verified.")
            return
        if end.wait(VERIFY_PAUSE):
            return
    log.warning("The webhook did not answer the challenge; deliveries are sent all the same.")


def _live(stub: Stub, path: Path | None, tick: float, end: threading.Event) -> None:
    """Every second: tell of new and changed cars, and keep the state; every tick: a little happens."""
    state, saved, next_tick = stub.state, None, time.monotonic() + tick
    while not end.wait(1.0):
        with state.lock:
            cars = [state.vehicles[c.vehicle_id] for c in state.connections.values()]
        if tick and time.monotonic() >= next_tick:
            next_tick += tick
            for car in cars:
                simulation.tick(state, car)
        for car in cars:
            if car.pending or not car.delivered:
                state.announce(car.id)
        kept = storage.dump(state)
        if path is not None and kept != saved:
            storage.save(path, kept)
            saved = kept


if __name__ == "__main__":
    main()
