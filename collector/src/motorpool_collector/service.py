"""Put a configuration's parts together and run them until they are done or stopped."""

from __future__ import annotations

import argparse
import logging
import signal
from typing import Any, Callable, List, Optional

from motorpool_collector.agent import Agent, show_progress
from motorpool_collector.bridge import BridgeServer
from motorpool_collector.config import Config
from motorpool_collector.downlink import Downlink
from motorpool_collector.recordings import Recorder, Recording
from motorpool_collector.screen import ScreenServer, host_and_port
from motorpool_collector.settings import Settings
from motorpool_collector.spool import Spool
from motorpool_collector.tuning import Tuning
from motorpool_collector.uplink import HURRIED_SECONDS, Uplink

BRIDGE_PORT, SCREEN_PORT = 8766, 8765
DRAIN_SECONDS = 86_400.0
"""How long a replay waits for the portal to take all of it."""

log = logging.getLogger("motorpool_collector")


def run(config: Config, options: argparse.Namespace) -> int:
    """Run; returns the exit status: 1 where a replay did not arrive whole."""
    spool = Spool(config.spool, int(config.max_mb * 1e6), config.max_days)
    tuning = Tuning(config.drivers, spool)
    drivers = tuning.drivers()
    progress: Optional[Callable[[int], None]] = None
    if options.command == "replay":
        drivers[0].open()
        for line in drivers[0].recording.lines():  # type: ignore[attr-defined]
            log.info("%s", line)
        progress = show_progress(len(drivers[0].frames))  # type: ignore[attr-defined]
    uplink = Uplink(config.carrier(), spool)
    agent = Agent(drivers, spool, uplink, config.vehicle, Settings(config.settings_file), tuning)
    agent.quiet = options.command == "replay"
    parts = _parts(config, options, agent)

    def stop(*_: object) -> None:
        agent.stop()
        uplink.hurry()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    try:
        agent.run(options.duration, progress)
        whole = all(driver.finished for driver in drivers)
        drained = uplink.drain(DRAIN_SECONDS if whole else HURRIED_SECONDS)  # a replay is done when the portal has it
    finally:
        for part in parts:
            part.stop()
        uplink.stop()
        left = spool.depth()
        spool.close()
    log.info("%d frames sent, %d readings refused, %d batches wait", uplink.sent_frames, uplink.rejected, left)
    if options.command == "replay":
        for line in _account(drivers[0].recording, uplink, left):  # type: ignore[attr-defined]
            print(line)
        return 0 if drained and not uplink.refused and uplink.readings else 1
    return 0


def _account(recording: Recording, uplink: Uplink, left: int) -> List[str]:
    """What a replay read and what became of it, in lines."""
    lines = [*recording.lines(), f"sent {uplink.sent_frames} frames: the portal has {uplink.readings} readings of them"]
    if uplink.rejected:
        reasons = ", ".join(f"{code} ({count})" for code, count in uplink.rejected_for.most_common(3))
        lines.append(
            f"rejected by the portal: {uplink.rejected} readings, for {reasons}; first: {uplink.rejected_example}"
        )
    if left:
        lines.append(f"{left} batches wait in the spool and are sent by the next run")
    if uplink.sent_frames and not uplink.readings:
        lines.append("error: the portal has stored nothing of this recording")
    return lines


class _Recording:
    """A recorder that stops like the other parts."""

    def __init__(self, recorder: Recorder) -> None:
        self.stop = recorder.close


def _parts(config: Config, options: argparse.Namespace, agent: Agent) -> List[Any]:
    """What runs beside the agent."""
    parts: List[Any] = []
    if options.record:
        recorder = Recorder(options.record)
        agent.listen(recorder.take)
        parts.append(_Recording(recorder))
    if config.bridge:
        bridge = BridgeServer(*host_and_port(config.bridge, BRIDGE_PORT), config.bridge_token)
        agent.listen(bridge.take)
        parts.append(bridge)
    if config.screen:
        parts.append(ScreenServer(agent, *host_and_port(config.screen, SCREEN_PORT)))
    if options.command != "replay":
        downlink = Downlink(config.portal, config.key, config.vehicle, agent)
        downlink.start()
        parts.append(downlink)
    return parts
