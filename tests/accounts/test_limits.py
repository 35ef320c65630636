"""Guessing is bounded, whoever guesses from wherever; nobody is locked out by strangers; calls are throttled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from django.contrib.auth import authenticate
from django.test import RequestFactory

from fleet.accounts import limits
from fleet.accounts.models import SignInFailures
from fleet.lib.throttles import Counter
from tests.conftest import Team
from tests.portal import NO_TLS, Portal, running_portal
from tests.test_tenancy import sign_in


@pytest.fixture(scope="module")
def proxied(_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal behind one proxy, with Redis away."""
    folder = tmp_path_factory.mktemp("proxied")
    with running_portal(folder, TRUSTED_PROXY_COUNT="1", REDIS_URL="redis://127.0.0.1:1/0") as started:
        yield started


def obtain(portal: Portal, email: str, password: str, address: str) -> httpx.Response:
    headers = {"X-Forwarded-For": f"9.9.9.9, {address}", "X-Forwarded-Proto": "http"}
    return httpx.post(
        f"{portal.url}/api/v1/auth/token", json={"email": email, "password": password}, headers=headers,
        timeout=30, trust_env=False, verify=NO_TLS,
    )  # fmt: skip


def test_a_thousand_guesses_from_a_thousand_addresses_evaluate_twenty(proxied: Portal, team: Team) -> None:
    email = team.users["viewer"].email

    def guess(number: int) -> int:
        return obtain(proxied, email, f"guess {number}", f"10.1.{number // 250}.{number % 250}").status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(guess, range(1_000)))
    assert statuses.count(401) <= 20
    assert set(statuses) == {401, 429}
    right = obtain(proxied, email, team.password, "10.9.9.9")
    assert (right.status_code, right.json()["code"]) == (429, "throttled")
    assert int(right.headers["Retry-After"]) > 0
    # Others are not concerned.
    assert obtain(proxied, team.users["admin"].email, team.password, "10.9.9.9").status_code == 200


def test_one_address_over_many_accounts_evaluates_twenty_an_hour(proxied: Portal, team: Team) -> None:
    statuses = [obtain(proxied, f"nobody{n}@example.com", "x", "10.7.7.7").status_code for n in range(30)]
    assert statuses.count(401) == 20
    assert statuses.count(429) == 10
    # What stands before the proxy's own word in the header changes nothing.
    spoofed = httpx.post(
        f"{proxied.url}/api/v1/auth/token", json={"email": "x@example.com", "password": "x"}, trust_env=False,
        headers={"X-Forwarded-For": "1.2.3.4, 10.7.7.7"},
    )  # fmt: skip
    assert spoofed.status_code == 429


def test_success_is_not_counted(team: Team) -> None:
    email = team.users["operator"].email
    request = RequestFactory().post("/", REMOTE_ADDR="10.3.3.3")
    for _ in range(22):
        assert authenticate(request, email=email, password=team.password) is not None


def test_who_signed_in_here_before_is_not_locked_out_by_strangers(portal: Portal, team: Team) -> None:
    email = team.users["admin"].email
    with closing(sign_in(portal, email, team.password)) as known:
        for number in range(25):
            authenticate(RequestFactory().post("/", REMOTE_ADDR=f"10.4.4.{number}"), email=email, password="wrong")
        stranger = portal.client()
        stranger.get("/accounts/login/")
        data = {"login": email, "password": team.password, "csrfmiddlewaretoken": stranger.cookies["motorpool-csrf"]}
        refused = stranger.post("/accounts/login/", data=data, headers={"Referer": portal.url})
        assert refused.status_code == 200
        assert "Too many failed attempts" in refused.text
        known.post(
            "/accounts/logout/",
            data={"csrfmiddlewaretoken": known.cookies["motorpool-csrf"]},
            headers={"Referer": portal.url},
        )
        known.get("/accounts/login/")
        data["csrfmiddlewaretoken"] = known.cookies["motorpool-csrf"]
        assert known.post("/accounts/login/", data=data, headers={"Referer": portal.url}).status_code == 302


def test_old_failures_are_forgotten(team: Team) -> None:
    from datetime import timedelta

    from django.utils import timezone

    limits.reserve(None, "somebody@example.com")
    SignInFailures.objects.update(since=timezone.now() - timedelta(days=2))
    limits.forget_old()
    assert not SignInFailures.objects.exists()


@pytest.mark.usefixtures("_database")
def test_calls_are_throttled_per_credential_with_redis_and_without(
    tmp_path_factory: pytest.TempPathFactory, team: Team
) -> None:
    for redis in ("", "redis://127.0.0.1:1/0"):
        more = {"REDIS_URL": redis} if redis else {}
        with running_portal(tmp_path_factory.mktemp("throttled"), API_CALLS_PER_MINUTE="20", **more) as portal:
            with portal.client(team.tokens["viewer"]) as client:
                answers = [client.get("/api/v1/auth/me") for _ in range(45)]
            statuses = [answer.status_code for answer in answers]
            assert 20 <= statuses.count(200) <= 40  # the minute may turn meanwhile
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert 0 < int(refused.headers["Retry-After"]) <= 60
            with portal.client(team.key) as client:
                assert all(
                    client.post("/api/v1/telemetry", json={"rows": []}).status_code == 200 for _ in range(60)
                )  # ingest has its own rules


def test_the_counter_begins_anew_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    monkeypatch.setattr(counter, "_closed_until", float("inf"))
    assert [counter.add(["x"])[0] for _ in range(3)] == [1, 2, 3]
    monkeypatch.setattr("fleet.lib.throttles.time.time", lambda: 9e9)
    assert counter.add(["x"]) == [1]


def test_staff_need_a_second_factor_where_it_is_asked_for() -> None:
    code = (
        "import os; os.environ.update(BASE_URL='https://fleet.example.com', ALLOWED_HOSTS='fleet.example.com', TRUSTED_PROXY_COUNT='1', PASSWORD_ROUNDS='12');"
        "import django; django.setup(); from django.conf import settings; print(settings.STAFF_MFA)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "True"


def test_a_runaway_token_does_not_use_up_its_organizations_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from django.conf import settings

    from fleet.lib import throttles

    monkeypatch.setattr(throttles, "_counter", Counter())
    monkeypatch.setattr(settings, "API_CALLS_PER_MINUTE", 5)

    def allowed(secret: str, user: int) -> bool:
        access = SimpleNamespace(user=SimpleNamespace(pk=user), organization=SimpleNamespace(pk=user * 0 + 987_654_321))
        request = SimpleNamespace(access=access, headers={"Authorization": secret}, META={})
        return throttles.CallThrottle().allow_request(request, None)  # type: ignore[arg-type]

    assert [allowed("Bearer mpt_runaway", 1) for _ in range(200)].count(True) <= 10
    assert allowed("Bearer mpt_colleague", 2)
    jwts = [allowed(f"Bearer eyJ{n}", 3) for n in range(30)]
    assert jwts.count(True) <= 10  # ever new JWTs of one user share a budget


def test_a_password_reset_clears_the_account(team: Team) -> None:
    email = team.users["viewer"].email
    for _ in range(25):
        limits.reserve(None, email)
    assert limits.reserve(None, email.upper()) == []
    limits.clear(team.users["viewer"])
    assert limits.reserve(None, email) != []
