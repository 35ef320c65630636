"""Invitations, members, settings, two-factor sign-in, sessions, deletion."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from allauth.mfa.totp.internal import auth as totp

from fleet.accounts.models import AuditEvent, Invitation, Membership, Organization, Role, User
from fleet.lib.public_ids import Kind, number_of
from tests.conftest import Team, _numbers
from tests.portal import Portal, running_portal
from tests.test_tenancy import sign_in


def post(client: httpx.Client, path: str, **data: Any) -> httpx.Response:
    token = client.cookies["motorpool-csrf"]
    return client.post(path, data={**data, "csrfmiddlewaretoken": token}, headers={"Referer": str(client.base_url)})


def test_an_invitation_makes_a_member_once(portal: Portal, team: Team, strangers: Team) -> None:
    email = f"new{next(_numbers)}@example.com"
    with portal.client(team.tokens["admin"]) as admin:
        made = admin.post("/api/v1/invitations", json={"email": email, "role": "operator"}).json()
        assert (made["email"], made["role"]) == (email, "operator")
        link = made["link"].removeprefix(portal.url).removeprefix("http://127.0.0.1:8000")
        listed = admin.get("/api/v1/invitations").json()["results"]
        assert "link" not in listed[0]
    with portal.client() as nobody:
        assert "Sign up" in nobody.get(link).text
    # Whoever holds the link may use it, here somebody of another organization.
    with closing(sign_in(portal, strangers.users["viewer"].email, strangers.password)) as guest:
        assert "Join as" in guest.get(link).text
        assert post(guest, link).status_code == 302
        assert guest.get(link).status_code == 404  # once
        assert team.organization.name in guest.get("/").text
    membership = Membership.objects.get(organization=team.organization, user=strangers.users["viewer"])
    assert membership.role == Role.OPERATOR
    assert AuditEvent.objects.filter(organization=team.organization, action="member.joined").exists()


def test_inviting_again_replaces_and_an_expired_link_is_gone(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        first = admin.post("/api/v1/invitations", json={"email": "Twice@Example.com"}).json()
        second = admin.post("/api/v1/invitations", json={"email": "twice@example.com"}).json()
        assert admin.post("/api/v1/invitations", json={"email": team.users["viewer"].email}).status_code == 409
    with portal.client() as nobody:
        path = "/invitations/" + first["link"].rsplit("/", 1)[1]
        assert nobody.get(path).status_code == 404
        path = "/invitations/" + second["link"].rsplit("/", 1)[1]
        assert nobody.get(path).status_code == 200
        Invitation.objects.filter(pk=number_of(Kind.INVITATION, second["id"])).update(expires_at="2026-01-01T00:00:00Z")
        assert nobody.get(path).status_code == 404


def test_the_last_admin_stays(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        members = {entry["role"]: entry["id"] for entry in admin.get("/api/v1/members").json()["results"]}
        for answer in (
            admin.patch(f"/api/v1/members/{members['admin']}", json={"role": "viewer"}),
            admin.delete(f"/api/v1/members/{members['admin']}"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert admin.patch(f"/api/v1/members/{members['viewer']}", json={"role": "admin"}).status_code == 200
        assert admin.delete(f"/api/v1/members/{members['admin']}").status_code == 204
        assert admin.get("/api/v1/auth/me").status_code == 401  # the token ended with the membership
    with portal.client(team.tokens["viewer"]) as risen:
        assert risen.get("/api/v1/auth/me").json()["role"] == "admin"


def test_settings_are_checked_and_audited(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        assert admin.patch("/api/v1/organization", json={"frame_days": 30, "rollup_days": 365}).status_code == 200
        for wrong in ({"rollup_days": 10}, {"time_zone": "Mars/Olympus"}):
            assert admin.patch("/api/v1/organization", json=wrong).status_code == 422
        for wrong in ({"frame_days": 0}, {"frame_days": "x"}, {"buffer_seconds": 1}):
            assert admin.patch("/api/v1/organization", json=wrong).status_code == 400
        assert admin.get("/api/v1/organization").json()["frame_days"] == 30
        (entry,) = [e for e in admin.get("/api/v1/audit").json()["results"] if e["action"] == "organization.changed"]
        assert entry["details"]["changed"]["frame_days"] == [None, 30]


def test_two_factor_sign_in(portal: Portal, team: Team) -> None:
    user = team.users["viewer"]
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)

    def code() -> str:
        return str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))

    body = {"email": user.email, "password": team.password}
    with portal.client() as client:
        needed = client.post("/api/v1/auth/token", json=body)
        assert (needed.status_code, needed.json()["code"]) == (401, "otp_required")
        assert client.post("/api/v1/auth/token", json={**body, "otp": "000000"}).json()["code"] == "otp_wrong"
        assert client.post("/api/v1/auth/token", json={**body, "otp": code()}).status_code == 200
    with closing(portal.client()) as browser:
        browser.get("/accounts/login/")
        answer = post(browser, "/accounts/login/", login=user.email, password=team.password)
        assert answer.headers["Location"].startswith("/accounts/2fa/authenticate/")
        assert browser.get("/").status_code == 302  # not signed in yet


@pytest.mark.parametrize(
    "path", ["2fa/", "2fa/totp/activate/", "2fa/webauthn/", "sessions/", "email/", "password/change/"]
)
def test_ones_own_pages_answer_under_the_content_policy(portal: Portal, team: Team, path: str) -> None:
    with closing(sign_in(portal, team.users["viewer"].email, team.password)) as browser:
        page = browser.get(f"/accounts/{path}")
        if page.status_code == 302:  # asks for the password once more
            assert "reauthenticate" in page.headers["Location"]
            return
        assert page.status_code == 200
        assert "<style" not in page.text
        scripts = [tag for tag in page.text.split("<script")[1:] if "src=" not in tag.split(">")[0]]
        assert all("application/json" in tag.split(">")[0] for tag in scripts)


def test_signing_in_changes_the_session_and_a_password_change_ends_the_others(portal: Portal, team: Team) -> None:
    user = team.users["operator"]
    with closing(sign_in(portal, user.email, team.password)) as one, closing(portal.client()) as two:
        before = two.get("/accounts/login/")
        two.cookies.set("motorpool-session", "fixed-by-somebody", domain="127.0.0.1")
        assert before.status_code == 200
        post(two, "/accounts/login/", login=user.email, password=team.password)
        assert "fixed-by-somebody" not in [
            cookie.value
            for cookie in two.cookies.jar
            if cookie.name == "motorpool-session" and cookie.domain != "127.0.0.1"
        ]
        assert two.get("/").status_code == one.get("/").status_code == 200
        user.refresh_from_db()
        user.set_password("another horse battery")
        user.save()
        assert one.get("/").status_code == two.get("/").status_code == 302


def test_deleting_an_account(portal: Portal, team: Team) -> None:
    admin, viewer = team.users["admin"], team.users["viewer"]
    with closing(sign_in(portal, admin.email, team.password)) as browser:
        post(browser, "/account", password=team.password)
        assert "only admin" in browser.get("/account").text
    with closing(sign_in(portal, viewer.email, team.password)) as browser:
        post(browser, "/account", password="wrong")
        assert User.objects.filter(pk=viewer.pk).exists()
        assert post(browser, "/account", password=team.password).headers["Location"] == "/accounts/login/"
    assert not User.objects.filter(pk=viewer.pk).exists()
    Membership.objects.filter(organization=team.organization).exclude(user=admin).delete()
    with closing(sign_in(portal, admin.email, team.password)) as browser:
        post(browser, "/account", password=team.password)
    assert not Organization.objects.filter(pk=team.organization.pk).exists()


def test_codes_of_the_second_factor_cannot_be_tried_without_end(portal: Portal, team: Team) -> None:
    user = team.users["admin"]
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    with closing(portal.client()) as browser:
        browser.get("/accounts/login/")
        post(browser, "/accounts/login/", login=user.email, password=team.password)
        words = [post(browser, "/accounts/2fa/authenticate/", code=f"{n:06}").text for n in range(22)]
        assert "Too many wrong codes" in words[-1]
        right = str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))
        assert "Too many wrong codes" in post(browser, "/accounts/2fa/authenticate/", code=right).text
        with portal.client() as client:
            body = {"email": user.email, "password": team.password, "otp": right}
            assert client.post("/api/v1/auth/token", json=body).status_code == 429


def test_the_second_factor_lets_the_right_code_in(portal: Portal, team: Team) -> None:
    user = team.users["operator"]
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    with closing(portal.client()) as browser:
        browser.get("/accounts/login/")
        post(browser, "/accounts/login/", login=user.email, password=team.password)
        right = str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))
        assert post(browser, "/accounts/2fa/authenticate/", code=right).status_code == 302
        assert browser.get("/").status_code == 200


def test_invitations_end_with_who_made_them(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        members = {entry["role"]: entry["id"] for entry in admin.get("/api/v1/members").json()["results"]}
        admin.patch(f"/api/v1/members/{members['viewer']}", json={"role": "admin"}).raise_for_status()
        with portal.client(team.tokens["viewer"]) as risen:
            link = risen.post("/api/v1/invitations", json={"email": "me-too@example.com", "role": "admin"}).json()[
                "link"
            ]
        admin.patch(f"/api/v1/members/{members['viewer']}", json={"role": "viewer"}).raise_for_status()
        assert admin.get("/invitations/" + link.rsplit("/", 1)[1]).status_code == 404


def test_who_is_invited_may_sign_up_where_nobody_else_may(portal: Portal, team: Team, tmp_path: Path) -> None:
    with running_portal(tmp_path, SIGNUP_OPEN="false") as closed:
        with portal.client(team.tokens["admin"]) as admin:
            made = admin.post("/api/v1/invitations", json={"email": "invited@example.com"}).json()
        path = "/invitations/" + made["link"].rsplit("/", 1)[1]
        with closing(closed.client()) as browser:
            assert 'name="password1"' not in browser.get("/accounts/signup/").text
            browser.get(path)
            assert 'name="password1"' in browser.get(f"/accounts/signup/?next={path}").text


def test_a_user_name_is_no_address(portal: Portal) -> None:
    with closing(portal.client()) as browser:
        browser.get("/accounts/signup/")
        data = {"email": "mallory@example.com", "username": "alice@example.com", "password1": "correct horse battery"}
        assert "A user name has no @" in post(browser, "/accounts/signup/", **data).text
