"""The Procfile's processes in production mode behind the shipped nginx configuration, with TLS, on loopback."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect

from tests.conftest import make_team
from tests.portal import ROOT, answers, database_url, eventually, free_port

HOST = "localhost"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    chain, private = folder / "fullchain.pem", folder / "privkey.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return chain, private


@dataclass
class Deployed:
    """The running processes."""

    url: str
    certificate: Path
    environment: dict[str, str]
    ports: list[int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    folder: Path = Path()

    def client(self, secret: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx.Client(base_url=self.url, verify=self.tls(), headers=headers, timeout=10, trust_env=False)

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def start(self, name: str, port: int = 0) -> subprocess.Popen[bytes]:
        command = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())[name.rstrip("2")]
        environment = {**self.environment, "PORT": str(port)}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        return self.processes[name]


@pytest.fixture(scope="module")
def deployed(_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    nginx = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
    if nginx is None:
        pytest.skip("no nginx: install it to test the deployment (apt install nginx-light)")
    folder = tmp_path_factory.mktemp("deployed")
    folder.chmod(0o755)
    chain, _ = certificate(folder)
    plain, secure, ports = free_port(), free_port(), [free_port(), free_port()]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url(), "REDIS_URL": os.environ["REDIS_URL"], "ENVIRONMENT": "production",
        "SECRET_KEY": secrets.token_urlsafe(48), "LOG_FORMAT": "json",
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "BASE_URL": f"https://{HOST}:{secure}", "ALLOWED_HOSTS": HOST, "TRUSTED_PROXY_COUNT": "1",
        "EMAIL_URL": "smtp://127.0.0.1:1", "STATIC_ROOT": str(folder / "static"),
    }  # fmt: skip
    found = Deployed(f"https://{HOST}:{secure}", chain, environment, ports, folder=folder)
    configuration = (ROOT / "deploy" / "nginx" / "motorpool.conf").read_text()
    for old, new in (
        ("server web:8000 max_fails=0;", "\n".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)),
        ("listen 80;", f"listen 127.0.0.1:{plain};"), ("listen 443 ssl;", f"listen 127.0.0.1:{secure} ssl;"),
        ("/etc/letsencrypt/live/fleet.example.com", str(folder)), ("fleet.example.com", HOST),
        ("proxy_set_header Host $host;", "proxy_set_header Host $http_host;"),  # the port is not 443 here
    ):  # fmt: skip
        assert old in configuration, old
        configuration = configuration.replace(old, new)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn; events {{}}\n"
        f"http {{ access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{configuration}\n}}"
    )
    try:
        assert found.start("release").wait(120) == 0, (folder / "release.log").read_text()
        for name, port in (("web", ports[0]), ("web2", ports[1]), ("worker", 0), ("beat", 0)):
            found.start(name, port)
        for name, port in (("web", ports[0]), ("web2", ports[1])):
            eventually(lambda: answers(f"http://127.0.0.1:{port}", found.processes[name]), seconds=40)  # noqa: B023
        found.processes["nginx"] = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf")])
        with found.client() as client:
            eventually(lambda: _up(client), seconds=20)
        yield found
    finally:
        for process in found.processes.values():
            process.terminate()
        for process in found.processes.values():
            process.wait(25)


def _up(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_person_and_a_device_are_served_over_tls(deployed: Deployed) -> None:
    team = make_team()
    with deployed.client() as browser:
        page = browser.get("/accounts/login/")
        assert page.status_code == 200
        for name in ("Strict-Transport-Security", "Content-Security-Policy", "X-Frame-Options", "Referrer-Policy"):
            assert page.headers[name]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        data = {"login": team.users["admin"].email, "password": team.password}
        data["csrfmiddlewaretoken"] = browser.cookies["__Host-csrf"]
        answer = browser.post("/accounts/login/", data=data, headers={"Referer": deployed.url})
        assert answer.status_code == 302, answer.text
        cookies = [c for c in answer.headers.get_list("set-cookie") if c.startswith("__Host-session")]
        assert all(word in cookies[0] for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"))
        overview = browser.get("/").text
        style = overview.split('rel="stylesheet" href="')[1].split('"')[0]
        static = browser.get(style)
        assert static.status_code == 200
        assert "max-age=315360000" in static.headers["Cache-Control"]
        assert "immutable" in static.headers["Cache-Control"]
        with deployed.client(team.key) as device:
            first = {"vehicle": team.vehicle.public_id, "time": time.time(), "values": {"engine.rpm": 800}}
            assert device.post("/api/v1/telemetry", json={"rows": [first]}).json()["readings"] == 1
        tokens = {"Authorization": f"Bearer {team.tokens['viewer']}"}
        socket = connect(
            deployed.url.replace("https", "wss") + "/ws/v1/stream", ssl=deployed.tls(), additional_headers=tokens,
            subprotocols=["motorpool.v1", f"bearer.{team.tokens['viewer']}"], proxy=None,  # type: ignore[list-item]
        )  # fmt: skip
        with closing(socket) as stream, deployed.client(team.key) as device:
            assert json.loads(stream.recv(5))["type"] == "hello"
            stream.send(json.dumps({"type": "subscribe", "vehicles": "all", "signals": "all"}))
            assert json.loads(stream.recv(5))["type"] == "snapshot"
            row = {"vehicle": team.vehicle.public_id, "time": time.time(), "values": {"engine.rpm": 900}}
            assert device.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1
            while json.loads(stream.recv(5))["type"] != "frames":
                pass
        latest = browser.get(f"/api/v1/vehicles/{team.vehicle.public_id}/latest").json()
        assert latest["signals"]["engine.rpm"]["value"] == 900

        def state() -> bool:
            return bool(browser.get(f"/api/v1/vehicles/{team.vehicle.public_id}/latest").json()["state"] != "never")

        eventually(state, seconds=20)


def test_the_proxy_is_believed_and_the_client_is_not(deployed: Deployed) -> None:
    from fleet.accounts.models import AuditEvent

    team = make_team()
    with deployed.client() as client:
        body = {"email": team.users["viewer"].email, "password": team.password}
        assert client.post("/api/v1/auth/token", json=body, headers={"X-Forwarded-For": "6.6.6.6"}).status_code == 200
    event = AuditEvent.objects.filter(user=team.users["viewer"], action="user.token_obtained").get()
    assert event.address == "127.0.0.1"


def test_check_deploy_is_clean(deployed: Deployed) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", "--database", "default"],
        cwd=ROOT, env=deployed.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_a_rolling_restart_fails_no_request(deployed: Deployed) -> None:
    team = make_team()
    statuses: list[int] = []
    stop = threading.Event()

    def send(index: int) -> None:
        with deployed.client(team.key) as client:
            while not stop.wait(0.08):
                row = {
                    "vehicle": team.vehicle.public_id,
                    "source": f"s{index}",
                    "time": time.time(),
                    "values": {"engine.rpm": 1},
                }
                try:
                    statuses.append(client.post("/api/v1/telemetry", json={"rows": [row]}).status_code)
                except httpx.HTTPError:
                    statuses.append(0)

    threads = [threading.Thread(target=send, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for name, port in (("web", deployed.ports[0]), ("web2", deployed.ports[1])):
        begun = time.monotonic()
        deployed.processes[name].send_signal(signal.SIGTERM)
        deployed.processes[name].wait(25)
        assert time.monotonic() - begun < 25
        deployed.start(name, port)
        eventually(lambda: answers(f"http://127.0.0.1:{port}", deployed.processes[name]), seconds=40)  # noqa: B023
    stop.set()
    for thread in threads:
        thread.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_worker_and_beat_end_on_sigterm(deployed: Deployed) -> None:
    for name in ("worker", "beat"):
        begun = time.monotonic()
        deployed.processes[name].send_signal(signal.SIGTERM)
        deployed.processes[name].wait(25)
        assert time.monotonic() - begun < 25
        deployed.start(name)


def test_nobody_who_is_not_signed_in_sees_more_than_what_is_declared(deployed: Deployed) -> None:
    """Every address of the portal, asked by a stranger: only these answer 200."""
    from django.urls import get_resolver

    from tests.test_tenancy import _patterns

    declared = {
        "health", "ready", "docs", "api/v1/schema", "accounts/login/", "accounts/signup/", "accounts/password/reset/",
        "accounts/password/reset/done/", "accounts/password/reset/key/done/", "accounts/confirm-email/",
        "accounts/inactive/", "accounts/2fa/webauthn/login/", "accounts/signup/passkey/",
        "sw.js",
    }  # fmt: skip
    found = set()
    with deployed.client() as stranger:
        for pattern in _patterns(get_resolver()):
            path = "/".join("1" if "<" in part or "(" in part else part for part in pattern.split("/"))
            answer = stranger.get(f"/{path}")
            assert answer.status_code < 500, (path, answer.status_code)
            if answer.status_code == 200:
                found.add(path)
    assert found <= declared, found - declared


def test_no_secret_is_in_any_log(deployed: Deployed) -> None:
    with deployed.client() as client:
        client.get("/api/v1/vehicles")
    text = "".join(path.read_text(errors="replace") for path in deployed.folder.glob("*.log"))
    assert '"event": "request"' in text
    for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS"):
        assert deployed.environment[name] not in text
    for word in ("correct horse battery", "mpd_", "mpt_", "csrfmiddlewaretoken", "sessionid"):
        assert word not in text, word


def test_every_command_of_the_procfile_is_in_the_other_descriptions() -> None:
    """Render's and compose's commands are the Procfile's."""
    processes = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    render, compose = (ROOT / "render.yaml").read_text(), (ROOT / "compose.yaml").read_text()
    for name in ("web", "worker", "beat"):
        command = processes[name].removeprefix("HOST=0.0.0.0 ").replace("${WORKER_CONCURRENCY:-2}", "2")
        assert command in render, name
        assert command in compose, name
        assert shlex.split(command)[0] == "python"
