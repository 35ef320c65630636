"""What no client may do to the web process, and what it answers with little work."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.db import connection

from fleet.accounts import limits
from fleet.lib.mail import LoggedBackend
from tests.browser.demo import mail_server
from tests.conftest import Team
from tests.portal import NO_TLS, Portal, eventually, running_portal
from tests.test_tenancy import sign_in


def largest_static_file() -> str:
    root = Path(settings.STATIC_ROOT)
    file = max((path for path in root.rglob("*.js")), key=lambda path: path.stat().st_size)
    return f"{settings.STATIC_URL}{file.relative_to(root)}"


def health(portal: Portal) -> float:
    begun = time.monotonic()
    assert httpx.get(f"{portal.url}/health", timeout=5, trust_env=False, verify=NO_TLS).status_code == 200
    return time.monotonic() - begun


def test_x1_clients_that_never_read_hold_nobody_up(portal: Portal, team: Team) -> None:
    request = f"GET {largest_static_file()} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 12
    with ExitStack() as stack:
        for _ in range(8):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", portal.port)))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            held.sendall(request)
        assert max(health(portal) for _ in range(5)) < 1
        with portal.client(team.tokens["viewer"]) as client:
            assert client.get("/api/v1/vehicles").status_code == 200
    assert max(health(portal) for _ in range(5)) < 1
    with portal.client(team.tokens["viewer"]) as client:
        assert client.get("/api/v1/vehicles").status_code == 200


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X_FORWARDED_FOR", "x_forwarded-for"])
def test_x5_a_header_with_an_underscore_is_no_forwarded_address(tmp_path: Path, team: Team, name: str) -> None:
    with running_portal(tmp_path, TRUSTED_PROXY_COUNT="1") as proxied:
        headers = {"X-Forwarded-For": "10.8.8.8", name: "6.6.6.6", "X-Forwarded-Proto": "http"}
        body = {"email": team.users["viewer"].email, "password": team.password}
        with proxied.client() as client:
            assert client.post("/api/v1/auth/token", json=body, headers=headers).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT host(address) FROM accounts_auditevent WHERE action LIKE 'user.%%'")
        assert "6.6.6.6" not in {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("path", ["/api/v1/nonsense", "/api/v1/vehicles/1/nonsense", "/api/nonsense"])
def test_h13_an_unknown_address_of_the_api_is_404_for_every_method(portal: Portal, team: Team, path: str) -> None:
    for secret in ("", team.tokens["viewer"]):
        with portal.client(secret) as client:
            for method in ("GET", "POST", "PATCH", "DELETE"):
                assert client.request(method, path, json={}).status_code == 404


@pytest.fixture(scope="module")
def impatient(_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("impatient")
    with running_portal(folder, STATEMENT_TIMEOUT_S="1") as started:
        yield started


def test_f9_a_query_that_takes_too_long_is_ended(impatient: Portal, team: Team) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE vehicles_vehicle IN ACCESS EXCLUSIVE MODE")
        try:
            begun = time.monotonic()
            with impatient.client(team.tokens["viewer"]) as client:
                assert client.get("/api/v1/vehicles").status_code == 503
            assert time.monotonic() - begun < 5
        finally:
            cursor.execute("ROLLBACK")
    with impatient.client(team.tokens["viewer"]) as client:
        assert client.get("/api/v1/vehicles").status_code == 200


def test_f10_slow_readers_of_downloads_stop_no_page(portal: Portal, team: Team) -> None:
    request = (
        f"GET /api/v1/alerts?download=csv HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {team.tokens['viewer']}"
        "\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        for _ in range(8):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", portal.port)))
            held.sendall(request * 4)
        with portal.client(team.tokens["viewer"]) as client:
            assert client.get("/api/v1/vehicles", timeout=3).status_code == 200


def test_x17_pages_with_secrets_are_kept_nowhere(portal: Portal, team: Team) -> None:
    with closing(sign_in(portal, team.users["admin"].email, team.password)) as browser:
        form = {"name": "Sender", "csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
        for path, prefix in (("/devices", "mpd_"), ("/tokens", "mpt_")):
            answer = browser.post(path, data=form, headers={"Referer": portal.url})
            assert prefix in answer.text
            assert "no-store" in answer.headers["Cache-Control"], path
        answer = browser.get("/accounts/2fa/totp/activate/")
        assert "no-store" in answer.headers["Cache-Control"]


def test_x17_mail_that_is_not_sent_leaves_no_link_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    from django.core.mail import EmailMessage

    message = EmailMessage("Invitation", "https://fleet.example.com/invitations/secret-secret", to=["a@example.com"])
    assert LoggedBackend().send_messages([message]) == 1
    shown = capfd.readouterr()
    assert "secret-secret" not in shown.out + shown.err


def test_x17_a_password_is_not_guessed_at_the_deletion_of_an_account(portal: Portal, team: Team) -> None:
    with closing(sign_in(portal, team.users["viewer"].email, team.password)) as browser:
        for number in range(limits.PER_ACCOUNT[0] + 2):
            form = {"password": f"guess {number}", "csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
            answer = browser.post("/account", data=form, headers={"Referer": portal.url})
        assert answer.status_code == 302
        assert "Too many" in browser.get("/account").text
        form = {"password": team.password, "csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
        browser.post("/account", data=form, headers={"Referer": portal.url})
        assert "Too many" in browser.get("/account").text
    assert type(team.users["viewer"]).objects.filter(pk=team.users["viewer"].pk).exists()


def test_x17_sign_up_does_not_tell_whether_an_address_has_an_account(team: Team, tmp_path: Path) -> None:
    fresh = f"fresh-{time.time_ns()}@example.com"
    taken = team.users["viewer"].email
    with (
        mail_server() as (mailbox, port),
        running_portal(tmp_path, EMAIL_URL=f"smtp://127.0.0.1:{port}") as open_portal,
    ):
        answers = {}
        for email in (fresh, taken):
            with open_portal.client() as client:
                client.get("/accounts/signup/")
                form = {
                    "email": email,
                    "password1": "correct horse stapler",
                    "csrfmiddlewaretoken": client.cookies["motorpool-csrf"],
                }
                answer = client.post("/accounts/signup/", data=form, headers={"Referer": open_portal.url})
                page = client.get(answer.headers["Location"]).text.replace(email, "…")
                signed_in = client.get("/account").status_code == 200
                token = client.post("/api/v1/auth/token", json={"email": email, "password": "correct horse stapler"})
                answers[email] = (
                    answer.status_code,
                    answer.headers["Location"],
                    signed_in,
                    token.status_code,
                    token.json(),
                )
                assert "confirm" in page.lower() or "verif" in page.lower()
        assert answers[fresh] == answers[taken]
        assert answers[fresh][2:4] == (False, 401)
        eventually(lambda: {message["To"] for message in mailbox.messages} == {fresh, taken})
        # Whom an administrator made, and who has no address to confirm, signs in as before.
        assert sign_in(open_portal, taken, team.password).get("/account").status_code == 200


@pytest.mark.parametrize("name", ["Acme\nBcc: x@example.com", "\u200b", "A\x00b"])
def test_x17_a_name_of_several_lines_is_refused(portal: Portal, team: Team, name: str) -> None:
    with portal.client(team.tokens["admin"]) as client:
        assert client.patch("/api/v1/organization", json={"name": name}).status_code == 400


def test_f27_a_workers_log_is_not_one_line_a_task() -> None:
    assert logging.getLogger("celery.app.trace").level == logging.WARNING


def test_f15_metrics_are_those_of_all_processes(tmp_path: Path, team: Team) -> None:
    with running_portal(tmp_path, WEB_CONCURRENCY="2", METRICS_TOKEN="scrape-token-of-this-test") as portal:
        row = {"vehicle": team.vehicle.public_id, "values": {"engine.rpm": 800}}
        for number in range(20):  # each over a connection of its own, so that both processes get some
            with portal.client(team.key) as client:
                rows = [{**row, "time": time.time() - number}]
                assert client.post("/api/v1/telemetry", json={"rows": rows}).status_code == 200
        shown = set()
        for _ in range(10):
            with portal.client("scrape-token-of-this-test") as scraper:
                text = scraper.get("/metrics").text
            (line,) = [line for line in text.splitlines() if line.startswith("motorpool_ingest_acked_requests_total ")]
            shown.add(float(line.split()[1]))
    assert shown == {20.0}
