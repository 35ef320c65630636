"""Let other collectors read what this one reads: TCP, a token first, then a line of JSON per frame.

``{"token": "…"}`` is answered by ``{"ok": true}``; then follow ``{"source", "time", "values"}`` and, every
`HEARTBEAT_SECONDS`, ``{}``. The token travels as it is: use it on a network of your own, or through a tunnel.
"""

from __future__ import annotations

import hmac
import json
import logging
import queue
import socket
import threading
from typing import List

from motorpool_collector.driver import CollectorError, Frame

HEARTBEAT_SECONDS = 10.0
MOST_CLIENTS = 8
MOST_WAITING = 2_000
"""Lines for a client that does not read; beyond, it is hung up."""

log = logging.getLogger("motorpool_collector.bridge")


class BridgeServer:
    """Threads: one accepts, one per client."""

    def __init__(self, host: str, port: int, token: str) -> None:
        if len(token) < 16:
            raise CollectorError("bridge.token needs at least 16 characters.", permanent=True)
        self._token = token
        self._clients: List[queue.Queue[bytes]] = []
        self._lock = threading.Lock()
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise CollectorError(f"the bridge cannot listen at {host}:{port}: {error}", permanent=True) from None
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, name="bridge", daemon=True).start()

    def take(self, source: str, frames: List[Frame]) -> None:
        """Pass frames on; never waits for a client."""
        with self._lock:
            clients = list(self._clients)
        if not clients:
            return
        entries = ({"source": source, "time": frame.time, "values": frame.values} for frame in frames)
        data = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        for client in clients:
            try:
                client.put_nowait(data)
            except queue.Full:
                with self._lock:
                    if client in self._clients:
                        self._clients.remove(client)

    def stop(self) -> None:
        """Accept nobody any more."""
        self._socket.close()
        with self._lock:
            self._clients.clear()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), name="bridge-client", daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        client: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        with line:
            try:
                line.settimeout(5)
                entry = json.loads(line.recv(1_000))
                if not hmac.compare_digest(str(entry["token"]).encode(), self._token.encode()):
                    line.sendall(b'{"error": "token"}\n')
                    return
                with self._lock:
                    if len(self._clients) >= MOST_CLIENTS:
                        return
                    self._clients.append(client)
                line.sendall(b'{"ok": true}\n')
                while client in self._clients:
                    try:
                        data = client.get(timeout=HEARTBEAT_SECONDS)
                    except queue.Empty:
                        data = b"{}\n"
                    line.sendall(data)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.info("a bridge client left: %s", error)
            finally:
                with self._lock:
                    if client in self._clients:
                        self._clients.remove(client)
