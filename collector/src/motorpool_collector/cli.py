"""The command line: ``motorpool-collector init | check | run | status | simulate | replay | drivers``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from importlib.util import find_spec
from typing import Any, List, Optional

from motorpool_collector import __version__
from motorpool_collector.config import PORTAL, SPOOL, Config, read_config, write_config
from motorpool_collector.driver import CollectorError
from motorpool_collector.drivers import DRIVERS, PACKAGES, driver_of, driver_options
from motorpool_collector.service import run
from motorpool_collector.spool import Spool
from motorpool_collector.tuning import LEVELS

CONFIG = "collector.toml"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    commands = {"init": _init, "check": _check, "status": _status, "drivers": _list_drivers}
    try:
        if options.command in commands:
            _log(options.log_level, options.log_file)
            return commands[options.command](options)
        config = _config(options)
        _log(config.log_level or options.log_level, config.log_file or options.log_file)
        return run(config, options)
    except CollectorError as error:
        print(f"motorpool-collector: {error}", file=sys.stderr)
        return 1


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        entry = {"time": moment, "level": record.levelname.lower(), "logger": record.name, "event": record.getMessage()}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _log(level: str, file: str) -> None:
    if level not in LEVELS:
        raise CollectorError(f"log.level is debug, info, warning or error, not {level!r}.", permanent=True)
    try:
        handler: logging.Handler = logging.FileHandler(file) if file else logging.StreamHandler()
    except OSError as error:
        raise CollectorError(f"the log file cannot be written: {error}", permanent=True) from None
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "websockets", "can"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log-level", default="info", choices=LEVELS)
    common.add_argument("--log-file", default="", help="default: standard error")
    sending = argparse.ArgumentParser(add_help=False)
    sending.add_argument("--portal", default="", help=f"or MOTORPOOL_PORTAL; default {PORTAL}")
    sending.add_argument("--key", default="", help="or MOTORPOOL_KEY")
    sending.add_argument("--vehicle", default=None, help="id, VIN or alias; not needed for a key of one vehicle")
    sending.add_argument("--spool", default="", help=f"file for what is not committed yet; default {SPOOL}")
    sending.add_argument("--duration", type=float, default=None, help="seconds; default: until stopped")
    sending.add_argument("--record", default="", metavar="FILE.jsonl", help="also write every frame to a file")
    sending.add_argument("--screen", default="", metavar="[HOST]:PORT", help="serve the EV Smart Screen, such as :8765")
    sending.add_argument("--bridge", default="", metavar="[HOST]:PORT", help="let other collectors read along")
    parser = argparse.ArgumentParser(prog="motorpool-collector", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    simulate = commands.add_parser("simulate", parents=[common, sending], help="drive a simulated vehicle")
    simulate.add_argument("--model", default="focus_st", choices=["focus_st", "ev"])
    simulate.add_argument("--scenario", default="mixed", help="a name, or a script such as idle:10;acceleration:20")
    simulate.add_argument("--hz", type=float, default=10.0)
    simulate.add_argument("--seed", type=int, default=0)

    replay = commands.add_parser("replay", parents=[common, sending], help="send a recording")
    replay.add_argument(
        "file", help=".csv, .gpx, .rec, .jsonl, or a CAN log: .log (candump), .asc, .blf, .trc, SavvyCAN .csv"
    )
    replay.add_argument("--speed", default="1", help="a factor, or max")
    replay.add_argument("--rebase", action="store_true", help="as if it happened now")
    replay.add_argument("--source", default="replay")
    replay.add_argument("--timezone", default="", help="of times without one, such as Europe/Madrid")
    replay.add_argument("--time-column", default="")
    replay.add_argument("--start", default="", help="when a recording with relative times began")
    replay.add_argument("--date-format", default="", help="of its times, such as '%%d/%%m/%%Y %%H:%%M:%%S'")
    replay.add_argument("--decimal", default="", choices=[".", ","], help="the decimal mark; default: as recognized")
    replay.add_argument("--delimiter", default="", help="what separates columns; default: as recognized")
    replay.add_argument("--encoding", default="", help="default: as recognized")
    replay.add_argument("--spread", action="store_true", help="spread rows of the same second evenly within it")
    replay.add_argument(
        "--unit", action="append", default=[], metavar="NAME=UNIT", help="the unit of a column; repeatable"
    )
    replay.add_argument(
        "--map", action="append", default=[], metavar="NAME=SIGNAL", help="column or CAN signal; repeatable"
    )
    replay.add_argument("--dbc", default="", help="DBC file of a CAN log; several with ;")
    replay.add_argument("--channel", default="", help="only this channel of a CAN log")
    replay.add_argument(
        "--interval", type=float, default=0.0, help="at most one reading of a CAN signal in so many seconds"
    )

    start = commands.add_parser("run", parents=[common, sending], help="run drivers until stopped")
    start.add_argument("--config", default="", help=f"default: {CONFIG}, where it is there")
    start.add_argument("--driver", action="append", default=[], metavar="NAME:KEY=VALUE,…", help="repeatable")
    check = commands.add_parser("check", parents=[common], help="open every driver, say what it sees and what is wrong")
    check.add_argument("--config", default=CONFIG)
    check.add_argument("--driver", action="append", default=[], metavar="NAME:KEY=VALUE,…", help="repeatable")
    status = commands.add_parser("status", parents=[common], help="what waits in the spool, and how the drivers are")
    status.add_argument("--config", default="")
    status.add_argument("--spool", default="")
    status.add_argument("--json", action="store_true")
    commands.add_parser("drivers", parents=[common], help="list the drivers and what they need")
    init = commands.add_parser("init", parents=[common], help="write collector.toml; asks for what is not given")
    init.add_argument("--config", default=CONFIG)
    for name in ("portal", "key", "vehicle"):
        init.add_argument(f"--{name}", default=None)
    init.add_argument("--spool", default=SPOOL)
    init.add_argument("--driver", action="append", default=[], metavar="NAME:KEY=VALUE,…", help="repeatable")
    return parser


def _config(options: argparse.Namespace) -> Config:
    """The file's configuration with the flags on top; a command of its own brings its own driver."""
    path = getattr(options, "config", "")
    config = Config(key=os.environ.get("MOTORPOOL_KEY", ""))
    if options.command == "run" and (path or (os.path.exists(CONFIG) and not options.driver)):
        config = read_config(path or CONFIG)
    config.portal = options.portal or os.environ.get("MOTORPOOL_PORTAL", "") or config.portal
    config.key = options.key or config.key
    config.vehicle = options.vehicle or config.vehicle
    config.spool = options.spool or config.spool
    config.screen = options.screen or config.screen
    config.bridge = options.bridge or config.bridge
    config.bridge_token = config.bridge_token or os.environ.get("MOTORPOOL_BRIDGE_TOKEN", "")
    if options.command == "simulate":
        config.drivers = [
            {"type": "simulator", **{n: getattr(options, n) for n in ("model", "scenario", "hz", "seed")}}
        ]
    elif options.command == "replay":
        config.drivers = [_replay_options(options)]
    elif options.driver:
        config.drivers = [driver_options(words) for words in options.driver]
    if not config.drivers:
        raise CollectorError("Nothing to read: name a --driver, or write collector.toml (motorpool-collector init).")
    return config


def _replay_options(options: argparse.Namespace) -> "dict[str, Any]":
    names, units = _pairs("--map", "NAME=SIGNAL", options.map), _pairs("--unit", "NAME=UNIT", options.unit)
    simple = (
        "file", "speed", "rebase", "source", "timezone", "time_column", "dbc", "channel", "interval", "start",
        "date_format", "decimal", "encoding", "spread",
    )  # fmt: skip
    delimiter = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    table = {n: getattr(options, n) for n in simple}
    return {"type": "replay", **table, "delimiter": delimiter, "columns": names, "map": names, "units": units}


def _pairs(option: str, form: str, words: List[str]) -> "dict[str, str]":
    found = {}
    for pair in words:
        name, equals, value = pair.rpartition("=")
        if not equals or not name.strip() or not value.strip():
            raise CollectorError(f"{option} takes {form}.", permanent=True)
        found[name.strip()] = value.strip()
    return found


def _list_drivers(options: argparse.Namespace) -> int:
    for name in sorted(DRIVERS):
        packages = PACKAGES.get(name, "").split()
        missing = [package for package in packages if not _installed(package)]
        words = f"needs pip install 'motorpool-collector[{name}]'" if missing else "ready"
        print(f"{name:<10} {words}")
    return 0


def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _check(options: argparse.Namespace) -> int:
    tables = [driver_options(words) for words in options.driver] or read_config(options.config).drivers
    wrong = 0
    for table in tables:
        name = str(table["type"])
        try:
            driver = driver_of(table)
            driver.open()
            try:
                describe = getattr(driver, "describe", None)
                if describe is None:
                    frames = driver.read()
                    words = f"{len(frames)} frames, {', '.join(sorted(frames[-1].values)) if frames else 'nothing yet'}"
                else:
                    words = describe()
            finally:
                driver.close()
            print(f"ok     {name}: {words}")
        except CollectorError as error:
            wrong += 1
            print(f"WRONG  {name}: {error}")
    return 1 if wrong else 0


def _status(options: argparse.Namespace) -> int:
    path = options.spool
    if not path:
        path = read_config(options.config or CONFIG).spool if options.config or os.path.exists(CONFIG) else SPOOL
    if not os.path.exists(path):
        raise CollectorError(f"There is no spool at {path}: has the collector run?")
    spool = Spool(path)
    facts = {**spool.facts(), "dropped_frames": spool.dropped, **json.loads(spool.note("status") or "{}")}
    spool.close()
    if options.json:
        print(json.dumps(facts))
        return 0
    age = f", the oldest for {time.time() - facts['oldest']:.0f} s" if facts["oldest"] else ""
    print(f"waiting   {facts['batches']} batches, {facts['frames']} frames, {facts['bytes'] / 1e6:.1f} MB{age}")
    print(f"dropped   {facts['dropped_frames']} frames; set aside {facts['set_aside']} batches that the portal refused")
    for source, count in (facts.get("left_out") or {}).items():
        print(f"left out  {count} values of {source} that are no finite numbers or texts")
    acked = facts.get("acked")
    print(f"last ack  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(acked)) if acked else 'none yet'}")
    for driver in facts.get("drivers", []):
        print(f"driver    {driver['source']}: {driver['state']} {driver['words']}".rstrip())
    return 0


def _init(options: argparse.Namespace) -> int:
    interactive = sys.stdin.isatty()

    def asked(given: Optional[str], words: str, otherwise: str) -> str:
        if given is not None or not interactive:
            return given if given is not None else otherwise
        return input(f"{words} [{otherwise}]: ").strip() or otherwise

    url = asked(options.portal, "The portal's address", PORTAL)
    key = asked(options.key, "The device key (mpd_…, from the portal's Devices page)", "")
    vehicle = asked(options.vehicle, "The vehicle's id, VIN or alias (empty for a key of one vehicle)", "")
    drivers = options.driver or [asked(None, f"The first driver ({', '.join(sorted(DRIVERS))})", "simulator:hz=10")]
    for words in drivers:
        driver_of(driver_options(words))
    key_file = os.path.splitext(os.path.abspath(options.config))[0] + ".key"
    write_config(
        options.config, url=url, key_file=key_file, key=key, vehicle=vehicle, spool=options.spool, drivers=drivers
    )
    print(f"{options.config} is written. Next: motorpool-collector check, then motorpool-collector run")
    return 0
