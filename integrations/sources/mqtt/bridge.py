"""From an MQTT broker to the ingest route, and the portal's answer back.

A broker's PUBACK is not storage (mosquitto's queue is in memory and bounded), so the agent keeps a batch until the
answer that this bridge publishes. The bridge holds nothing: whatever it loses is sent again.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import httpx
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

AT_ONCE = 8
LARGEST = 4_000_000
LONGEST_WAIT = 30.0
SHARED = "$share/motorpool/motorpool/v1/+/telemetry"
"""A shared subscription (MQTT 5, 4.8.2): several bridges divide the work."""
_TOPIC = re.compile(r"motorpool/v1/([A-Za-z0-9_-]{4,32})/telemetry")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Broker:
    """Where the broker is, and who the bridge is to it; files are PEM."""

    url: str
    username: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def connect(self) -> aiomqtt.Client:
        """A client, not yet connected; raises `ValueError` for a wrong address, `OSError` for a wrong file."""
        address = urlsplit(self.url)
        if address.scheme not in ("mqtt", "mqtts") or not address.hostname:
            raise ValueError("MQTT_URL is mqtts://host:8883, or mqtt:// without TLS")
        context = None
        if address.scheme == "mqtts":
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        return aiomqtt.Client(
            address.hostname,
            address.port or (8883 if context else 1883),
            username=self.username or None,
            password=self.password or None,
            tls_context=context,
            protocol=aiomqtt.ProtocolVersion.V5,
            max_queued_incoming_messages=10 * AT_ONCE,
        )


class Bridge:
    """Passes batches on, a few at once; waits for a broker or a portal that is away."""

    def __init__(self, broker: Broker, portal: str) -> None:
        """``portal`` is the address of the web process."""
        self._broker = broker
        self._url = portal.rstrip("/") + "/api/v1/telemetry"
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`; raises `ValueError` or `OSError` for a configuration that cannot work."""
        wait, said = 1.0, False
        async with httpx.AsyncClient(timeout=httpx.Timeout(30, connect=5)) as portal:
            while not self._stopping.is_set():
                try:
                    async with self._broker.connect() as client:
                        await client.subscribe(SHARED, qos=1)
                        log.info("mqtt.listening")
                        wait, said = 1.0, False
                        await self._pass_on(client, portal)
                except* aiomqtt.MqttError as errors:
                    if not said:
                        log.warning("mqtt.away", error=str(errors.exceptions[0]))
                    said = True
                if not self._stopping.is_set():
                    await _sleep(self._stopping, wait)
                    wait = min(LONGEST_WAIT, wait * 2)

    async def _pass_on(self, client: aiomqtt.Client, portal: httpx.AsyncClient) -> None:
        turns = asyncio.Semaphore(AT_ONCE)
        stopping = asyncio.ensure_future(self._stopping.wait())
        messages = client.messages.__aiter__()
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                await turns.acquire()
                following = asyncio.ensure_future(messages.__anext__())
                await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    break
                task = tasks.create_task(self._one(following.result(), client, portal))
                task.add_done_callback(lambda _: turns.release())
        stopping.cancel()

    async def _one(self, message: aiomqtt.Message, client: aiomqtt.Client, portal: httpx.AsyncClient) -> None:
        """Post a batch; its answer goes to the topic of the device that sent it, whatever the message asks for."""
        found = _TOPIC.fullmatch(str(message.topic))
        properties = message.properties
        mark = getattr(properties, "CorrelationData", None)
        if found is None or mark is None or not isinstance(message.payload, bytes):
            return
        told = dict(getattr(properties, "UserProperty", ()))
        answer = await self._post(message.payload, told, portal)
        reply: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        reply.CorrelationData = mark
        reply.MessageExpiryInterval = 60
        try:
            topic = f"motorpool/v1/{found.group(1)}/answers"
            await client.publish(topic, json.dumps(answer), qos=1, properties=reply)
        except aiomqtt.MqttError as error:
            log.debug("mqtt.answer_lost", error=str(error))  # the device sends the batch again

    async def _post(self, body: bytes, told: dict[str, str], portal: httpx.AsyncClient) -> dict[str, Any]:
        if len(body) > LARGEST:
            return {"status": 413, "answer": {"detail": f"A batch may have {LARGEST} bytes."}}
        headers = {"Content-Type": "application/json", "Authorization": told.get("authorization", "")[:300]}
        if told.get("content-encoding") in ("gzip", "zstd"):
            headers["Content-Encoding"] = told["content-encoding"]
        try:
            answer = await portal.post(self._url, content=body, headers=headers)
            return {
                "status": answer.status_code,
                "retry_after": answer.headers.get("Retry-After"),
                "answer": answer.json(),
            }
        except (httpx.HTTPError, ValueError) as error:
            return {"status": 503, "answer": {"detail": f"The portal does not answer ({type(error).__name__})."}}


async def _sleep(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        pass
