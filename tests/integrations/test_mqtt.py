"""A collector by MQTT: through a real broker with the shipped configuration, TLS and client certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.collector.test_collector import api, bound_key
from tests.conftest import Team
from tests.portal import ROOT, Portal, eventually, free_port

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto")


class Certificates:
    """A certificate authority of the test's own; it signs by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name("test authority")
        self.ca = self._write("ca", self._sign(self._name, self._key, x509.BasicConstraints(True, None)), None)

    def issue(self, name: str) -> Path:
        """The path of `<name>.pem`; the key lies beside it in `<name>.key`."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, self._sign(_name(name), key, x509.BasicConstraints(False, None)), key)

    def _sign(self, subject: x509.Name, key: Any, constraints: x509.BasicConstraints) -> x509.Certificate:
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(constraints, True)
            .add_extension(names, False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate, key: Any) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        if key is not None:
            pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            (self.folder / f"{name}.key").write_bytes(key.private_bytes(*pem))
        return path


def _name(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


class RunningBroker:
    """Mosquitto with the configuration of deploy/, at another place."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.certificates = Certificates(folder)
        self.certificates.issue("server")
        shipped = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
        text = shipped.replace("/etc/mosquitto", str(folder)).replace(
            "listener 8883", f"listener {self.port} 127.0.0.1"
        )
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"user {'root' if os.geteuid() == 0 else ''}\n{text}" if os.geteuid() == 0 else text)
        shutil.copy(ROOT / "deploy/mosquitto/acl", folder / "acl")
        self.url = f"mqtts://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        assert MOSQUITTO
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self, name: str) -> aiomqtt.Client:
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        path = self.certificates.issue(name)
        context.load_cert_chain(path, path.with_suffix(".key"))
        return aiomqtt.Client("127.0.0.1", self.port, tls_context=context, protocol=aiomqtt.ProtocolVersion.V5)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    running = RunningBroker(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def bridge(portal: Portal, broker: RunningBroker) -> Iterator[subprocess.Popen[bytes]]:
    certificate = broker.certificates.issue("bridge")
    environment = {
        **os.environ, "MQTT_URL": broker.url, "MQTT_CA_FILE": str(broker.certificates.ca), "INTERNAL_URL": portal.url,
        "MQTT_CERT_FILE": str(certificate), "MQTT_KEY_FILE": str(certificate.with_suffix(".key")),
    }  # fmt: skip
    with (broker.folder / "bridge.log").open("wb") as log:
        words = [sys.executable, "manage.py", "mqtt_ingest"]
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
        eventually(lambda: "mqtt.listening" in (broker.folder / "bridge.log").read_text(), 30)
        yield process
        process.terminate()
        assert process.wait(15) == 0


def configured(broker: RunningBroker, portal: Portal, key: str) -> None:
    certificate = broker.certificates.issue(key[:12])
    (broker.folder / "collector.toml").write_text(
        f"""[portal]\nurl = "{portal.url}"\nkey = "{key}"
[mqtt]\nurl = "{broker.url}"\nca_file = "{broker.certificates.ca}"
cert_file = "{certificate}"\nkey_file = "{certificate.with_suffix(".key")}"
[spool]\npath = "{broker.folder / "spool.sqlite3"}"
[[driver]]\ntype = "simulator"\nhz = 10\n"""
    )


def run(broker: RunningBroker, *words: str) -> subprocess.Popen[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "collector" / "src")}
    arguments = [sys.executable, "-m", "motorpool_collector", *words]
    return subprocess.Popen(arguments, cwd=broker.folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("bridge")
def test_batches_arrive_and_are_deleted_on_the_portals_answer(
    portal: Portal, team: Team, broker: RunningBroker
) -> None:
    configured(broker, portal, bound_key(team))
    agent = run(broker, "run", "--duration", "4")
    _, log = agent.communicate(timeout=40)
    last = json.loads(log.strip().splitlines()[-1])["event"]
    assert last.endswith("0 readings refused, 0 batches wait"), log
    sent = int(last.split()[0])
    assert sent >= 30
    assert api(portal, team, "summary")["signals"]["engine.rpm"]["count"] == sent - 1  # one frame is the agent's own


@pytest.mark.long
@pytest.mark.usefixtures("bridge")
def test_a_broker_that_goes_away_costs_nothing(portal: Portal, team: Team, broker: RunningBroker) -> None:
    configured(broker, portal, bound_key(team))
    agent = run(broker, "run")
    try:
        eventually(lambda: "engine.rpm" in api(portal, team, "latest")["signals"], 20)
        broker.stop()
        broker.start()
        mark = api(portal, team, "summary")["signals"]["engine.rpm"]["count"]
        eventually(lambda: api(portal, team, "summary")["signals"]["engine.rpm"]["count"] > mark + 20, 40)
    finally:
        agent.terminate()
        agent.communicate(timeout=20)
    second = run(broker, "run", "--duration", "1")  # what the first left in the spool
    _, log = second.communicate(timeout=30)
    assert "0 batches wait" in log


def test_nobody_reaches_anybody_elses_topics(broker: RunningBroker) -> None:
    async def attack() -> list[str]:
        heard: list[str] = []
        names = ("bridge", "mpd_aaaaaaaa", "mpd_bbbbbbbb")
        async with contextlib.AsyncExitStack() as stack:
            bridge, first, second = [await stack.enter_async_context(broker.client(name)) for name in names]
            for topic in ("motorpool/v1/mpd_bbbbbbbb/answers", "#", "+/v1/#", "$SYS/#", "$share/motorpool/#"):
                try:
                    await first.subscribe(topic, qos=1)
                except aiomqtt.MqttError:
                    continue
            await bridge.subscribe("$share/motorpool/motorpool/v1/+/telemetry", qos=1)
            await first.publish("motorpool/v1/mpd_bbbbbbbb/telemetry", b"forged", retain=True)
            await first.publish("motorpool/v1/mpd_aaaaaaaa/telemetry", b"own")
            await bridge.publish("motorpool/v1/mpd_bbbbbbbb/answers", b"for b", qos=1)
            await second.publish("motorpool/v1/mpd_bbbbbbbb/telemetry", b"own of b", qos=1)
            for client in (bridge, first):
                try:
                    async with asyncio.timeout(1):
                        async for message in client.messages:
                            heard.append(f"{message.topic} {message.payload!r}")  # noqa: PERF401
                except TimeoutError:
                    pass
        return sorted(heard)

    eventually(lambda: "running" in (broker.folder / "mosquitto.log").read_text(), 10)
    assert asyncio.run(attack()) == [
        "motorpool/v1/mpd_aaaaaaaa/telemetry b'own'",
        "motorpool/v1/mpd_bbbbbbbb/telemetry b'own of b'",
    ]
    certificates = broker.certificates
    context = ssl.create_default_context(cafile=str(certificates.ca))

    async def connect() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port, tls_context=context):
            pass

    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(connect())
