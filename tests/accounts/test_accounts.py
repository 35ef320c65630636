"""Signing in, signing up, tokens, organizations, the first visitor."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from django.conf import settings

from fleet.accounts.models import ApiToken, AuditEvent, Membership, Organization, Role, User
from fleet.accounts.services import organization_create, setup_complete, setup_token
from fleet.lib.public_ids import Kind, number_of
from tests.conftest import Team
from tests.portal import Portal
from tests.test_tenancy import sign_in


def token(portal: Portal, **body: Any) -> Any:
    with portal.client() as client:
        return client.post("/api/v1/auth/token", json=body)


def test_a_password_becomes_a_token_for_email_or_username(portal: Portal, team: Team) -> None:
    user = team.users["operator"]
    user.username = f"oscar-{user.pk}"
    user.save()
    for name in ({"email": user.email}, {"username": user.username}, {"email": user.email.upper()}):
        answer = token(portal, **name, password=team.password)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"access", "refresh", "expires_in"}
        assert body["expires_in"] == 1800
        with portal.client(body["access"]) as client:
            me = client.get("/api/v1/auth/me").json()
        assert (me["email"], me["role"], me["level"]) == (user.email, "operator", 3)
        assert me["organization"]["id"] == team.organization.public_id


def test_a_form_works_too(portal: Portal, team: Team) -> None:
    with portal.client() as client:
        data = {"username": team.users["viewer"].email, "password": team.password}
        assert client.post("/api/v1/auth/token", data=data).status_code == 200


def test_wrong_names_and_passwords_are_the_same_401(portal: Portal, team: Team) -> None:
    wrong = token(portal, email=team.users["viewer"].email, password="wrong")
    nobody = token(portal, email="nobody@example.com", password="wrong")
    assert (wrong.status_code, nobody.status_code) == (401, 401)
    assert wrong.json() == nobody.json()
    assert "Bearer" in wrong.headers["WWW-Authenticate"]


def test_the_role_is_read_anew_and_a_password_change_ends_tokens(portal: Portal, team: Team) -> None:
    user = team.users["viewer"]
    access = token(portal, email=user.email, password=team.password).json()["access"]
    with portal.client(access) as client:
        assert client.post("/api/v1/vehicles", json={"name": "x"}).status_code == 403
        Membership.objects.filter(user=user).update(role=Role.OPERATOR)
        assert client.post("/api/v1/vehicles", json={"name": "x"}).status_code == 201
        user.set_password("a new long password")
        user.save()
        assert client.get("/api/v1/auth/me").status_code == 401


def test_refresh_rotates_and_an_old_one_is_dead(portal: Portal, team: Team) -> None:
    first = token(portal, email=team.users["viewer"].email, password=team.password).json()
    with portal.client() as client:
        second = client.post("/api/v1/auth/refresh", json={"refresh": first["refresh"]})
        assert second.status_code == 200
        assert client.post("/api/v1/auth/refresh", json={"refresh": first["refresh"]}).status_code == 401
        assert client.post("/api/v1/auth/refresh", json={"refresh": "nonsense"}).status_code == 401
    with portal.client(second.json()["access"]) as client:
        assert client.get("/api/v1/auth/me").status_code == 200


def test_a_token_names_the_organization(portal: Portal, team: Team, strangers: Team) -> None:
    user = team.users["viewer"]
    Membership.objects.create(user=user, organization=strangers.organization, role=Role.ADMIN)
    answer = token(portal, email=user.email, password=team.password, organization=strangers.organization.public_id)
    with portal.client(answer.json()["access"]) as client:
        assert client.get("/api/v1/auth/me").json()["role"] == "admin"
    other = organization_create(name="Third", owner=strangers.users["admin"])
    refused = token(portal, email=user.email, password=team.password, organization=other.public_id)
    assert refused.status_code == 401


@pytest.mark.parametrize("secret", ["mpt_wrong", "eyJ.eyJ.x", "x", "mpt_", "\u00e9".encode().decode("latin-1")])
def test_unknown_credentials_are_401(portal: Portal, secret: str) -> None:
    with portal.client() as client:
        headers = {"Authorization": b"Bearer " + secret.encode("latin-1")}
        answer = client.get("/api/v1/auth/me", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401


def test_a_forged_token_is_401(portal: Portal, team: Team) -> None:
    claims = {"token_type": "access", "user_id": str(team.users["admin"].pk), "organization": team.organization.pk, "exp": 9e9, "jti": "x"}  # fmt: skip
    for forged in (jwt.encode(claims, "x" * 32, "HS256"), jwt.encode(claims, None, "none")):
        with portal.client(forged) as client:
            assert client.get("/api/v1/auth/me").status_code == 401


def test_personal_tokens_are_shown_once_and_end_at_once(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["viewer"]) as client:
        made = client.post("/api/v1/tokens", json={"name": "script"}).json()
        listed = client.get("/api/v1/tokens").text
        assert made["token"] not in listed
        with portal.client(made["token"]) as other:
            assert other.get("/api/v1/auth/me").json()["role"] == "viewer"
            assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
            assert other.get("/api/v1/auth/me").status_code == 401
    row = ApiToken.objects.get(pk=number_of(Kind.TOKEN, made["id"]))
    assert made["token"] not in json.dumps([str(value) for value in vars(row).values()])


def test_what_happens_is_audited_without_secrets(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        key = client.post("/api/v1/devices", json={"name": "audited"}).json()["key"]
        events = client.get("/api/v1/audit").json()["results"]
    assert (events[0]["action"], events[0]["target"]) == ("device.created", "audited")
    assert events[0]["address"] == "127.0.0.1"
    assert key not in json.dumps(events)


def test_someone_new_signs_up_makes_an_organization_and_switches(portal: Portal, team: Team) -> None:
    client = portal.client()
    client.get("/accounts/signup/")
    email = f"new-{team.organization.pk}@example.com"
    data = {
        "email": email,
        "password1": "a quite long passphrase",
        "csrfmiddlewaretoken": client.cookies["motorpool-csrf"],
    }
    answer = client.post("/accounts/signup/", data=data, headers={"Referer": portal.url})
    assert answer.status_code == 302, answer.text
    assert client.get("/").headers["Location"] == "/organizations/new"
    post = {"csrfmiddlewaretoken": client.cookies["motorpool-csrf"]}
    client.post("/organizations/new", data={**post, "name": "My new fleet"}, headers={"Referer": portal.url})
    assert "My new fleet" in client.get("/").text
    user = User.objects.get(email=email)
    assert user.username is None
    assert user.memberships.get().role == Role.ADMIN
    Membership.objects.create(user=user, organization=team.organization, role=Role.VIEWER)
    switch = {**post, "organization": team.organization.public_id}
    client.post("/organizations/switch", data=switch, headers={"Referer": portal.url})
    assert team.vehicle.name in client.get("/vehicles").text
    assert client.get("/devices").status_code == 403


def test_a_removed_member_sees_nothing_more(portal: Portal, team: Team) -> None:
    client = sign_in(portal, team.users["viewer"].email, team.password)
    assert client.get("/vehicles").status_code == 200
    team.users["viewer"].memberships.all().delete()
    assert client.get("/vehicles").headers["Location"] == "/organizations/new"


def test_the_first_visitors_link_works_once(team: Team, rf: Any) -> None:
    from django.core import signing

    User.objects.get_or_create(email="staff-of-setup@example.com", is_staff=True)
    assert setup_token() is None  # somebody looks after the portal already
    made = signing.dumps("first organization", salt="motorpool.setup")
    request = rf.post("/")
    assert setup_complete(token=made, name="x", email="x@example.com", password="y", request=request) is None
    assert not User.objects.filter(email="x@example.com").exists()


def test_passwords_are_bcrypt_and_names_are_kept_apart(team: Team) -> None:
    assert team.users["admin"].password.startswith("bcrypt_sha256$")
    with pytest.raises(ValueError, match="needs"):
        User.objects.create_user()
    one = User.objects.create_user(username=f"only-name-{team.organization.pk}", password="x" * 12)
    two = User.objects.create_user(username=f"other-name-{team.organization.pk}", password="x" * 12)
    assert one.email is two.email is None
    assert Organization.objects.filter(pk=team.organization.pk).exists()
    assert AuditEvent.objects.filter(organization=team.organization).exists()
    assert one.password.startswith(f"bcrypt_sha256$$2b${settings.PASSWORD_ROUNDS:02}$")
