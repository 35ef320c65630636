"""A small HTTP load generator: prepared requests over kept-alive connections, one thread each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Result:
    """What a run of requests did; latencies in seconds, one per request."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """A latency in milliseconds."""
        ordered = sorted(self.latencies) or [0.0]
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, host: str = "127.0.0.1"
) -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.head = b""
        """The last answer's status line and headers."""

    def send(self, data: bytes) -> tuple[int, bytes]:
        """Send a request; returns status and body."""
        self._socket.sendall(data)
        buffer = self._rest
        while b"\r\n\r\n" not in buffer:
            buffer += self._read()
        head, _, body = buffer.partition(b"\r\n\r\n")
        status = int(head[9:12])
        self.head = head
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._read()
            self._rest = b""
            return status, body
        length = 0
        place = lower.find(b"content-length:")
        if place >= 0:
            length = int(lower[place + 15 :].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._read()
        self._rest = body[length:]
        return status, body[:length]

    def _read(self) -> bytes:
        data = self._socket.recv(1_048_576)
        if not data:
            raise ConnectionError("closed")
        return data

    def close(self) -> None:
        self._socket.close()


def run(port: int, per_connection: Sequence[Sequence[bytes]], good: int = 200) -> Result:
    """Send each connection's requests one after the other, all connections at once."""
    result = Result(0.0)
    barrier = threading.Barrier(len(per_connection) + 1)

    def work(requests: Sequence[bytes]) -> None:
        connection = Connection(port)
        latencies = []
        barrier.wait()
        for data in requests:
            begun = time.perf_counter()
            status, body = connection.send(data)
            latencies.append(time.perf_counter() - begun)
            if status != good:
                result.failures.append(f"{status} {body[:200]!r}")
        connection.close()
        result.latencies.extend(latencies)

    threads = [threading.Thread(target=work, args=(requests,)) for requests in per_connection]
    for thread in threads:
        thread.start()
    barrier.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - begun
    return result
