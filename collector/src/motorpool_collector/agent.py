"""The agent: drivers in their threads, one spool, an uplink; what they read last, and what they can be asked."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from motorpool_collector.batches import MOST_FRAMES, BatchBuilder, sound
from motorpool_collector.driver import CollectorError, Driver, Frame, Value
from motorpool_collector.runner import Runner
from motorpool_collector.settings import Settings
from motorpool_collector.spool import Spool
from motorpool_collector.tuning import Tuning, facts, set_level
from motorpool_collector.uplink import Uplink

FLUSH_SECONDS = 0.25
STATUS_SECONDS = 10.0
SELF = "collector"
"""The source of what the agent reports of itself."""
COMMAND_SECONDS = 30.0

log = logging.getLogger("motorpool_collector.agent")


class Agent:
    """Drivers, spool and uplink together."""

    def __init__(
        self,
        drivers: List[Driver],
        spool: Spool,
        uplink: Uplink,
        vehicle: Optional[str],
        settings: Optional[Settings] = None,
        tuning: Optional[Tuning] = None,
    ) -> None:
        self.runners = [Runner(driver, self._take) for driver in drivers]
        self.settings = settings or Settings()
        self.latest: Dict[str, Value] = {}
        """Every signal's last value."""
        self.frames = 0
        self.left_out: Dict[str, int] = {}
        """By source how many values could not be sent."""
        self._spool = spool
        self._uplink = uplink
        self._builder = BatchBuilder(vehicle)
        self._tuning = tuning
        self._stopping = False
        self._counting = threading.Lock()
        self._listeners: List[Callable[[str, List[Frame]], None]] = []
        self.quiet = False
        """Send no readings of the agent's own, as while a recording is replayed."""
        self._reported = -1
        self._reported_left_out = 0

    def stop(self) -> None:
        """End `run` soon; safe in a signal handler, which an `Event`'s lock would not be."""
        self._stopping = True

    def listen(self, listener: Callable[[str, List[Frame]], None]) -> None:
        """Call ``listener`` with each source's frames, in the driver's thread."""
        self._listeners.append(listener)

    def note(self, values: Dict[str, Value], source: str = SELF) -> None:
        """Send readings of the agent's own."""
        self._take(source, [Frame(round(time.time(), 3), values)])

    def can(self) -> List[str]:
        """The commands that can be carried out here."""
        found = {"setting", "media", *(["collector_config"] if self._tuning else [])}
        for runner in self.runners:
            found.update(getattr(runner.driver, "commands", ()))
        return sorted(found)

    def carry_out(self, command: str, arguments: Dict[str, Any], seconds: float = COMMAND_SECONDS) -> Any:
        """Do what the portal or the screen asks for.

        Raises:
            CollectorError: it cannot be done; the message says why.
        """
        if command == "collector_config" and self._tuning:
            return self._configure(self._tuning, arguments)
        able = [runner for runner in self.runners if command in getattr(runner.driver, "commands", ())]
        if command in ("setting", "media"):
            changed = self.settings.apply(command, arguments)
            self.note(changed, "screen")
            if able:  # else the player is simulated
                able[0].ask(command, arguments, seconds)
            return changed
        if not able:
            raise CollectorError(f"No driver here can do {command}.")
        ready = [runner for runner in able if runner.state == "open"] or able
        return ready[0].ask(command, arguments, seconds)

    def _configure(self, tuning: Tuning, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Change a driver's options or the log's level, where asked to; returns what is in force."""
        source, options = arguments.get("driver"), arguments.get("options")
        if source is not None:
            place = next((i for i, runner in enumerate(self.runners) if runner.driver.source == source), None)
            if place is None or not isinstance(options, dict):
                known = ", ".join(runner.driver.source for runner in self.runners)
                raise CollectorError(f"driver is one of {known}, and options a table.")
            successor = Runner(tuning.change(place, str(source), options), self._take)
            self.runners[place].stop()
            self.runners[place] = successor
            successor.start()
            log.info("%s: changed by the portal: %s", source, ", ".join(options))
        if arguments.get("log_level") is not None:
            set_level(arguments["log_level"])
        drivers = [
            {"source": r.driver.source, "state": r.state, "words": r.words, **tuning.shown(i, r.driver.source)}
            for i, r in enumerate(self.runners)
        ]
        return {**facts(), "drivers": drivers}

    def run(self, seconds: Optional[float] = None, progress: Optional[Callable[[int], None]] = None) -> None:
        """Read until every driver is finished, the time is up, or `stop`; then spool what is left.

        Raises:
            CollectorError: all drivers are disabled; the first one's reason.
        """
        self._uplink.start()
        end = None if seconds is None else time.monotonic() + seconds
        status_at = time.monotonic()
        for runner in self.runners:
            runner.start()
        try:
            while not self._stopping and (end is None or time.monotonic() < end):
                if all(runner.ended for runner in self.runners):
                    break
                pause = FLUSH_SECONDS if end is None else min(FLUSH_SECONDS, max(0.0, end - time.monotonic()))
                time.sleep(pause)
                if time.monotonic() >= status_at:
                    status_at = time.monotonic() + STATUS_SECONDS
                    self._report()
                self._flush()
                if progress:
                    progress(self.frames)
        finally:
            for runner in self.runners:
                runner.stop()
            self._flush()
            self._report()
        broken = [runner.error for runner in self.runners if runner.error]
        if broken and len(broken) == len(self.runners):
            raise broken[0]

    def _take(self, source: str, frames: List[Frame]) -> None:
        frames = self._sound(source, frames)
        for frame in frames:
            self.latest.update(frame.values)
        for listener in self._listeners:
            listener(source, frames)
        self._builder.add(source, frames)
        if self._builder.count >= MOST_FRAMES:
            self._flush()

    def _sound(self, source: str, frames: List[Frame]) -> List[Frame]:
        """The frames without what cannot be sent, which is counted and said once for each source."""
        found = []
        for frame in frames:
            kept, left = sound(frame)
            if kept is not None:
                found.append(kept)
            if left:
                with self._counting:
                    first = source not in self.left_out
                    self.left_out[source] = self.left_out.get(source, 0) + left
                log.log(
                    logging.WARNING if first else logging.DEBUG,
                    "%s: %d values are no finite numbers or texts and are left out: %.200r",
                    source,
                    left,
                    frame,
                )
        return found

    def _flush(self) -> None:
        if self._builder.count:
            blocks, count = self._builder.take()
            if count:
                self._spool.add(blocks, count)
                with self._counting:
                    self.frames += count
                self._uplink.notify()

    def _report(self) -> None:
        """Keep for ``status`` how the drivers are, and tell the portal what was dropped."""
        drivers = [{"source": r.driver.source, "state": r.state, "words": r.words} for r in self.runners]
        self._spool.keep_note(
            "status",
            {"at": time.time(), "drivers": drivers, "acked": self._uplink.acked_at, "left_out": dict(self.left_out)},
        )
        if self.quiet:
            return
        if self._spool.dropped != self._reported:
            self._reported = self._spool.dropped
            self.note({"device.dropped_frames": float(self._spool.dropped)})
        left_out = sum(self.left_out.values())
        if left_out != self._reported_left_out:
            self._reported_left_out = left_out
            self.note({"device.left_out_values": float(left_out)})


def show_progress(total: int) -> Callable[[int], None]:
    """A progress line on a terminal; silent elsewhere."""

    def show(done: int) -> None:
        if sys.stderr.isatty():
            share = min(1.0, done / total) if total else 1.0
            bar = "█" * int(30 * share)
            sys.stderr.write(f"\r{bar:<30} {done}/{total} frames")
            sys.stderr.write("\n" if done >= total else "")
            sys.stderr.flush()

    return show
