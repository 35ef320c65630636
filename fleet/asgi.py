"""The composition root of the web process: which path goes to which application."""

from __future__ import annotations

import asyncio
import gc
import os
from functools import partial
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.wsgi import get_wsgi_application

# Django's views and middleware are synchronous: run whole in one thread they answer 0.8 ms sooner than when each layer
# is adapted to the event loop. Two connections of the pool are left for key and name look-ups.
_wsgi: Any = get_wsgi_application()
# An answer of a few pieces is handed over whole, whatever the speed of its reader.
django_app: Any = WSGIMiddleware(_wsgi, workers=max(2, settings.DATABASE_POOL_SIZE - 2), send_queue_size=100)

from fleet.celery import app as celery_app  # noqa: E402
from fleet.lib.asgi import App, Receive, Scope, Send, bounded, guarded, refuse, respond  # noqa: E402
from fleet.lib.bell import Bell  # noqa: E402
from fleet.lib.database_watch import DatabaseWatch  # noqa: E402
from fleet.lib.errors import UNAVAILABLE_PAGE, MotorpoolError  # noqa: E402
from fleet.lib.static_files import StaticFiles  # noqa: E402
from fleet.pages import readiness  # noqa: E402
from integrations.sources.smartcar import receiver as smartcar  # noqa: E402
from integrations.sources.smartcar.inbox import Inbox  # noqa: E402
from telemetry.commands.agent_socket import AgentConsumer  # noqa: E402
from telemetry.commands.agents import Agents  # noqa: E402
from telemetry.ingest.committer import Committer  # noqa: E402
from telemetry.ingest.endpoint import IngestEndpoint  # noqa: E402
from telemetry.live.consumer import StreamConsumer  # noqa: E402
from telemetry.live.hub import Hub  # noqa: E402
from telemetry.live.publish import Publisher  # noqa: E402

INGEST_PATH = "/api/v1/telemetry"
WITHOUT_DATABASE = ("/health", "/metrics", "/static/")
_NO_DATABASE = MotorpoolError("The database does not answer; try again shortly.", code="unavailable", status=503)
SOCKETS = ("/ws/v1/stream", "/ws/v1/agent")
"""The tenancy table has a test for each."""


def ring_bell() -> None:
    """Tell the worker that batches wait."""
    celery_app.send_task("telemetry.tasks.run_sinks", expires=30, retry=False)


def ring_webhooks() -> None:
    """Tell the worker that deliveries wait."""
    celery_app.send_task("integrations.sources.smartcar.tasks.process_events", expires=30, retry=False)


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """503 in the words of whoever asks: JSON for programs, a page that tries again for people."""
    if scope["path"].startswith(("/api/", "/ready", "/webhooks/", "/webhook")):
        return await refuse(receive, send, _NO_DATABASE)
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"retry-after", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": UNAVAILABLE_PAGE.encode()})


class Parts:
    """What lives as long as the process."""

    def __init__(self) -> None:
        self.publisher = Publisher(ring_bell)
        self.watch = DatabaseWatch()
        self.committer = Committer(settings.INGEST_CONNECTIONS, self.publisher.committed, lambda: self.watch.up)
        self.watch.when_down(self.committer.database_down)
        self.hub = Hub()
        self.ingest = IngestEndpoint(self.committer)
        loop = asyncio.get_running_loop()
        self.watch.when_down(partial(loop.call_soon_threadsafe, self.ingest.database_down))
        self.webhooks = Inbox(Bell(ring_webhooks).push, lambda: self.watch.up)
        self.receiver = smartcar.Receiver(self.webhooks)
        self.agents = Agents()
        consumers = (StreamConsumer.as_asgi(hub=self.hub), AgentConsumer.as_asgi(agents=self.agents))
        self.sockets: dict[str, App] = dict(zip(SOCKETS, consumers, strict=True))

    async def stop(self) -> None:
        """Commit what waits, then let go."""
        await self.hub.stop()
        await self.agents.stop()
        await asyncio.to_thread(self.webhooks.stop)
        await asyncio.to_thread(self.committer.stop)
        await self.publisher.stop()
        self.watch.stop()


class Application:
    """Motorpool's ASGI application; its parts are made when the first event reaches the process's loop."""

    def __init__(self) -> None:
        self._django = bounded(django_app, settings.BODY_LIMIT)
        self._static = StaticFiles()
        self._route = guarded(self._routed)
        self._parts: Parts | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        return await self._route(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._get_parts()
        if scope["type"] == "websocket":
            return await self._socket(scope, receive, send)
        if scope["path"] == "/health":
            return await respond(send, 200, {"status": "ok"})
        if scope["path"].startswith(settings.STATIC_URL):
            return await self._static(scope, receive, send)
        if not parts.watch.up and not scope["path"].startswith(WITHOUT_DATABASE):
            return await _unavailable(scope, receive, send)
        if scope["path"] == "/ready":
            status, body = await asyncio.to_thread(readiness)
            return await respond(send, status, body, [(b"retry-after", b"2")] if status == 503 else [])
        if scope["path"] == INGEST_PATH:
            return await parts.ingest(scope, receive, send)
        if scope["path"] == smartcar.OLD_PATH or scope["path"].startswith(smartcar.PREFIX):
            return await parts.receiver(scope, receive, send)
        return await self._django(scope, receive, send)

    def _get_parts(self) -> Parts:
        if self._parts is None:
            self._parts = Parts()
        return self._parts

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._get_parts()
        if not parts.watch.up:
            await receive()
            return await send({"type": "websocket.close", "code": 1013})
        consumer = parts.sockets.get(scope["path"])
        if consumer is None:
            await receive()
            return await send({"type": "websocket.close", "code": 4404})
        return await consumer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._get_parts()
                # What was loaded until now stays: full collections need not walk it again and again.
                gc.collect()
                gc.freeze()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._parts:
                    await self._parts.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


application = Application()
