"""``/ws/v1/agent``: a collector agent's downlink. docs/api.md has the messages."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from fleet.accounts.models import secret_hash
from fleet.lib import socket_messages
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, public_id
from telemetry.commands import queue
from telemetry.commands.agents import Agents
from telemetry.ingest.names import Sender, find_sender
from telemetry.models import Command
from vehicles.access import find_vehicle_ids
from vehicles.models import Device

HELLO_SECONDS = 10.0

_in_thread = functools.partial(database_sync_to_async, thread_sensitive=False)


class AgentConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One agent, for one vehicle: it says hello, then answers commands and reports its settings."""

    def __init__(self, agents: Agents) -> None:
        super().__init__()
        self.agents = agents
        self.device_id = 0
        self.vehicle_id = 0
        self.key_digest = b""
        self._sender: Sender | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[None] | None = None
        """Kept, or the loop may forget it while it is under way."""

    async def connect(self) -> None:
        """Take a device key in the Authorization header; refuse the handshake without a valid one."""
        headers = dict(self.scope["headers"])
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        key = key.strip()
        if scheme.lower() == "bearer" and key.startswith(Device.PREFIX) and len(key) < 200:
            self._sender = await _in_thread(find_sender)(key)
            self.key_digest = secret_hash(key)
        if self._sender is None:
            await self.close()
            return
        self.device_id = self._sender.device_id
        await self.accept()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HELLO_SECONDS, lambda: self._close_later(4408))

    async def disconnect(self, code: int) -> None:
        """Leave."""
        if self._deadline:
            self._deadline.cancel()
        self.agents.leave(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the agent."""
        try:
            message = socket_messages.decode(text_data)
            if not self.vehicle_id:
                await self._hello(message)
            else:
                await self._handle(message)
        except MotorpoolError as error:
            await self._say({"type": "error", "code": error.code, "detail": error.detail})

    async def carry_out(self, command: Command) -> None:
        """Send a command; the agent has until the command expires."""
        await self._say(
            {
                "type": "command", "id": str(command.pk), "command": command.type, "arguments": command.arguments,
                "seconds": queue.KINDS[command.type].seconds,
            }
        )  # fmt: skip

    async def dismiss(self) -> None:
        """Close: the key is revoked."""
        await self.close(4401)

    async def _hello(self, message: dict[str, Any]) -> None:
        if message.get("type") != "hello":
            raise MotorpoolError("Say hello first.")
        vehicle_id = await _in_thread(_vehicle_of)(self._sender, message.get("vehicle"))
        await self._keep_settings(vehicle_id, message.get("settings"))
        self.vehicle_id = vehicle_id
        if self._deadline:
            self._deadline.cancel()
        self.agents.join(self)
        await self._say({"type": "hello", "vehicle": public_id(Kind.VEHICLE, vehicle_id)})

    async def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "result":
                known = await _in_thread(queue.finish)(
                    command_id=str(message.get("id")),
                    vehicle_id=self.vehicle_id,
                    succeeded=message.get("status") == "succeeded",
                    result=message.get("result"),
                    detail=str(message.get("detail") or ""),
                )
                if not known:
                    raise MotorpoolError("No command of this vehicle waits for that answer.", code="not_found")
            case "reported":
                await self._keep_settings(self.vehicle_id, message.get("settings"))
            case "ping":
                await self._say({"type": "pong"})
            case other:
                raise MotorpoolError(f"Unknown type {str(other)[:40]!r}: use result, reported or ping.")

    async def _keep_settings(self, vehicle_id: int, settings: Any) -> None:
        if settings is not None:
            assert self._sender is not None
            organization_id = self._sender.organization_id
            await _in_thread(queue.report)(organization_id=organization_id, vehicle_id=vehicle_id, settings=settings)

    def _close_later(self, code: int) -> None:
        self._closing = asyncio.ensure_future(self.close(code))

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))


def _vehicle_of(sender: Sender, named: Any) -> int:
    """The vehicle that the agent serves; raises `MotorpoolError` where that is not clear or not its own."""
    if named is None:
        if sender.only_vehicle is None:
            raise MotorpoolError("Say which vehicle: the key is not bound to exactly one.", code="vehicle_required")
        return sender.only_vehicle
    vehicle_id = find_vehicle_ids(sender.organization_id, [str(named)]).get(str(named))
    if vehicle_id is None or not sender.may_write(vehicle_id):
        raise MotorpoolError("No vehicle of this key answers to that name.", code="unknown_vehicle")
    return vehicle_id
