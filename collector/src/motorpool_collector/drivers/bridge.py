"""The reading side of another collector, over TCP with a token: lines of JSON (see `motorpool_collector.bridge`)."""

from __future__ import annotations

import json
import socket
import time
from typing import List, Optional, Union

from motorpool_collector.driver import CollectorError, Frame

SILENT_SECONDS = 30.0
LONGEST_LINE = 1_000_000


class BridgeDriver:
    """Reads what the other collector reads; its sources become ``<source>``."""

    def __init__(self, host: str, token: str, port: Union[int, str] = 8766, source: str = "bridge") -> None:
        self.source = source
        self.period: Optional[float] = 0.05
        self.finished = False
        self._address = (host, int(port))
        self._token = token
        self._line: Optional[socket.socket] = None
        self._buffer = b""
        self._heard = 0.0

    def open(self) -> None:
        """Connect and show the token."""
        where = f"{self._address[0]}:{self._address[1]}"
        try:
            line = socket.create_connection(self._address, 5)
            line.sendall(json.dumps({"token": self._token}).encode() + b"\n")
            hello = line.recv(200)
            line.setblocking(False)
        except OSError as error:
            raise CollectorError(f"the other collector does not answer at {where}: {error}") from None
        if b'"ok"' not in hello:
            line.close()
            raise CollectorError(f"the other collector at {where} does not accept the token")
        self._line, self._heard = line, time.monotonic()
        self._buffer = hello.partition(b"\n")[2]

    def read(self) -> List[Frame]:
        """The frames that came since."""
        assert self._line is not None
        try:
            data = self._line.recv(262_144)
            if not data:
                raise CollectorError("the other collector has closed the connection")
            self._heard = time.monotonic()
        except BlockingIOError:
            data = b""
        except OSError as error:
            raise CollectorError(f"the other collector is gone: {error}") from None
        if time.monotonic() - self._heard > SILENT_SECONDS:
            raise CollectorError(f"the other collector has said nothing for {SILENT_SECONDS:.0f} s")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > LONGEST_LINE:
            raise CollectorError("the other collector does not speak the bridge's language")
        frames = []
        for text in lines:
            try:
                entry = json.loads(text)
                if "time" in entry:
                    frames.append(Frame(float(entry["time"]), dict(entry["values"])))
            except (ValueError, TypeError, KeyError) as error:
                raise CollectorError(f"the other collector sent what is no frame: {error}") from None
        return frames

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
        self._line = None
