"""Every address, every role, and a foreign tenant. A new address without a row here fails the suite."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from fleet import asgi
from tests.conftest import CANARY, Team, _numbers, make_team
from tests.portal import Portal

ROLES = ("anonymous", "viewer", "operator", "admin", "device")


class Row(NamedTuple):
    """What an address answers: one status per role in `ROLES`; ``foreign``: to another organization's admin."""

    method: str
    path: str
    statuses: tuple[int, int, int, int, int]
    foreign: int | None = None
    body: Any = None


def api(
    method: str, path: str, viewer: int, operator: int, admin: int, foreign: int | None = None, body: Any = None
) -> Row:
    """An API address: strangers 401, a device key 403."""
    return Row(method, path, (401, viewer, operator, admin, 403), foreign, body)


HOT = {"signal": "engine.coolant_temp", "op": ">", "value": 110}
PLACE = {"type": "Point", "coordinates": [5.1, 52.1]}

API = [
    api("GET", "/api/v1/auth/me", 200, 200, 200),
    api("GET", "/api/v1/tokens", 200, 200, 200),
    api("POST", "/api/v1/tokens", 201, 201, 201, body={"name": "x"}),
    api("DELETE", "/api/v1/tokens/{token}", 404, 404, 404, 404),
    api("GET", "/api/v1/audit", 403, 403, 200),
    api("GET", "/api/v1/organization", 200, 200, 200),
    api("PATCH", "/api/v1/organization", 403, 403, 200, body={"time_zone": "Europe/Berlin"}),
    api("GET", "/api/v1/members", 200, 200, 200),
    api("PATCH", "/api/v1/members/{member}", 403, 403, 200, 404, body={"role": "viewer"}),
    api("DELETE", "/api/v1/members/{member}", 403, 403, 204, 404),
    api("GET", "/api/v1/invitations", 403, 403, 200),
    api("POST", "/api/v1/invitations", 403, 403, 201, body={"email": "somebody-new@example.com"}),
    api("DELETE", "/api/v1/invitations/{invitation}", 403, 403, 204, 404),
    api("GET", "/api/v1/vehicles", 200, 200, 200),
    api("POST", "/api/v1/vehicles", 403, 201, 201, body={"name": "x"}),
    api("GET", "/api/v1/vehicles/latest", 200, 200, 200),
    api("GET", "/api/v1/vehicles/{vehicle}", 200, 200, 200, 404),
    api("PATCH", "/api/v1/vehicles/{vehicle}", 403, 200, 200, 404, body={"model": "y"}),
    api("DELETE", "/api/v1/vehicles/{vehicle}", 403, 403, 204, 404),
    api("GET", "/api/v1/vehicles/{vehicle}/latest", 200, 200, 200, 404),
    api("GET", "/api/v1/vehicles/{vehicle}/history?signals=engine.rpm", 200, 200, 200, 404),
    api("GET", "/api/v1/vehicles/{vehicle}/summary", 200, 200, 200, 404),
    api("POST", "/api/v1/vehicles/{vehicle}/commands", 403, 202, 202, 404, body={"type": "dtc_read"}),
    api("GET", "/api/v1/vehicles/{vehicle}/settings", 200, 200, 200, 404),
    api("GET", "/api/v1/commands", 200, 200, 200),
    api("GET", "/api/v1/commands?vehicle={vehicle}", 200, 200, 200, 404),
    api("GET", "/api/v1/commands/{command}", 200, 200, 200, 404),
    api("GET", "/api/v1/dtcs", 200, 200, 200),
    api("GET", "/api/v1/dtcs?vehicle={vehicle}", 200, 200, 200, 404),
    api("GET", "/api/v1/signals", 200, 200, 200),
    api("POST", "/api/v1/signals", 403, 403, 422, body={"name": "x", "kind": "number"}),
    api("GET", "/api/v1/signals/{signal}", 200, 200, 200, 404),
    api("PATCH", "/api/v1/signals/{signal}", 403, 403, 200, 404, body={"kind": "text"}),
    api("GET", "/api/v1/rejected", 403, 200, 200),
    api("GET", "/api/v1/rejected/counts", 403, 200, 200),
    api("POST", "/api/v1/ws-tickets", 201, 201, 201),
    api("GET", "/api/v1/devices", 403, 200, 200),
    api("POST", "/api/v1/devices", 403, 403, 201, body={"name": "x"}),
    api("GET", "/api/v1/devices/{device}", 403, 200, 200, 404),
    api("POST", "/api/v1/devices/{device}/rotate", 403, 403, 200, 404),
    api("DELETE", "/api/v1/devices/{device}", 403, 403, 204, 404),
    api("GET", "/api/v1/connections", 200, 200, 200),
    api("POST", "/api/v1/connections", 403, 409, 409, body={}),  # this portal has no application
    api("GET", "/api/v1/connections/{connection}", 200, 200, 200, 404),
    api("DELETE", "/api/v1/connections/{connection}", 403, 403, 204, 404),
    api("POST", "/api/v1/connections/{connection}/sync", 403, 202, 202, 404),
    api("GET", "/api/v1/webhooks", 200, 200, 200),
    api("POST", "/api/v1/webhooks/{event}/replay", 403, 403, 202, 404),
    api("GET", "/api/v1/alert-rules", 200, 200, 200),
    api("POST", "/api/v1/alert-rules", 403, 201, 201, body={"name": "x", "condition": {"dtc": "any"}}),
    api("POST", "/api/v1/alert-rules/backtest?vehicle={vehicle}", 200, 200, 200, 404, body={"condition": HOT}),
    api("POST", "/api/v1/alert-rules/starter-set", 403, 201, 201, body={}),
    api("GET", "/api/v1/alert-rules/{rule}", 200, 200, 200, 404),
    api("PATCH", "/api/v1/alert-rules/{rule}", 403, 200, 200, 404, body={"name": "y"}),
    api("DELETE", "/api/v1/alert-rules/{rule}", 403, 204, 204, 404),
    api("GET", "/api/v1/alerts", 200, 200, 200),
    api("GET", "/api/v1/alerts?vehicle={vehicle}", 200, 200, 200, 404),
    api("GET", "/api/v1/alerts/count", 200, 200, 200),
    api("GET", "/api/v1/alerts/{alert}", 200, 200, 200, 404),
    api("POST", "/api/v1/alerts/{alert}/acknowledge", 403, 200, 200, 404),
    api("POST", "/api/v1/alerts/{alert}/resolve", 403, 200, 200, 404, body={}),
    api("POST", "/api/v1/alerts/{alert}/snooze", 403, 422, 422, 404, body={"until": 0}),
    api("POST", "/api/v1/alerts/{alert}/assign", 403, 200, 200, 404, body={"user": None}),
    api("POST", "/api/v1/alerts/{alert}/comments", 403, 201, 201, 404, body={"words": "x"}),
    api("GET", "/api/v1/channels", 403, 200, 200),
    api("POST", "/api/v1/channels", 403, 201, 201, body={"kind": "push", "name": "x"}),
    api("GET", "/api/v1/channels/{channel}", 403, 200, 200, 404),
    api("PATCH", "/api/v1/channels/{channel}", 403, 200, 200, 404, body={"name": "y"}),
    api("DELETE", "/api/v1/channels/{channel}", 403, 204, 204, 404),
    api("GET", "/api/v1/channels/{channel}/test", 403, 200, 200, 404),
    api("POST", "/api/v1/channels/{channel}/test", 403, 202, 202, 404),
    api("GET", "/api/v1/geofences", 200, 200, 200),
    api("POST", "/api/v1/geofences", 403, 409, 409, body={"name": "taken", "geometry": PLACE, "radius": 9}),
    api("GET", "/api/v1/geofences/{fence}", 200, 200, 200, 404),
    api("PATCH", "/api/v1/geofences/{fence}", 403, 200, 200, 404, body={"radius": 10}),
    api("DELETE", "/api/v1/geofences/{fence}", 403, 204, 204, 404),
    api("GET", "/api/v1/push-browsers", 200, 200, 200),
    api("POST", "/api/v1/push-browsers", 422, 422, 422, body={"endpoint": "x", "p256dh": "x", "auth": "x"}),
    api("GET", "/api/vehicles", 200, 200, 200),
    api("GET", "/api/vehicle/{remote}/{kind}", 200, 200, 200, 404),
    # The ASGI routes of webhooks: who signs is told by the signature alone.
    Row("POST", "/webhook", (401, 401, 401, 401, 401), None, {}),
    Row("POST", "/webhooks/smartcar/{secret}", (404, 404, 404, 404, 404), None, {}),
    # The ASGI route of ingest: people 403, the device 200, and a foreign vehicle is refused by itself.
    Row("POST", "/api/v1/telemetry", (401, 403, 403, 403, 200), 403, {"rows": []}),
    # Public.
    Row("POST", "/api/v1/auth/token", (422, 422, 422, 422, 422)),
    Row("POST", "/api/v1/auth/refresh", (422, 422, 422, 422, 422)),
    Row("GET", "/api/v1/schema", (200, 200, 200, 200, 200)),
    Row("GET", "/api/{rest}", (404, 404, 404, 404, 404)),
    Row("GET", "/health", (200, 200, 200, 200, 200)),
    Row("GET", "/ready", (200, 200, 200, 200, 200)),
    Row("GET", "/metrics", (401, 401, 401, 401, 401)),
    Row("GET", "/docs", (200, 200, 200, 200, 200)),
    Row("GET", "/redoc", (302, 302, 302, 302, 302)),
]


def page(
    path: str, viewer: int, operator: int, admin: int, foreign: int | None = None, method: str = "GET", body: Any = None
) -> Row:
    """A page: strangers are sent to sign in; a device key is nobody there."""
    return Row(method, path, (302, viewer, operator, admin, 302), foreign, body)


PAGES = [
    page("/", 200, 200, 200),
    page("/vehicles", 200, 200, 200),
    page("/vehicles", 403, 302, 302, method="POST", body={"name": "x"}),
    page("/vehicles/{vehicle}", 200, 200, 200, 404),
    page("/vehicles/{vehicle}/controls", 200, 200, 200, 404),
    page("/vehicles/{vehicle}/controls", 403, 302, 302, 404, method="POST", body={"action": "media", "media": "play"}),
    page("/vehicles/{vehicle}/diagnostics", 200, 200, 200, 404),
    page("/vehicles/{vehicle}/diagnostics", 403, 302, 302, 404, method="POST", body={"action": "dtc_read"}),
    page("/rejected", 403, 200, 200),
    page("/signals", 200, 200, 200),
    page("/signals", 403, 403, 422, method="POST", body={"name": "x", "kind": "number"}),
    page("/signals/{signal}", 403, 403, 200, 404),
    page("/signals/{signal}", 403, 403, 302, 404, method="POST", body={"kind": "text"}),
    page("/devices", 403, 200, 200),
    page("/devices", 403, 403, 200, method="POST", body={"name": "x"}),
    page("/devices/{device}", 403, 403, 302, 404, method="POST", body={"action": "revoke"}),
    page("/connections", 200, 200, 200),
    page("/connections/start", 403, 302, 302, method="POST", body={}),
    page("/connections/smartcar/return", 403, 302, 302),
    page("/connections/webhooks", 403, 200, 200),
    page("/connections/webhooks", 403, 403, 302, 404, method="POST", body={"event": "{event}"}),
    page("/connections/{connection}", 403, 302, 302, 404, method="POST", body={"action": "sync"}),
    page("/connections/claim", 403, 403, 302, method="POST", body={"remote_id": "x", "vehicle": "{vehicle}"}),
    page("/connections/arm", 403, 403, 403, method="POST", body={}),
    page("/alerts", 200, 200, 200),
    page("/alerts", 403, 302, 302, 404, method="POST", body={"alert": "{alert}", "action": "acknowledge"}),
    page("/alerts/{alert}", 200, 200, 200, 404),
    page("/alerts/{alert}", 403, 302, 302, 404, method="POST", body={"action": "acknowledge"}),
    page("/rules", 200, 200, 200),
    page("/rules", 403, 302, 302, 404, method="POST", body={"action": "disable", "rule": "{rule}"}),
    page("/rules/new", 200, 200, 200),
    page("/rules/{rule}", 200, 200, 200, 404),
    page("/channels", 403, 200, 200),
    page("/channels", 403, 302, 302, 404, method="POST", body={"action": "enable", "channel": "{channel}"}),
    page("/geofences", 200, 200, 200),
    page("/geofences", 403, 302, 302, 404, method="POST", body={"action": "change", "fence": "{fence}", "radius": "9"}),
    page("/geofences", 403, 302, 302, 404, method="POST", body={"action": "delete", "fence": "{fence}"}),
    Row("GET", "/alerts/unsubscribe/{secret}", (404, 404, 404, 404, 404)),
    Row("GET", "/alerts/confirm/{secret}", (404, 404, 404, 404, 404)),
    Row("GET", "/sw.js", (200, 200, 200, 200, 200)),
    page("/members", 200, 200, 200),
    page("/members", 403, 403, 302, 404, method="POST", body={"action": "remove", "member": "{member}"}),
    page("/organization", 403, 403, 200),
    page("/organization", 403, 403, 422, method="POST", body={"name": ""}),
    page("/account", 200, 200, 200),
    page("/account", 302, 302, 302, method="POST", body={"password": "wrong"}),
    Row("GET", "/system", (404, 404, 404, 404, 404)),
    Row("GET", "/invitations/{secret}", (404, 404, 404, 404, 404)),
    page("/tokens", 200, 200, 200),
    page("/tokens", 404, 404, 404, 404, method="POST", body={"revoke": "{token}"}),
    page("/organizations/new", 200, 200, 200),
    page("/organizations/switch", 404, 404, 404, 404, method="POST", body={"organization": "{other_organization}"}),
    Row("GET", "/setup/{setup}", (404, 404, 404, 404, 404)),
    Row("POST", "/theme", (302, 302, 302, 302, 302)),
    # The admin is for staff alone: members of an organization are nobody there.
    page("/admin/", 302, 302, 302),
]
# allauth's own pages concern nobody but their own session; they are public or ask to sign in.
PUBLIC_PREFIXES = ("accounts/", "admin/")


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _patterns(entry, path)
        elif isinstance(entry, URLPattern):
            yield path


def _shape(path: str) -> str:
    """A path with its parameters blanked, however they are written."""
    parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
    return "/".join("*" if part[:1] in ("<", "{") else part for part in parts)


def test_every_address_has_a_row() -> None:
    rows = {_shape(row.path) for row in (*API, *PAGES)}
    known = {_shape(path) for path in _patterns(get_resolver()) if not path.startswith(PUBLIC_PREFIXES)} | {
        _shape(path) for path in (asgi.INGEST_PATH, asgi.smartcar.OLD_PATH, f"{asgi.smartcar.PREFIX}<key>")
    }
    assert known - rows == set()
    assert rows - known - {"admin"} == set()


def test_every_socket_route_is_known() -> None:
    """Its rows are the tests in test_tenancy_doors.py."""
    assert set(asgi.SOCKETS) == {"/ws/v1/stream", "/ws/v1/agent"}


@pytest.fixture(scope="module")
def teams(portal: Portal) -> tuple[Team, Team]:
    return make_team("Own"), make_team(CANARY)


def _fill(path: Any, own: Team, other: Team) -> Any:
    """A path or body with the ids of a team that may be consumed by the call."""
    from fleet.accounts.memberships import invite
    from fleet.accounts.models import Membership, Role, User
    from vehicles.services import device_create, vehicle_create

    text = json.dumps(path)
    if "{vehicle}" in text:
        vehicle = vehicle_create(organization=own.organization, user=None, name=own.vehicle.name)
        text = text.replace("{vehicle}", vehicle.public_id)
    if "{command}" in text:
        from telemetry.commands import queue

        command = queue.create(vehicle=own.vehicle, user=own.users["admin"], kind="dtc_read", arguments={})
        text = text.replace("{command}", str(command.pk))
    if any(mark in text for mark in ("{connection}", "{event}", "{remote}")):
        text = _with_connection(text, own)
    if any(mark in text for mark in ("{rule}", "{alert}", "{channel}", "{fence}", "taken")):
        text = _with_alert(text, own)
    if "{signal}" in text:
        from telemetry.models import Signal

        name = f"own.s{next(_numbers)}"
        Signal.objects.create(organization=own.organization, name=name, kind="number", description=own.vehicle.name)
        text = text.replace("{signal}", name)
    if "{device}" in text:
        device, _ = device_create(organization=own.organization, user=None, name=own.device.name)
        text = text.replace("{device}", device.public_id)
    if "{member}" in text:
        user = User.objects.create(email=f"{next(_numbers)}@example.net")
        member = Membership.objects.create(organization=own.organization, user=user)
        text = text.replace("{member}", member.public_id)
    if "{invitation}" in text:
        invited = invite(
            organization=own.organization,
            user=own.users["admin"],
            email=f"{next(_numbers)}@example.net",
            role=Role.VIEWER,
        )
        text = text.replace("{invitation}", invited[0].public_id)
    text = text.replace("{token}", own.users["admin"].api_tokens.get().public_id if "only" in own.extra else "tok_none")
    text = text.replace("{rest}", "v1/nothing").replace("{setup}", "no-token").replace("{secret}", "mpi_none")
    return json.loads(text.replace("{other_organization}", other.organization.public_id))


def _with_alert(text: str, own: Team) -> str:
    from django.utils import timezone

    from alerts.models import Alert, AlertRule, Channel, Geofence
    from alerts.services import channel_save, fence_save, rule_save

    organization, user = own.organization, own.users["admin"]
    name = own.vehicle.name
    if "{rule}" in text:
        rule = rule_save(rule=AlertRule(organization=organization), user=user, name=name, condition=HOT)
        text = text.replace("{rule}", rule.public_id)
    if "{alert}" in text:
        alert = Alert.objects.create(
            organization=organization, rule_name=name, vehicle=own.vehicle, severity="info", opened_at=timezone.now()
        )
        text = text.replace("{alert}", alert.public_id)
    if "{channel}" in text:
        channel = channel_save(channel=Channel(organization=organization), user=user, kind="push", name=name, config={})
        text = text.replace("{channel}", channel.public_id)
    if "{fence}" in text:
        fence = Geofence(organization=organization, name=f"{name} {next(_numbers)}")
        fence_save(fence=fence, user=user, geometry=PLACE, radius=5.0)
        text = text.replace("{fence}", fence.public_id)
    Geofence.objects.get_or_create(organization=organization, name="taken", defaults={"geometry": PLACE, "radius": 5.0})
    return text


def _with_connection(text: str, own: Team) -> str:
    from django.utils import timezone

    from integrations.sources.smartcar.models import Account, CloudVehicle, WebhookEvent

    now, remote = timezone.now(), str(uuid.uuid4())
    account = Account.objects.create(organization=own.organization, user_id=uuid.uuid4(), connected_at=now)
    link = CloudVehicle.objects.create(
        organization=own.organization, account=account, vehicle=own.vehicle, remote_id=remote, connected_at=now
    )
    event = WebhookEvent.objects.create(
        event_id=remote, body=b"{}", received_at=now, state="done", organizations=[own.organization.pk]
    )
    text = text.replace("{connection}", link.public_id).replace("{event}", event.public_id)
    return text.replace("{remote}", remote).replace("{kind}", "all")


def _client(portal: Portal, team: Team, role: str, row: Row, sessions: dict[str, httpx.Client]) -> httpx.Client:
    if row in API:
        secret = (
            {"anonymous": "", "device": team.key}.get(role) if role in ("anonymous", "device") else team.tokens[role]
        )
        return portal.client(secret or "")
    if role in ("anonymous", "device"):
        client = portal.client(team.key if role == "device" else "")
        client.get("/accounts/login/")
        return client
    key = f"{team.organization.pk}/{role}"
    if key not in sessions:
        sessions[key] = sign_in(portal, team.users[role].email, team.password)
    return sessions[key]


def sign_in(portal: Portal, login: str, password: str) -> httpx.Client:
    """A browser's session."""
    client = portal.client()
    client.get("/accounts/login/")
    data = {"login": login, "password": password, "csrfmiddlewaretoken": client.cookies["motorpool-csrf"]}
    answer = client.post("/accounts/login/", data=data, headers={"Referer": portal.url})
    assert answer.status_code == 302, answer.text
    return client


def _call(client: httpx.Client, row: Row, path: str, body: Any) -> httpx.Response:
    if row in API:
        return (
            client.request(row.method, path, json=body)
            if body is not None or row.method == "POST"
            else client.request(row.method, path)
        )
    data = {**(body or {}), "csrfmiddlewaretoken": client.cookies.get("motorpool-csrf", "")}
    return client.request(
        row.method, path, data=data if row.method == "POST" else None, headers={"Referer": str(client.base_url)}
    )


@pytest.fixture(scope="module")
def sessions() -> dict[str, httpx.Client]:
    return {}


@pytest.mark.parametrize("row", [*API, *PAGES], ids=lambda row: f"{row.method} {row.path}")
def test_each_role_gets_what_its_row_says(
    portal: Portal, teams: tuple[Team, Team], sessions: dict[str, httpx.Client], row: Row
) -> None:
    own, other = teams
    for role, expected in zip(ROLES, row.statuses, strict=True):
        path, body = _fill([row.path, row.body], own, other)
        answer = _call(_client(portal, own, role, row, sessions), row, path, body)
        got = 422 if answer.status_code == 400 and expected == 422 else answer.status_code
        assert got == expected, f"{role}: {answer.status_code} {answer.text[:300]}"
        assert CANARY not in answer.text
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith(("Bearer", "SC-Signature"))


@pytest.mark.parametrize(
    "row", [row for row in (*API, *PAGES) if row.foreign], ids=lambda row: f"{row.method} {row.path}"
)
def test_another_organizations_admin_finds_nothing(
    portal: Portal, teams: tuple[Team, Team], sessions: dict[str, httpx.Client], row: Row
) -> None:
    own, other = teams
    path, body = _fill([row.path, row.body], other, own if "{other" not in str(row.body) else other)
    answer = _call(_client(portal, own, "admin", row, sessions), row, path, body)
    assert answer.status_code == row.foreign, answer.text[:300]
    assert CANARY not in answer.text


def test_lists_and_searches_show_no_other_organization(portal: Portal, teams: tuple[Team, Team]) -> None:
    own, other = teams
    with portal.client(own.tokens["admin"]) as client:
        for path in (
            "vehicles",
            "vehicles/latest",
            "devices",
            "tokens",
            "signals",
            "rejected",
            "audit",
            "commands",
            "dtcs",
            "alerts",
            "alert-rules",
            "channels",
            "geofences",
        ):
            for query in (
                "",
                f"?search={CANARY}&page_size=500",
                "?ordering=-id&page_size=500",
                f"?organization={other.organization.public_id}",
            ):
                assert CANARY not in client.get(f"/api/v1/{path}{query}").text


def test_a_device_cannot_write_another_organizations_vehicle(portal: Portal, teams: tuple[Team, Team]) -> None:
    own, other = teams
    alias = other.vehicle.aliases.get().alias
    with portal.client(own.key) as client:
        for name in (other.vehicle.public_id, str(other.vehicle.pk), alias):
            row = {"vehicle": name, "time": 1_767_225_600, "values": {"engine.rpm": 800}}
            answer = client.post("/api/v1/telemetry", json={"rows": [row]}).json()
            assert answer["readings"] == 0
            assert answer["rejected"][0]["code"] == "unknown_vehicle"
