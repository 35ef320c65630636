"""What the portal may change in a running collector: how often and what its drivers read, and how much it logs.

Where a driver connects to, and the files that it writes, stay the business of whoever has the machine.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Dict, List

from motorpool_collector import __version__
from motorpool_collector.driver import CollectorError, Driver
from motorpool_collector.drivers import driver_of
from motorpool_collector.spool import Spool

TUNABLE = ("hz", "rates", "interval", "changes_only", "unmapped", "map", "scenario", "timeout")
LEVELS = ("debug", "info", "warning", "error")
NOTE = "tuning"

log = logging.getLogger("motorpool_collector.tuning")


class Tuning:
    """The drivers' tables, and on top of them what was changed from afar; kept in the spool's notes."""

    def __init__(self, tables: List[Dict[str, Any]], spool: Spool) -> None:
        self._tables = tables
        self._spool = spool
        self._changes: Dict[str, Dict[str, Any]] = json.loads(spool.note(NOTE) or "{}")

    def drivers(self) -> List[Driver]:
        """The drivers, as changed; a change that no longer fits is left out. Raises `CollectorError`."""
        made = []
        for table in self._tables:
            driver = driver_of(table)
            change = self._changes.get(driver.source)
            if change:
                try:
                    driver = driver_of({**table, **change})
                except CollectorError as error:
                    log.error("%s: the portal's change is left out: %s", driver.source, error)
            made.append(driver)
        return made

    def change(self, number: int, source: str, options: Dict[str, Any]) -> Driver:
        """The driver at ``number`` with other options, which are kept.

        Raises:
            CollectorError: an option that may not be changed from afar, or a value that the driver does not take.
        """
        wrong = sorted(options.keys() - set(TUNABLE))
        if wrong:
            raise CollectorError(f"{wrong[0]} is changed in collector.toml only; from here: {', '.join(TUNABLE)}.")
        changes = {**self._changes.get(source, {}), **options}
        driver = driver_of({**self._tables[number], **changes})
        self._changes[source] = changes
        self._spool.keep_note(NOTE, self._changes)
        return driver

    def shown(self, number: int, source: str) -> Dict[str, Any]:
        """The options in force that may be changed, and the driver's type; nothing secret."""
        table = {**self._tables[number], **self._changes.get(source, {})}
        return {name: value for name, value in table.items() if name == "type" or name in TUNABLE}


def set_level(level: Any) -> None:
    """Log more or less; raises `CollectorError`."""
    if level not in LEVELS:
        raise CollectorError(f"log_level is one of {', '.join(LEVELS)}.")
    logging.getLogger().setLevel(level.upper())


def facts() -> Dict[str, Any]:
    """The collector's version and how much it logs."""
    return {"version": __version__, "log_level": logging.getLevelName(logging.getLogger().level).lower()}
