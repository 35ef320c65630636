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
CHECK_SECONDS = 5.0
"""How soon a revoked key's socket closes."""

log = structlog.get_logger(__name__)
_in_thread = functools.partial(database_sync_to_async, thread_sensitive=False)


class Agent(Protocol):
    """A connected agent."""

    device_id: int
    vehicle_id: int

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
        ids = {agent.device_id for agent in self._connected}
        valid = await _in_thread(_still_valid)(ids)
        for agent in [agent for agent in self._connected if agent.device_id not in valid]:
            self.leave(agent)
            await agent.dismiss()


def _still_valid(device_ids: set[int]) -> set[int]:
    return set(Device.objects.filter(pk__in=device_ids, revoked_at=None).values_list("pk", flat=True))
