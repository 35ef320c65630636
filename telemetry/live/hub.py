"""The hub: one per process. One Redis subscription per organization that somebody here watches; every message is
decoded once, encoded once per subscription shape, and handed to the sockets' bounded outboxes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
import redis.asyncio
import structlog
from channels.db import database_sync_to_async
from django.conf import settings

from fleet.lib.public_ids import Kind, public_id
from telemetry.live import messages
from telemetry.live.credentials import Credential, still_valid
from telemetry.live.encoding import frames_text, newest_texts, text_of
from telemetry.live.subscription import GAP, Newest, Outbox, Subscription, now
from telemetry.metrics import SOCKETS

FLUSH_SECONDS = 0.05
HEARTBEAT_SECONDS = 15.0
REVALIDATE_SECONDS = 2.0
PING_SECONDS = 2.0
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)
_json = msgspec.json.Encoder()


class Socket(Protocol):
    """What the hub needs of a connected socket."""

    credential: Credential
    subscription: Subscription | None
    outbox: Outbox

    def end(self, code: int) -> None:
        """Close soon."""
        ...


class Hub:
    """The sockets of this process and the one Redis connection that feeds them."""

    def __init__(self) -> None:
        self._sockets: dict[int, set[Socket]] = {}
        self._changed = asyncio.Event()
        self._subscribed: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.ready: dict[int, asyncio.Event] = {}

    def count(self, user_id: int | None = None) -> int:
        """How many sockets are open, of one user or of all."""
        return sum(
            1
            for group in self._sockets.values()
            for socket in group
            if user_id is None or socket.credential.user_id == user_id
        )

    async def join(self, socket: Socket) -> None:
        """Feed a socket from now on; returns once the organization's messages flow."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(job()) for job in (self._listen, self._flush, self._heartbeat, self._revalidate)
            ]
        self._sockets.setdefault(socket.credential.organization_id, set()).add(socket)
        SOCKETS.set(self.count())
        flowing = self.ready.setdefault(socket.credential.organization_id, asyncio.Event())
        self._changed.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flowing.wait(), 2)

    def leave(self, socket: Socket) -> None:
        """Forget a socket."""
        group = self._sockets.get(socket.credential.organization_id)
        if group:
            group.discard(socket)
            SOCKETS.set(self.count())
            if not group:
                del self._sockets[socket.credential.organization_id]
                self._changed.set()

    async def stop(self) -> None:
        """End the tasks and close the sockets (1012: service restart)."""
        for group in list(self._sockets.values()):
            for socket in list(group):
                socket.end(1012)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    # --- Redis --------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        lost = False
        while True:
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=None)
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe("motorpool:live")
                    self._subscribed = set()
                    await self._follow(pubsub)
                    if lost:
                        self._gap_everywhere()
                        lost = False
                    await self._receive(pubsub)
            except (redis.RedisError, OSError, TimeoutError) as error:
                log.warning("hub.disconnected", error=str(error)[:200])
                lost = True
            finally:
                with contextlib.suppress(Exception):
                    await client.aclose()
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, pubsub: Any) -> None:
        """Subscribe to what is watched and leave what is not."""
        self._changed.clear()
        wanted = set(self._sockets)
        for organization_id in wanted - self._subscribed:
            await pubsub.subscribe(messages.topic(organization_id))
        for organization_id in self._subscribed - wanted:
            await pubsub.unsubscribe(messages.topic(organization_id))
            self.ready.pop(organization_id, None)
        self._subscribed = wanted

    async def _receive(self, pubsub: Any) -> None:
        """Take messages until the connection fails. A ping that stays unanswered is a failure too."""
        silent = 0
        changed = asyncio.ensure_future(self._changed.wait())
        reading = asyncio.ensure_future(pubsub.parse_response(block=True))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {changed, reading}, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if changed in done:
                    await self._follow(pubsub)
                    changed = asyncio.ensure_future(self._changed.wait())
                if reading in done:
                    silent = 0
                    self._take(reading.result())
                    reading = asyncio.ensure_future(pubsub.parse_response(block=True))
                if not done:
                    if silent:
                        raise TimeoutError("Redis does not answer")
                    silent += 1
                    await pubsub.ping()
        finally:
            changed.cancel()
            reading.cancel()

    def _take(self, response: Any) -> None:
        if not isinstance(response, (list, tuple)):
            return
        kind = response[0]
        if kind in (b"subscribe", "subscribe"):
            name = response[1].decode() if isinstance(response[1], bytes) else response[1]
            if name.startswith(messages.TOPIC):
                self.ready.setdefault(int(name.removeprefix(messages.TOPIC)), asyncio.Event()).set()
        elif kind in (b"message", "message"):
            name = response[1].decode() if isinstance(response[1], bytes) else response[1]
            organization_id = int(name.removeprefix(messages.TOPIC))
            try:
                self._spread(organization_id, messages.decode(response[2]))
            except Exception:
                log.exception("hub.message_failed")

    # --- To the sockets -----------------------------------------------------------------------------------

    def _spread(self, organization_id: int, message: messages.Message) -> None:
        sockets = self._sockets.get(organization_id, ())
        match message:
            case messages.Frames():
                self._spread_frames(sockets, message)
            case messages.State():
                body = {
                    "type": "state",
                    "vehicle": public_id(Kind.VEHICLE, message.vehicle_id),
                    "state": message.state,
                    "since": message.since,
                }
                text = _json.encode(body).decode()
                for socket in sockets:
                    if socket.subscription and socket.subscription.wants(message.vehicle_id):
                        socket.outbox.put(("state", message.vehicle_id), text)
            case messages.Alert():
                text = f'{{"type":"alert","alert":{message.body}}}'
                for socket in sockets:
                    # Who watches nothing in particular hears of every vehicle's.
                    if socket.subscription is None or socket.subscription.wants(message.vehicle_id):
                        socket.outbox.put(("alert", message.alert_id), text)
            case messages.Gap():
                self._gap(sockets)

    def _spread_frames(self, sockets: Iterable[Socket], message: messages.Frames) -> None:
        moment = now()
        times, values = messages.arrays(message)
        shapes: dict[Any, str] = {}
        for socket in sockets:
            subscription = socket.subscription
            if subscription is None or not subscription.wants(message.vehicle_id):
                continue
            key = (message.vehicle_id, message.source)
            if key in subscription.pending or not subscription.passes(message.vehicle_id, len(times), moment):
                newest = subscription.pending.get(key)
                if newest is None:
                    newest = subscription.pending[key] = Newest(message.version, int(times[-1]), {})
                newest.update(message.version, times, message.signals, values, newest_texts(message))
                continue
            previous = subscription.sent.get(message.vehicle_id)
            shape = (subscription.signals, previous)
            text = shapes.get(shape)
            if text is None:
                text = shapes[shape] = frames_text(message, times, values, subscription.signals, previous)
            if text:
                subscription.sent[message.vehicle_id] = max(message.version, previous or 0)
                socket.outbox.put(("frames", *key), text)

    async def _flush(self) -> None:
        """Send what was coalesced, as soon as each rate allows."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            moment = now()
            for group in list(self._sockets.values()):
                for socket in group:
                    subscription = socket.subscription
                    if subscription is None or not subscription.pending:
                        continue
                    for key, newest in list(subscription.pending.items()):
                        if subscription.passes(key[0], 1, moment):
                            del subscription.pending[key]
                            self._send_newest(socket, subscription, key, newest)

    def _send_newest(self, socket: Socket, subscription: Subscription, key: tuple[int, str], newest: Newest) -> None:
        values = newest.values
        if subscription.signals is not None:
            values = {signal: value for signal, value in values.items() if signal in subscription.signals}
        if not values:
            return
        previous = subscription.sent.get(key[0])
        text = text_of(*key, newest.version, previous, list(values), [[newest.time / 1e6, *values.values()]])
        subscription.sent[key[0]] = newest.version
        socket.outbox.put(("frames", *key), text)

    def _gap_everywhere(self) -> None:
        for group in self._sockets.values():
            self._gap(group)

    def _gap(self, sockets: Iterable[Socket]) -> None:
        for socket in sockets:
            if socket.subscription:
                socket.outbox.put(("gap",), GAP)

    # --- Keeping sockets honest ---------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            text = _json.encode({"type": "heartbeat", "time": time.time()}).decode()
            for group in list(self._sockets.values()):
                for socket in group:
                    socket.outbox.put(("heartbeat",), text)

    async def _revalidate(self) -> None:
        """Close the sockets of those who are no members any more: one query for all, every two seconds."""
        while True:
            await asyncio.sleep(REVALIDATE_SECONDS)
            sockets = [socket for group in self._sockets.values() for socket in group]
            if not sockets:
                continue
            credentials = {socket.credential for socket in sockets}
            try:
                valid = await database_sync_to_async(still_valid, thread_sensitive=False)(credentials)
            except Exception as error:
                log.warning("hub.revalidation_failed", error=str(error)[:200])
                continue
            for socket in sockets:
                if socket.credential not in valid:
                    socket.end(4403)
