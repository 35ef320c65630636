"""A CAN bus through any of python-can's interfaces, decoded with DBC files by cantools."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.can_decoding import Decoder, Filter
from motorpool_collector.driver import CollectorError, Frame, needs

MOST_FRAMES = 2_000
"""Read in a turn, so that a busy bus does not keep the thread from its other work."""
NEWEST = 1_000_000_000.0
"""Time stamps below this are no epoch: some interfaces count from when they were opened."""


class CanDriver:
    """Listens to one channel."""

    def __init__(
        self,
        dbc: Union[str, List[str]],
        interface: str = "socketcan",
        channel: str = "can0",
        bitrate: Union[int, str] = 500_000,
        map: Optional[Dict[str, Any]] = None,
        interval: Union[float, str] = 0.0,
        changes_only: Union[bool, str] = False,
        unmapped: Union[bool, str] = False,
        record: str = "",
        source: str = "can",
    ) -> None:
        """``record`` names a file for every frame as it came: .log (candump), .asc, .blf or .csv by its ending."""
        self.source = source
        self.period: Optional[float] = 0.05
        self.finished = False
        self._options = {"interface": interface, "channel": channel, "bitrate": int(bitrate)}
        self._record = record
        keep = Filter(float(interval), changes_only in (True, "true", "yes", "1"))
        files = dbc.split(";") if isinstance(dbc, str) else dbc
        self.decoder = Decoder(files, map, keep, unmapped in (True, "true", "yes", "1"))
        self._bus: Any = None
        self._writer: Any = None

    def open(self) -> None:
        """Open the interface."""
        can = needs("can", "can")
        try:
            self._bus = can.Bus(**self._options)
            self._writer = (
                can.Logger(self._record, append=True)
                if self._record.endswith((".log", ".csv"))
                else (can.Logger(self._record) if self._record else None)
            )
        except (can.CanError, OSError, ValueError, NotImplementedError) as error:
            self.close()
            where = f"{self._options['interface']} {self._options['channel']}"
            raise CollectorError(f"the CAN interface {where} cannot be opened: {error}") from None

    def read(self) -> List[Frame]:
        """The readings of the frames that came since."""
        can = needs("can", "can")
        frames: List[Frame] = []
        for _ in range(MOST_FRAMES):
            try:
                message = self._bus.recv(timeout=0)
            except can.CanError as error:
                raise CollectorError(f"the CAN bus is gone: {error}") from None
            if message is None:
                break
            if self._writer is not None:
                self._writer(message)
            if message.is_error_frame or message.is_remote_frame:
                continue
            moment = message.timestamp if message.timestamp > NEWEST else time.time()
            found = self.decoder.frame(
                round(moment, 6), message.arbitration_id, bytes(message.data), message.is_extended_id
            )
            if found is not None:
                frames.append(found)
        return frames

    def close(self) -> None:
        """Close interface and recording."""
        if self._writer is not None:
            self._writer.stop()
        if self._bus is not None:
            self._bus.shutdown()
        self._bus = self._writer = None

    def describe(self) -> str:
        """What ``check`` tells."""
        time.sleep(1)
        self.read()
        known, unknown = self.decoder.decoded, self.decoder.unknown
        return f"in a second {known} frames that the DBC files know, {unknown} that they do not"
