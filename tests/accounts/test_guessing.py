"""Limits on guessing and on writing to strangers, and what a reader of the database cannot use."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import RequestFactory
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from fleet.accounts import limits, memberships
from fleet.accounts.models import AuditEvent, Role, SignInFailures, User
from fleet.accounts.tasks import delete_expired
from tests.conftest import Team, make_team
from tests.portal import Portal
from tests.test_tenancy import sign_in


def attempt(login: str, address: str, password: str = "wrong") -> User | None:
    found = authenticate(RequestFactory().post("/", REMOTE_ADDR=address), email=login, password=password)
    assert found is None or isinstance(found, User)
    return found


@pytest.mark.parametrize(
    "login", ["second factor of {pk}", "second-factor", '["second-factor", "{pk}"]', "user {pk}", "user:{pk}"]
)
def test_x3_no_name_that_is_typed_counts_for_a_second_factor(team: Team, login: str) -> None:
    user = team.users["viewer"]
    for number in range(25):
        attempt(login.format(pk=user.pk), f"10.20.{number}.1")
    assert limits.reserve_code(None, user)
    assert attempt(user.email, "10.20.30.40", team.password) == user


def test_x4_an_address_that_is_refused_charges_no_account(team: Team) -> None:
    for number in range(20):
        attempt(f"nobody{number}@example.com", "10.21.0.1")
    for person in team.users.values():
        for _ in range(22):
            attempt(person.email, "10.21.0.1")
        assert attempt(person.email, "10.21.0.2", team.password) == person


def test_x3_a_password_reset_clears_both_counts(team: Team) -> None:
    user = team.users["viewer"]
    while limits.reserve_code(None, user):
        continue
    limits.clear(user)
    assert limits.reserve_code(None, user)


def test_x6_what_the_database_holds_signs_nobody_in(portal: Portal, team: Team) -> None:
    user = team.users["viewer"]
    with closing(sign_in(portal, user.email, team.password)) as browser:
        assert browser.get("/").status_code == 200
    body = {"email": user.email, "password": team.password}
    with portal.client() as client:
        issued = client.post("/api/v1/auth/token", json=body).json()
        again = client.post("/api/v1/auth/refresh", json={"refresh": issued["refresh"]})
        assert again.status_code == 200
        for session in Session.objects.all():
            cookie = {"Cookie": f"motorpool-session={session.session_key}"}
            assert client.get("/vehicles", headers=cookie).status_code == 302
    assert set(OutstandingToken.objects.values_list("token", flat=True)) <= {""}


def test_x6_a_backup_holds_no_session_and_is_private(team: Team, tmp_path: Path) -> None:
    import zipfile

    file = tmp_path / "backup.zip"
    call_command("backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        names = " ".join(archive.namelist())
    left_out = ("django_session", "usersession", "outstandingtoken", "socketticket")
    assert not [name for name in left_out if name in names]


def test_x11_strangers_are_not_written_to_without_end(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        statuses = []
        for _ in range(memberships.WRITTEN_TO_ADDRESS + 2):
            answer = client.post("/api/v1/invitations", json={"email": "someone@example.com", "role": "viewer"})
            statuses.append(answer.status_code)
            if answer.status_code == 201:
                client.delete(f"/api/v1/invitations/{answer.json()['id']}")
    assert statuses == [201] * memberships.WRITTEN_TO_ADDRESS + [429] * 2
    other = make_team()
    with pytest.raises(memberships.TooManyMessages):
        memberships.invite(
            organization=other.organization, user=other.users["admin"], email="Someone@example.com", role=Role.VIEWER
        )


def test_f8_what_is_expired_is_deleted(team: Team, portal: Portal, settings: object) -> None:
    long_ago = timezone.now() - timedelta(days=4_000)
    Session.objects.create(session_key="0" * 40, session_data="x", expire_date=long_ago)
    OutstandingToken.objects.create(jti="a" * 32, token="", expires_at=long_ago)
    old = AuditEvent.objects.create(organization=team.organization, action="user.signed_in")
    AuditEvent.objects.filter(pk=old.pk).update(created_at=long_ago)
    kept = AuditEvent.objects.create(organization=team.organization, action="user.signed_in")
    delete_expired()
    assert not Session.objects.filter(session_key="0" * 40).exists()
    assert not OutstandingToken.objects.filter(jti="a" * 32).exists()
    assert list(AuditEvent.objects.filter(pk__in=[old.pk, kept.pk])) == [kept]


def test_x15_staff_without_a_second_factor_open_nothing_of_staff(tmp_path: Path, team: Team) -> None:
    from tests.portal import running_portal

    staff = User.objects.create(email=f"staff{team.organization.pk}@example.com", is_staff=True, is_superuser=True)
    staff.set_password(team.password)
    staff.save()
    team.organization.memberships.create(user=staff, role=Role.ADMIN)
    with (
        running_portal(tmp_path, STAFF_MFA="true") as portal,
        closing(sign_in(portal, staff.email, team.password)) as browser,
    ):
        assert browser.get("/admin/").status_code != 200
        assert browser.get("/system").status_code in (302, 403, 404)
        page = browser.get("/connections/webhooks")
        assert "Arm" not in page.text or page.status_code != 200


def test_limits_forget_what_is_long_over() -> None:
    limits.allow("kind", "x", 1, timedelta(days=1))
    SignInFailures.objects.update(since=timezone.now() - timedelta(days=2))
    limits.forget_old()
    assert not SignInFailures.objects.exists()
