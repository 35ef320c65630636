"""The agents connected to this process: one look into the queue for all of them, twice a second.

PostgreSQL alone decides: no message between processes can be lost, and with Redis away commands work on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Protocol

import structlog
from channels.db import database_sync_to_async

from telemetry.commands import queue
from telemetry.models import Command
from vehicles.models import Device

LOOK_SECONDS = 0.5
CHECK_SECONDS = 2.0
"""How soon the socket of a key that was revoked or replaced closes."""

log = structlog.get_logger(__name__)
_in_thread = functools.partial(database_sync_to_async, thread_sensitive=False)


class Agent(Protocol):
    """A connected agent."""

    device_id: int
    vehicle_id: int
    key_digest: bytes
    """SHA-256 of the key that it came with: a key that was replaced is no key any more."""

    async def carry_out(self, command: Command) -> None:
        """Send it a command."""

    async def dismiss(self) -> None:
        """Its key is revoked: hang up."""


class Agents:
    """Lives on the process's event loop; sleeps while nobody is connected."""

    def __init__(self) -> None:
        self._connected: list[Agent] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, agent: Agent) -> None:
        """An agent said who it is; of two for one vehicle the newer is sent the commands."""
        self._connected.append(agent)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def leave(self, agent: Agent) -> None:
        """An agent is gone."""
        if agent in self._connected:
            self._connected.remove(agent)

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        checked = asyncio.get_running_loop().time()
        while self._connected:
            try:
                await self._deliver()
                if asyncio.get_running_loop().time() - checked > CHECK_SECONDS:
                    checked = asyncio.get_running_loop().time()
                    await self._dismiss_revoked()
            except Exception as error:  # the database is away for a moment: the queue stands there
                log.warning("agents.not_served", error=str(error).strip()[:200])
                await asyncio.sleep(2)
            await asyncio.sleep(LOOK_SECONDS)

    async def _deliver(self) -> None:
        by_vehicle = {agent.vehicle_id: agent for agent in self._connected}
        for command in await _in_thread(queue.claim)(list(by_vehicle)):
            with contextlib.suppress(Exception):  # it has just left: the command times out, and is not sent twice
                await by_vehicle[command.vehicle_id].carry_out(command)

    async def _dismiss_revoked(self) -> None:
        digests = {agent.key_digest for agent in self._connected}
        valid = await _in_thread(_still_valid)(digests)
        for agent in [agent for agent in self._connected if agent.key_digest not in valid]:
            self.leave(agent)
            await agent.dismiss()


def _still_valid(digests: set[bytes]) -> set[bytes]:
    rows = Device.objects.filter(sha256__in=digests, revoked_at=None).values_list("sha256", flat=True)
    return {bytes(digest) for digest in rows}
