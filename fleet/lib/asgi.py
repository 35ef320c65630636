"""ASGI below Django: bounded bodies and small JSON answers."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec
import zstandard

from fleet.lib.errors import MotorpoolError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 30.0
MOST_MEMBERS = 16
"""Of one gzip body; each costs a copy of the rest."""
LINGER_BYTES = 1_000_000
LINGER_SECONDS = 1.0
_CHUNK = 65_536


class BodyTooLarge(MotorpoolError):
    """413."""

    status = 413
    code = "too_large"


class BodyTooSlow(MotorpoolError):
    """408."""

    status = 408
    code = "too_slow"


SEND_SECONDS = 10.0
"""A client that takes nothing for so long is given up."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def guarded(app: App) -> App:
    """``app`` behind what no client may do to it: hold a send open, or forge a header.

    A send that a client does not take within `SEND_SECONDS` ends its connection; what the application sends after that
    is dropped, so that no thread waits for somebody who is gone. Header names with an underscore are dropped: WSGI
    cannot tell ``X_Forwarded_For`` from ``X-Forwarded-For``.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        if scope["type"] != "http":
            return await app(scope, receive, send)
        gone = False

        async def bounded_send(message: Message) -> None:
            nonlocal gone
            if gone:
                return
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except (TimeoutError, OSError, RuntimeError):
                gone = True

        await app(scope, receive, bounded_send)
        if gone:
            raise ClientGone  # the server closes the connection, with whatever was asked for behind this

    return wrapped


def header(scope: Scope, name: bytes) -> bytes:
    """A request header's value, empty where it is missing."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def read_body(scope: Scope, receive: Receive, limit: int, declared_limit: int | None = None) -> bytes:
    """The whole body.

    Args:
        limit: in bytes, where the client declares no length.
        declared_limit: with a Content-Length.

    Raises:
        BodyTooLarge: as soon as it is known.
        BodyTooSlow: it took more than `BODY_SECONDS`.
        ClientGone: the client left.
    """
    declared = header(scope, b"content-length")
    if declared:
        limit = declared_limit or limit
        if not declared.isdigit() or int(declared) > limit:
            raise BodyTooLarge(f"The body may have {limit} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise BodyTooLarge(f"The body may have {limit} bytes.")
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise BodyTooSlow(f"The body took more than {BODY_SECONDS:.0f} s.") from None


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        BodyTooLarge: it inflates to more than ``limit`` bytes; no more than that is held.
        MotorpoolError: 415 for an unknown encoding, 400 for a damaged body.
    """
    try:
        if encoding in ("", "identity"):
            return body
        if encoding == "gzip":
            return _bounded(_gunzip(body), limit)
        if encoding == "zstd":
            return _bounded(_unzstd(body), limit)
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise MotorpoolError(f"The body is not whole {encoding}.", code="invalid_encoding") from None
    raise MotorpoolError("Content-Encoding can be gzip or zstd.", code="unsupported_encoding", status=415)


def _gunzip(body: bytes) -> Iterable[bytes]:
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        data = member.decompress(body, _CHUNK)
        yield data
        # At its end a member that others follow keeps its tail: to decompress or flush that again would never end,
        # and add it to what is unused a second time.
        while member.unconsumed_tail and not member.eof:
            yield member.decompress(member.unconsumed_tail, _CHUNK)
        if not member.eof:
            yield member.flush()
        if not member.eof:
            raise EOFError
        body = member.unused_data
        if not body:
            return
    raise zlib.error("too many members")


def _unzstd(body: bytes) -> Iterable[bytes]:
    with zstandard.ZstdDecompressor(max_window_size=2**23).stream_reader(body, read_across_frames=True) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk
    # The reader says nothing of a frame that ends too early: its declared size does, where there is one.
    size = zstandard.frame_content_size(body)
    if size == 0 and not body:
        raise EOFError


def _bounded(parts: Iterable[bytes], limit: int) -> bytes:
    # One piece that grows: thousands of small ones would leave holes in the heap that are never given back.
    kept = bytearray()
    for part in parts:
        kept += part
        if len(kept) > limit:
            kept.clear()  # the error's traceback holds on to it
            raise BodyTooLarge(f"The inflated body may have {limit} bytes.")
    return bytes(kept)


async def respond(send: Send, status: int, body: Any = None, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """A JSON answer."""
    data = msgspec.json.encode(body)
    basic = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*basic, *headers]})
    await send({"type": "http.response.body", "body": data})


async def refuse(
    receive: Receive, send: Send, error: MotorpoolError, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """An error's answer, for a request whose body may not have been read.

    Reads on for a moment, so that a client that is still sending gets to see the answer, then closes.
    """
    data = msgspec.json.encode({"detail": error.detail, "code": error.code})
    basic = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"connection", b"close"),
    ]
    if error.status in (429, 503):
        basic.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": error.status, "headers": [*basic, *headers]})
    await send({"type": "http.response.body", "body": data, "more_body": True})
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    await send({"type": "http.response.body", "body": b""})


_NUL_IN_ADDRESS = MotorpoolError("The address holds a NUL character.", code="invalid")


def bounded(app: App, limit: int) -> App:
    """``app`` behind what holds before anything is authenticated: a limit on bodies, and no NUL in addresses."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if b"%00" in scope.get("query_string", b"") or "\0" in scope["path"]:
            return await refuse(receive, send, _NUL_IN_ADDRESS)
        sends_body = header(scope, b"content-length") or header(scope, b"transfer-encoding")
        if scope["method"] in ("GET", "HEAD") and not sends_body:
            return await app(scope, receive, send)
        try:
            body = await read_body(scope, receive, limit)
        except ClientGone:
            return None
        except MotorpoolError as error:
            return await refuse(receive, send, error)
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await app(scope, replay, send)

    return wrapped
