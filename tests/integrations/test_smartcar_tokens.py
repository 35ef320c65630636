"""Tokens: one refresh at a time, none lost to a crash, none of another's, none readable."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from fleet.lib import encryption
from integrations.sources.smartcar import connecting, services, tasks, tokens
from integrations.sources.smartcar.client import cloud_of
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.models import Account, AccountState, Application, CloudVehicle, Generation
from tests.conftest import Team, make_team
from tests.integrations.conftest import secrets_of, written_down
from tests.portal import ROOT, Portal, database_url, eventually
from tests.smartcar_stub import Fault, Stub, many_cars

LATE = timedelta(minutes=10)


def account_of(team: Team, maker: Stub, cars: int = 1) -> Account:
    """An account of the old generation, with the pair that its maker gave."""
    email = f"{uuid.uuid4().hex}@example.com"
    maker.state.add_vehicles(email, many_cars(cars))
    maker.state.connect(email, mode="simulated", external_id=connecting.external_id(team.organization))
    user_id = maker.state.accounts[email].user_id
    account = Account.objects.create(
        organization=team.organization, user_id=user_id, generation=Generation.V2, mode="simulated",
        connected_at=timezone.now(), connected_by=team.users["admin"],
    )  # fmt: skip
    tokens.keep_pair(account, maker.state.issue_pair(user_id))
    return Account.objects.get(pk=account.pk)


def expire(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(access_expires_at=timezone.now() - LATE)


def refreshes(maker: Stub) -> int:
    return sum(
        1 for r in list(maker.state.requests) if r.path.endswith("/auth/oauth/token") and b"refresh_token" in r.body
    )


def refresh_by_twenty(maker: Stub, account: Account, rounds: int) -> None:
    source = random.Random(3)
    with ThreadPoolExecutor(20) as pool:
        for _ in range(rounds):
            expire(account)
            before = refreshes(maker)
            together = threading.Barrier(20)

            def one(pause: float, together: threading.Barrier = together) -> str:
                try:
                    together.wait(10)
                    time.sleep(pause)
                    return tokens.account_token(account)
                finally:
                    connection.close()

            given = list(pool.map(one, [source.uniform(0, 0.01) for _ in range(20)]))
            assert len(set(given)) == 1
            assert refreshes(maker) - before == 1


@pytest.mark.usefixtures("cloud_portal")
def test_twenty_workers_refresh_once(maker: Stub, fleet: Team) -> None:
    refresh_by_twenty(maker, account_of(fleet, maker), 10)


@pytest.mark.long
@pytest.mark.usefixtures("cloud_portal")
def test_twenty_workers_refresh_once_in_each_of_200_rounds(maker: Stub, fleet: Team) -> None:
    refresh_by_twenty(maker, account_of(fleet, maker), 200)


KILLED = """
import os, signal, sys
import django
django.setup()
from django.conf import settings
from fleet import env
from integrations.sources.smartcar import leases, tokens
from integrations.sources.smartcar.models import Account
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[2]
if where == "before the call":
    tokens._call = die
elif where == "between answer and save":
    tokens._pair_values = die
else:
    keep = leases.keep
    def saved(row, owner, **values):
        kept = keep(row, owner, **values)
        if "access_token" in values:
            die()
        return kept
    leases.keep = saved
tokens.account_token(Account.objects.get(pk=int(sys.argv[1])))
"""


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("before the call", marks=pytest.mark.long),
        pytest.param("between answer and save", marks=pytest.mark.long),
        "between save and release",
    ],
)
def test_a_killed_worker_costs_no_account(cloud_portal: Portal, maker: Stub, fleet: Team, where: str) -> None:
    import os

    account = account_of(fleet, maker)
    expire(account)
    environment = {**os.environ, **maker.settings(), "DATABASE_URL": database_url()}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(account.pk), where], cwd=ROOT, env=environment)
    assert killed.returncode == -9

    def recovered() -> bool:  # by beat's task alone: nobody asks for the token
        tasks.refresh_tokens()
        row = Account.objects.get(pk=account.pk)
        return row.refresh_started_at is None and row.access_expires_at > timezone.now()

    eventually(recovered, 45)
    account.refresh_from_db()
    assert account.state == AccountState.ACTIVE
    assert tokens.account_token(account) in maker.state.access_tokens


@pytest.mark.usefixtures("cloud_portal")
def test_a_refresh_token_that_is_over_marks_the_account_once(maker: Stub, fleet: Team) -> None:
    account = account_of(fleet, maker)
    expire(account)
    maker.state.refresh_tokens.clear()
    with pytest.raises(Failure) as refused:
        tokens.account_token(account)
    assert refused.value.code == "invalid_grant"
    account.refresh_from_db()
    assert account.state == AccountState.RECONNECT
    assert "Connect the account again" in account.error


@pytest.mark.usefixtures("cloud_portal")
def test_a_provider_that_is_away_marks_nothing(maker: Stub, fleet: Team) -> None:
    account = account_of(fleet, maker)
    for status in (500, 502, 429, "malformed", "drop"):
        expire(account)
        maker.state.faults.append(Fault("/auth/oauth/token", status))
        with pytest.raises(Failure):
            tokens.account_token(account)
        account.refresh_from_db()
        assert account.state == AccountState.ACTIVE
        assert tokens.account_token(account) in maker.state.access_tokens


@pytest.mark.usefixtures("cloud_portal")
def test_tokens_are_refreshed_ahead_of_time(maker: Stub, fleet: Team) -> None:
    account = account_of(fleet, maker)
    now = timezone.now()
    assert account.pk not in [due.pk for due in tokens.due_accounts(now)]
    assert account.pk in [due.pk for due in tokens.due_accounts(now + timedelta(minutes=100))]
    old = now + timedelta(days=46)
    Account.objects.filter(pk=account.pk).update(access_expires_at=old + timedelta(days=9))
    assert account.pk in [due.pk for due in tokens.due_accounts(old)]
    before = account.refresh_token
    tokens.refresh_ahead(Account.objects.get(pk=account.pk))
    account.refresh_from_db()
    assert account.refresh_token != before


@pytest.mark.usefixtures("cloud_portal")
def test_a_refused_token_is_renewed_once(maker: Stub, fleet: Team) -> None:
    account = account_of(fleet, maker)
    link = CloudVehicle(account=account, remote_id=next(iter(maker.state.vehicles)))
    maker.state.access_tokens.clear()
    assert cloud_of(account).vehicles()
    maker.state.app_tokens.clear()
    account.generation = Generation.V3
    assert cloud_of(account).vehicles()
    assert link.account == account


def interleave(maker: Stub, calls: int) -> None:
    """Two tenants, both generations, at once: every call bears its own tenant's credentials."""
    teams = [make_team("Tenant"), make_team("Tenant")]
    old = [account_of(team, maker) for team in teams]
    new = [account_of(team, maker) for team in teams]
    Account.objects.filter(pk__in=[account.pk for account in new]).update(generation=Generation.V3)
    for account in new:
        account.generation = Generation.V3
    own: dict[str, tuple[str, str]] = {}
    for account in (*old, *new):
        user = str(account.user_id)
        (car,) = [c.vehicle_id for c in maker.state.connections.values() if c.user_id == user]
        token = tokens.account_token(account) if account.generation == Generation.V2 else tokens.application_token()
        own[car] = (token, user if account.generation == Generation.V3 else "")
    cars = {str(a.user_id): car for a in (*old, *new) for car in own if maker.state.connection_of(str(a.user_id), car)}
    maker.state.requests.clear()

    def one(number: int) -> None:
        account = (*old, *new)[number % 4]
        try:
            assert cloud_of(account).vin(cars[str(account.user_id)])
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(calls)))
    seen = [r for r in list(maker.state.requests) if "/vehicles/" in r.path]
    assert len(seen) == calls
    for request in seen:
        car = request.path.split("/vehicles/")[1].split("/")[0]
        assert (request.authorization, request.sc_user_id) == (f"Bearer {own[car][0]}", own[car][1])


@pytest.mark.usefixtures("cloud_portal")
def test_no_call_bears_anothers_credentials(maker: Stub) -> None:
    interleave(maker, 400)


@pytest.mark.long
@pytest.mark.usefixtures("cloud_portal")
def test_no_call_of_10_000_bears_anothers_credentials(maker: Stub) -> None:
    interleave(maker, 10_000)


def test_a_sealed_secret_is_bound_to_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = encryption.seal("secret", "row:1:column")
    assert "secret" not in sealed
    assert encryption.unseal(sealed, "row:1:column") == "secret"
    assert sealed != encryption.seal("secret", "row:1:column")
    for place, value in (
        ("row:2:column", sealed),
        ("row:1:column", sealed[:-6] + "AAAAA="),
        ("row:1:column", "v1:x:y"),
    ):
        with pytest.raises(encryption.Unreadable):
            encryption.unseal(value, place)
    newer = b"\x07" * 31 + b"\x08"
    monkeypatch.setattr(settings, "FIELD_ENCRYPTION_KEYS", [newer, *settings.FIELD_ENCRYPTION_KEYS])
    assert encryption.unseal(sealed, "row:1:column") == "secret"
    assert not encryption.sealed_with_newest(sealed)
    monkeypatch.setattr(settings, "FIELD_ENCRYPTION_KEYS", [newer])
    with pytest.raises(encryption.Unreadable):
        encryption.unseal(sealed, "row:1:column")


@pytest.mark.usefixtures("cloud_portal")
def test_keys_are_rotated_and_the_rotation_may_be_begun_again(
    maker: Stub, fleet: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = account_of(fleet, maker)
    token = tokens.account_token(account)
    old: list[bytes] = settings.FIELD_ENCRYPTION_KEYS
    newer = bytes(range(32))
    monkeypatch.setattr(settings, "FIELD_ENCRYPTION_KEYS", [newer, *old])
    rotation = services.reseal()
    next(rotation)
    rotation.close()  # killed after the first row
    list(services.reseal())
    assert list(services.reseal()) == []
    monkeypatch.setattr(settings, "FIELD_ENCRYPTION_KEYS", [newer])
    assert tokens.account_token(account) == token
    monkeypatch.setattr(settings, "FIELD_ENCRYPTION_KEYS", [*old, newer])
    list(services.reseal())  # as the other processes of this run know it


def test_the_application_token_is_renewed_by_one(cloud_portal: Portal, maker: Stub) -> None:
    tokens.application_token()
    Application.objects.update(access_expires_at=timezone.now() - LATE)

    def count() -> int:
        return sum(1 for r in list(maker.state.requests) if r.path.endswith("/oauth2/token"))

    before = count()

    def one(_: int) -> str:
        try:
            return tokens.application_token()
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(one, range(20)))) == 1
    assert count() - before == 1


def test_no_token_is_written_down_anywhere(
    cloud_portal: Portal, maker: Stub, fleet: Team, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor after the whole run: `cloud_portal` asks again at its end."""
    account = account_of(fleet, maker)
    expire(account)
    tokens.account_token(account)
    maker.state.faults.append(Fault("/vehicles", 500))
    with pytest.raises(Failure) as failure:
        cloud_of(account).vehicles()
    texts = {"failure": repr(failure.value), **_admin_pages(fleet)}
    out = capfd.readouterr()
    texts["output"] = out.out + out.err
    secrets = secrets_of(maker)
    assert len(secrets) > 5
    assert [name for name, text in texts.items() for secret in secrets if secret in text] == []
    assert written_down(maker, cloud_portal) == []


def _admin_pages(team: Team) -> dict[str, str]:
    from django.contrib import admin
    from django.contrib.sessions.models import Session
    from django.test import Client

    from fleet.accounts.sessions import digest_of

    staff = team.users["admin"]
    staff.is_staff = staff.is_superuser = True
    staff.save()
    client = Client()
    client.force_login(staff)
    # The cookie holds a secret, of which the database has the digest.
    key = client.cookies["motorpool-session"].value
    Session.objects.filter(session_key=key).update(session_key=digest_of("staff"))
    client.cookies["motorpool-session"] = "staff"
    pages = {}
    for model in admin.site._registry:
        if model._meta.app_label != "smartcar":
            continue
        base = f"/admin/smartcar/{model._meta.model_name}/"
        page = client.get(base)
        assert page.status_code == 200
        pages[base] = page.content.decode()
        row: Any = model._default_manager.last()
        if row is not None:
            pages[f"{base}{row.pk}"] = client.get(f"{base}{row.pk}/change/").content.decode()
    assert len(pages) >= 4
    staff.is_staff = staff.is_superuser = False
    staff.save()
    return pages
