"""``/ws/v1/stream``: one browser or program that watches vehicles live. docs/api.md has the messages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any

import msgspec
import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from rest_framework.exceptions import AuthenticationFailed

from fleet.lib import socket_messages
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, number_of, public_id
from telemetry.live import credentials, snapshot
from telemetry.live.hub import Hub
from telemetry.live.subscription import SEND_SECONDS, Outbox, Subscription, hz_of

MOST_SOCKETS = 200
AUTH_SECONDS = 10
MOST_NAMED = 10_000

log = structlog.get_logger(__name__)
# Each in a thread of its own: one slow look-up must not hold up the others.
_in_thread = functools.partial(database_sync_to_async, thread_sensitive=False)
_json = msgspec.json.Encoder()


class StreamConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Accepts, authenticates and subscribes; the hub does the sending."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.outbox = Outbox()
        self.subscription: Subscription | None = None
        self.credential: credentials.Credential | None = None
        self._sender: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._code = 0
        self._closing: asyncio.Future[None] | None = None
        """Kept, or the loop may forget it while it is under way."""

    async def connect(self) -> None:
        """Take the handshake; without a credential the first message has to bring one."""
        try:
            found = await _in_thread(credentials.of_scope)(self.scope)
        except AuthenticationFailed:
            await self.close()
            return
        offered = self.scope.get("subprotocols", ())
        await self.accept(credentials.PROTOCOL if credentials.PROTOCOL in offered else None)
        if found is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(AUTH_SECONDS, lambda: self._close_later(4401))
        else:
            await self._start(found)

    async def disconnect(self, code: int) -> None:
        """Leave the hub."""
        if self._deadline:
            self._deadline.cancel()
        if self.credential:
            self.hub.leave(self)
        if self._sender:
            self._sender.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the client."""
        if self.credential is not None and not self._code:
            # What was open stays open; a mistake is answered, not punished.
            try:
                await self._handle(socket_messages.decode(text_data))
            except MotorpoolError as error:
                self._say({"type": "error", "code": error.code, "detail": error.detail})
            return
        try:
            message = socket_messages.decode(text_data)
            if message.get("type") != "auth" or not isinstance(message.get("token"), str):
                raise MotorpoolError("Sign in first.")
            found = await _in_thread(credentials.of_bearer)(message["token"])
        except (MotorpoolError, AuthenticationFailed):
            await self.close(4401)
            return
        if self._deadline:
            self._deadline.cancel()
        await self._start(found)

    def end(self, code: int) -> None:
        """Close soon; nothing more is sent."""
        if not self._code:
            self._code = code
            self.subscription = None
            self._closing = asyncio.ensure_future(self._close_now(code))

    def _close_later(self, code: int) -> None:
        self._closing = asyncio.ensure_future(self.close(code))

    async def _start(self, found: credentials.Credential) -> None:
        if self.hub.count(found.user_id) >= MOST_SOCKETS:
            await self.close(4429)
            return
        self.credential = found
        await self.hub.join(self)
        self._sender = asyncio.create_task(self._send_all())
        self._say(
            {
                "type": "hello",
                "protocol": credentials.PROTOCOL,
                "organization": public_id(Kind.ORGANIZATION, found.organization_id),
            }
        )

    async def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "subscribe":
                await self._subscribe(message)
            case "unsubscribe":
                self.subscription = None
                self._say({"type": "unsubscribed"})
            case "ping":
                self._say({"type": "pong"})
            case other:
                raise MotorpoolError(f"Unknown type {str(other)[:40]!r}: use subscribe, unsubscribe or ping.")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        assert self.credential is not None
        vehicles = _names(message.get("vehicles", "all"), "vehicles")
        signals = _names(message.get("signals", "all"), "signals")
        # Ten thousand ids take a tenth of a second to read.
        resume = await _in_thread(_versions)(message.get("resume", {}))
        organization_id = self.credential.organization_id
        ids = await _in_thread(snapshot.resolve)(organization_id, vehicles)
        wanted = Subscription(ids, frozenset(signals) if signals is not None else None, hz_of(message.get("max_hz")))
        # Frames flow from here on and wait behind the snapshot, so that none falls between the two.
        self.outbox.held = True
        self.subscription = wanted
        try:
            pieces, versions = await _in_thread(snapshot.build)(organization_id, ids, wanted.signals, resume)
        except BaseException:
            self.outbox.held = False
            raise
        for vehicle_id, version in versions.items():
            wanted.sent.setdefault(vehicle_id, version)
        self.outbox.put_first([_json.encode(piece).decode() for piece in pieces])

    def _say(self, message: dict[str, Any]) -> None:
        self.outbox.put((message["type"],), _json.encode(message).decode())

    async def _send_all(self) -> None:
        """Send what the outbox holds; a client that does not read is closed, and never waited for elsewhere."""
        try:
            while True:
                text = await self.outbox.get()
                async with asyncio.timeout(SEND_SECONDS):
                    await self.send(text_data=text)
        except TimeoutError:
            self.hub.leave(self)
            self._code = self._code or 1013
            await self._close_now(1013)
        except (RuntimeError, OSError):
            self.hub.leave(self)

    async def _close_now(self, code: int) -> None:
        if self._sender and self._sender is not asyncio.current_task():
            self._sender.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await self.close(code)


def _versions(resume: Any) -> dict[int, int]:
    """The version that a client has of each vehicle; raises `MotorpoolError`."""
    if isinstance(resume, dict) and len(resume) <= MOST_NAMED:
        found = {number_of(Kind.VEHICLE, vehicle): seq for vehicle, seq in resume.items()}
        if 0 not in found and all(type(seq) is int and 0 <= seq < 2**63 for seq in found.values()):
            return found
    raise MotorpoolError("resume maps vehicle ids to the last seq that was received.")


def _names(value: Any, what: str) -> list[str] | None:
    if value == "all":
        return None
    if not isinstance(value, list) or len(value) > MOST_NAMED or not all(isinstance(n, (str, int)) for n in value):
        raise MotorpoolError(f'{what} is a list of names, or "all".')
    return [str(name) for name in value]
