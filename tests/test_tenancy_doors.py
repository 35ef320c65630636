"""Doors beside the tenancy table: the sockets, and the admin."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import CANARY, Team, make_team
from tests.portal import Portal
from tests.test_tenancy import sign_in


@pytest.fixture(scope="module")
def teams(portal: Portal) -> tuple[Team, Team]:
    return make_team("Own"), make_team(CANARY)


def test_a_stream_without_credentials_is_closed_and_a_foreign_vehicle_is_unknown(
    portal: Portal, teams: tuple[Team, Team]
) -> None:
    own, other = teams
    url = portal.url.replace("http", "ws") + "/ws/v1/stream"
    with pytest.raises(InvalidStatus):
        connect(url, subprotocols=["motorpool.v1", f"bearer.{own.key}"])  # type: ignore[list-item]
    with connect(url, subprotocols=["motorpool.v1", f"bearer.{own.tokens['viewer']}"]) as socket:  # type: ignore[list-item]
        assert json.loads(socket.recv(5))["type"] == "hello"
        socket.send(json.dumps({"type": "subscribe", "vehicles": [other.vehicle.public_id]}))
        assert json.loads(socket.recv(5))["code"] == "not_found"


def test_other_socket_addresses_do_not_exist(portal: Portal) -> None:
    with pytest.raises(InvalidStatus):
        connect(portal.url.replace("http", "ws") + "/ws/v1/other")


def test_the_agent_socket_takes_device_keys_for_their_own_vehicles_alone(
    portal: Portal, teams: tuple[Team, Team]
) -> None:
    own, other = teams
    url = portal.url.replace("http", "ws") + "/ws/v1/agent"
    for secret in ("", own.tokens["admin"], "mpd_unknown"):
        with pytest.raises(InvalidStatus):
            connect(url, additional_headers={"Authorization": f"Bearer {secret}"})
    with connect(url, additional_headers={"Authorization": f"Bearer {own.key}"}) as socket:
        socket.send(json.dumps({"type": "hello", "vehicle": other.vehicle.public_id}))
        assert json.loads(socket.recv(5))["code"] == "unknown_vehicle"
        socket.send(json.dumps({"type": "hello", "vehicle": own.vehicle.public_id}))
        assert json.loads(socket.recv(5)) == {"type": "hello", "vehicle": own.vehicle.public_id}
        socket.send(json.dumps({"type": "result", "id": "no-id", "status": "succeeded"}))
        assert json.loads(socket.recv(5))["code"] == "not_found"


def test_the_admin_opens_for_staff_alone(portal: Portal, teams: tuple[Team, Team]) -> None:
    from fleet.accounts.models import User

    own, _ = teams
    assert sign_in(portal, own.users["admin"].email, own.password).get("/admin/").status_code == 302
    staff = User.objects.create_user(email="staff@example.com", password=own.password, is_staff=True, is_superuser=True)
    client = sign_in(portal, staff.email or "", own.password)
    for path in ("", "accounts/user/", "vehicles/device/", "vehicles/vehicle/", "accounts/auditevent/"):
        assert client.get(f"/admin/{path}").status_code == 200, path
