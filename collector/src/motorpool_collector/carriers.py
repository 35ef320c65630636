"""How a batch travels to the portal and its answer back: HTTP, or an MQTT broker in between (docs/collector.md)."""

from __future__ import annotations

import json
import ssl
import threading
import uuid
from dataclasses import dataclass
from typing import Any, Dict
from urllib.parse import urlsplit

import httpx

from motorpool_collector import __version__
from motorpool_collector.driver import CollectorError, needs

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    from typing_extensions import Protocol  # type: ignore[assignment]

ANSWER_SECONDS = 15.0
CONNECT_SECONDS = 5.0


class Unreachable(Exception):
    """No answer came; the batch has to be sent again."""


@dataclass
class Answer:
    """The portal's own answer, by whatever way it came."""

    status: int
    text: str
    retry_after: str = ""


class Carrier(Protocol):
    """Takes a gzipped request to the portal."""

    def send(self, body: bytes) -> Answer:
        """The portal's answer; raises `Unreachable`. Safe to use from several threads."""

    def close(self) -> None:
        """Hang up."""


class HttpCarrier:
    """``POST /api/v1/telemetry``."""

    def __init__(self, portal: str, key: str) -> None:
        self._url = portal.rstrip("/") + "/api/v1/telemetry"
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": f"motorpool-collector/{__version__}",
        }
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS))

    def send(self, body: bytes) -> Answer:
        """Post it."""
        try:
            answer = self._client.post(self._url, content=body)
        except httpx.HTTPError as error:
            raise Unreachable(str(error) or type(error).__name__) from None
        return Answer(answer.status_code, answer.text, answer.headers.get("Retry-After", ""))

    def close(self) -> None:
        """Hang up."""
        self._client.close()


@dataclass
class Broker:
    """Where the broker is, and who we are to it; files are PEM."""

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password: str = ""


class MqttCarrier:
    """MQTT 5. The broker's own acknowledgement means nothing here: the portal's answer is awaited.

    Topics: ``motorpool/v1/<device>/telemetry`` up, ``motorpool/v1/<device>/answers`` down; ``<device>`` is the
    beginning of the device key that the portal shows in its list.
    """

    def __init__(self, broker: Broker, key: str) -> None:
        """Raises `CollectorError` where the address or a file is wrong, or paho-mqtt is missing."""
        self._paho: Any = needs("paho.mqtt.client", "mqtt")
        self._properties: Any = needs("paho.mqtt.properties", "mqtt")
        self._kinds: Any = needs("paho.mqtt.packettypes", "mqtt").PacketTypes
        address = urlsplit(broker.url)
        if address.scheme not in ("mqtt", "mqtts") or not address.hostname:
            raise CollectorError("mqtt.url is mqtts://host:8883, or mqtt:// without TLS.", permanent=True)
        device = key[:12]
        self._key = key
        self._up, self._down = f"motorpool/v1/{device}/telemetry", f"motorpool/v1/{device}/answers"
        self._lock = threading.Lock()
        self._waiting: Dict[bytes, threading.Event] = {}
        self._answers: Dict[bytes, Answer] = {}
        self._listening = threading.Event()
        self._client = self._paho.Client(
            self._paho.CallbackAPIVersion.VERSION2, client_id=f"{device}-{uuid.uuid4().hex[:8]}",
            protocol=self._paho.MQTTv5,
        )  # fmt: skip
        if address.scheme == "mqtts":
            try:
                context = ssl.create_default_context(cafile=broker.ca_file or None)
                if broker.cert_file:
                    context.load_cert_chain(broker.cert_file, broker.key_file or None)
            except OSError as error:
                raise CollectorError(f"mqtt: a certificate cannot be used: {error}", permanent=True) from None
            self._client.tls_set_context(context)
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password or None)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._listening.clear()
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 30)
        self._client.connect_async(address.hostname, address.port or (8883 if address.scheme == "mqtts" else 1883))
        self._client.loop_start()

    def send(self, body: bytes) -> Answer:
        """Publish it at QoS 1, and wait for what the portal says."""
        if not self._listening.wait(CONNECT_SECONDS):
            raise Unreachable("the broker does not answer")
        mark, arrived = uuid.uuid4().bytes, threading.Event()
        properties = self._properties.Properties(self._kinds.PUBLISH)
        properties.CorrelationData = mark
        properties.ContentType = "application/json"
        properties.MessageExpiryInterval = int(ANSWER_SECONDS)
        properties.UserProperty = [("authorization", f"Bearer {self._key}"), ("content-encoding", "gzip")]
        with self._lock:
            self._waiting[mark] = arrived
        try:
            self._client.publish(self._up, body, qos=1, properties=properties)
            if not arrived.wait(ANSWER_SECONDS):
                raise Unreachable("the portal did not answer through the broker")
            return self._answers[mark]
        finally:
            with self._lock:
                self._waiting.pop(mark, None)
                self._answers.pop(mark, None)

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, *_: Any) -> None:
        client.subscribe(self._down, qos=1)

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        mark = getattr(message.properties, "CorrelationData", b"")
        try:
            told = json.loads(message.payload)
            answer = Answer(int(told["status"]), json.dumps(told.get("answer")), str(told.get("retry_after") or ""))
        except (ValueError, KeyError, TypeError):
            return
        with self._lock:
            if mark in self._waiting:
                self._answers[mark] = answer
                self._waiting[mark].set()
