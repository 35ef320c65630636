"""The command line: ``motorpool-collector simulate | replay | run | drivers``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import Any, List, Optional

from motorpool_collector import __version__
from motorpool_collector.agent import Agent, show_progress
from motorpool_collector.driver import CollectorError, Driver
from motorpool_collector.drivers import DRIVERS, make_driver, parse_driver
from motorpool_collector.spool import Spool
from motorpool_collector.uplink import Uplink

log = logging.getLogger("motorpool_collector")


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        filename=options.log_file or None,
        format='{"time": "%(asctime)s", "level": "%(levelname)s", "logger": "%(name)s", "event": "%(message)s"}',
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        if options.command == "drivers":
            print("\n".join(sorted(DRIVERS)))
            return 0
        return _run(options)
    except CollectorError as error:
        print(f"motorpool-collector: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    common.add_argument("--log-file", default="", help="default: standard error")
    sending = argparse.ArgumentParser(add_help=False)
    sending.add_argument("--portal", default=os.environ.get("MOTORPOOL_PORTAL", "http://127.0.0.1:8000"))
    sending.add_argument("--key", default=os.environ.get("MOTORPOOL_KEY", ""), help="or MOTORPOOL_KEY")
    sending.add_argument("--vehicle", default=None, help="id, VIN or alias; not needed for a key of one vehicle")
    sending.add_argument("--spool", default="motorpool-spool.sqlite3", help="file for what is not committed yet")
    sending.add_argument("--duration", type=float, default=None, help="seconds; default: until stopped")
    parser = argparse.ArgumentParser(prog="motorpool-collector", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    simulate = commands.add_parser("simulate", parents=[common, sending], help="drive a simulated vehicle")
    simulate.add_argument("--model", default="focus_st", choices=["focus_st", "ev"])
    simulate.add_argument("--scenario", default="mixed")
    simulate.add_argument("--hz", type=float, default=10.0)
    simulate.add_argument("--seed", type=int, default=0)

    replay = commands.add_parser("replay", parents=[common, sending], help="send a recorded CSV file")
    replay.add_argument("file")
    replay.add_argument("--speed", default="1", help="a factor, or max")
    replay.add_argument("--rebase", action="store_true", help="as if it happened now")
    replay.add_argument("--source", default="replay")
    replay.add_argument("--timezone", default="", help="of times without one, such as Europe/Madrid")
    replay.add_argument("--time-column", default="")
    replay.add_argument("--map", action="append", default=[], metavar="COLUMN=SIGNAL", help="repeatable")

    run = commands.add_parser("run", parents=[common, sending], help="run drivers until stopped")
    run.add_argument("--driver", action="append", required=True, metavar="NAME:KEY=VALUE,…", help="repeatable")
    commands.add_parser("drivers", parents=[common], help="list the drivers")
    return parser


def _drivers(options: argparse.Namespace) -> List[Driver]:
    if options.command == "simulate":
        settings: dict[str, Any] = {n: getattr(options, n) for n in ("model", "scenario", "hz", "seed")}
        return [make_driver("simulator", settings)]
    if options.command == "replay":
        columns = {}
        for pair in options.map:
            column, equals, signal_name = pair.partition("=")
            if not equals:
                raise CollectorError("--map takes COLUMN=SIGNAL.", permanent=True)
            columns[column.strip()] = signal_name.strip()
        settings = {n: getattr(options, n) for n in ("file", "speed", "rebase", "source", "timezone", "time_column")}
        driver = make_driver("replay", {**settings, "columns": columns})
        driver.open()
        return [driver]
    return [parse_driver(words) for words in options.driver]


def _run(options: argparse.Namespace) -> int:
    drivers = _drivers(options)
    spool = Spool(options.spool)
    uplink = Uplink(options.portal, options.key, spool)
    agent = Agent(drivers, spool, uplink, options.vehicle)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: agent.stop())
    progress = None
    if options.command == "replay":
        log.info("%s", drivers[0].words)  # type: ignore[attr-defined]
        progress = show_progress(len(drivers[0].frames))  # type: ignore[attr-defined]
    stopped = False
    try:
        agent.run(options.duration, progress)
        # A replay is done when the portal has it; whoever stops an agent does not want to wait.
        stopped = not all(driver.finished for driver in drivers)
        drained = uplink.drain(2 if stopped else 600)
    finally:
        uplink.stop()
    left = spool.depth()
    spool.close()
    log.info("%d frames sent, %d readings refused, %d batches wait", uplink.sent_frames, uplink.rejected, left)
    if options.command == "replay":
        print(f"{uplink.sent_frames} frames sent, {uplink.rejected} readings refused, {left} batches wait")
        return 0 if drained and not uplink.refused else 1
    return 0
