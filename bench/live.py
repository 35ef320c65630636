"""Live fan-out: sockets that count frames and how long they took, with little cost of their own."""

from __future__ import annotations

import base64
import json
import os
import re
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field

_TIME = re.compile(rb'"frames":\[\[([0-9.]+)')
_ONE_FRAME = re.compile(rb"\],\[")


@dataclass
class Watcher:
    """One WebSocket, read without a library."""

    connection: socket.socket
    rest: bytes = b""
    frames: int = 0
    messages: int = 0
    latencies: list[float] = field(default_factory=list)


def open_socket(port: int, token: str, subscribe: dict[str, object], receive_buffer: int = 0) -> Watcher:
    """A subscribed socket; ``receive_buffer`` makes the kernel's buffer small for one that will not read."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /ws/v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: motorpool.v1, bearer.{token}\r\n\r\n"
    )
    connection.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    assert b" 101 " in answer[:20], answer[:200]
    watcher = Watcher(connection, answer.partition(b"\r\n\r\n")[2])
    send_text(connection, json.dumps({"type": "subscribe", **subscribe}))
    return watcher


def send_text(connection: socket.socket, text: str) -> None:
    """A masked text frame (RFC 6455, section 5.2)."""
    data = text.encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    mask = os.urandom(4)
    connection.sendall(b"\x81" + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def take(watcher: Watcher, sample: int = 8) -> None:
    """Read what is there; count frames, and time one message in ``sample``."""
    data = watcher.rest + watcher.connection.recv(1_048_576)
    now = time.time()
    place, end = 0, len(data)
    while place + 2 <= end:
        kind, length, head = data[place] & 0x0F, data[place + 1] & 0x7F, 2
        if length == 126:
            head = 4
            length = int.from_bytes(data[place + 2 : place + 4], "big") if place + 4 <= end else end
        elif length == 127:
            head = 10
            length = int.from_bytes(data[place + 2 : place + 10], "big") if place + 10 <= end else end
        if place + head + length > end:
            break
        if kind == 1 and data.startswith(b'{"type":"frames"', place + head):
            watcher.messages += 1
            if length < 700:
                watcher.frames += 1
            else:
                watcher.frames += 1 + len(_ONE_FRAME.findall(data, place + head, place + head + length))
            if watcher.messages % sample == 0:
                found = _TIME.search(data, place + head, place + head + length)
                if found:
                    watcher.latencies.append(now - float(found.group(1)))
        place += head + length
    watcher.rest = data[place:]


def watch(watchers: list[Watcher], seconds: float) -> None:
    """Read all sockets for a while."""
    selector = selectors.DefaultSelector()
    for watcher in watchers:
        watcher.connection.setblocking(False)
        selector.register(watcher.connection, selectors.EVENT_READ, watcher)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            try:
                take(key.data)
            except (BlockingIOError, ConnectionError):
                continue
    selector.close()
