"""Commands through the maker's cloud: who may, what is confirmed, and that 202 is not success."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.sources.smartcar.models import CloudVehicle
from telemetry.commands import carrying
from tests.conftest import Team
from tests.integrations.test_smartcar_polling import connected
from tests.portal import Portal
from tests.smartcar_stub import Fault, Stub


@pytest.fixture
def link(cloud_portal: Portal, fleet: Team, maker: Stub) -> CloudVehicle:
    return connected(fleet, maker)


def order(portal: Portal, team: Team, link: CloudVehicle, kind: str, role: str = "operator", **more: Any) -> Any:
    with portal.client(team.tokens[role]) as client:
        return client.post(f"/api/v1/vehicles/{link.vehicle.public_id}/commands", json={"type": kind, **more})


def outcome(portal: Portal, team: Team, link: CloudVehicle, kind: str, **more: Any) -> dict[str, Any]:
    made = order(portal, team, link, kind, **more)
    assert made.status_code == 202, made.text
    carrying.carry_out(made.json()["id"])
    with portal.client(team.tokens["viewer"]) as client:
        return dict(client.get(f"/api/v1/commands/{made.json()['id']}").json())


def test_the_car_does_what_it_is_told(cloud_portal: Portal, fleet: Team, maker: Stub, link: CloudVehicle) -> None:
    car = maker.state.vehicles[str(link.remote_id)]
    maker.state.set_signal(car.id, "charge-ischargingcableconnected", {"value": True})
    for kind, more, code, value in (
        ("unlock", {"confirm": True}, "closure-islocked", False),
        ("lock", {}, "closure-islocked", True),
        ("charge_limit", {"arguments": {"percent": 70}}, "", None),
        ("destination", {"arguments": {"latitude": 52.5, "longitude": 13.4}}, "", None),
    ):
        done = outcome(cloud_portal, fleet, link, kind, **more)
        assert (done["state"], done["detail"]) == ("succeeded", ""), kind
        if code:
            assert car.value(code) is value
    assert car.charge_limit == 70
    with cloud_portal.client(fleet.tokens["admin"]) as client:
        actions = [entry["action"] for entry in client.get("/api/v1/audit").json()["results"]]
    assert {"command.queued", "command.succeeded"} <= set(actions)


def test_who_may_not_is_refused(cloud_portal: Portal, fleet: Team, strangers: Team, link: CloudVehicle) -> None:
    assert order(cloud_portal, fleet, link, "lock", "viewer").status_code == 403
    assert order(cloud_portal, strangers, link, "lock", "admin").status_code == 404
    assert "confirmed" in order(cloud_portal, fleet, link, "unlock").json()["detail"]
    for percent in (49, 101, "80", True, None):
        assert order(cloud_portal, fleet, link, "charge_limit", arguments={"percent": percent}).status_code == 422
    assert (
        order(cloud_portal, fleet, link, "destination", arguments={"latitude": 91, "longitude": 0}).status_code == 422
    )
    with cloud_portal.client(fleet.tokens["operator"]) as client:
        answer = client.post(f"/api/v1/vehicles/{fleet.vehicle.public_id}/commands", json={"type": "lock"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "The vehicle is not connected to its maker's cloud.")


@pytest.mark.parametrize(("mode", "result"), [("late", "SUCCESS"), ("late", "FAILED"), ("late-close", "SUCCESS")])
def test_202_is_followed_to_its_end(
    cloud_portal: Portal, fleet: Team, maker: Stub, link: CloudVehicle, mode: str, result: str
) -> None:
    maker.state.command_mode, maker.state.command_outcome, maker.state.command_delay = mode, result, 0.5
    try:
        done = outcome(cloud_portal, fleet, link, "lock")
    finally:
        maker.state.command_mode, maker.state.command_outcome = "sync", "SUCCESS"
    assert done["state"] == ("succeeded" if result == "SUCCESS" else "failed")


def test_a_refusal_is_told_in_words(cloud_portal: Portal, fleet: Team, maker: Stub, link: CloudVehicle) -> None:
    maker.state.set_signal(str(link.remote_id), "charge-ischargingcableconnected", {"value": False})
    maker.state.set_signal(str(link.remote_id), "charge-ischarging", {"value": False})
    done = outcome(cloud_portal, fleet, link, "charge_start")
    assert (done["state"], done["detail"]) == ("failed", "No charging cable is plugged in.")
    maker.state.faults.append(Fault("/commands/", 429))
    assert "leave this vehicle alone" in outcome(cloud_portal, fleet, link, "lock")["detail"]


def test_a_command_is_carried_out_once(cloud_portal: Portal, fleet: Team, maker: Stub, link: CloudVehicle) -> None:
    made = order(cloud_portal, fleet, link, "lock").json()
    assert made["id"] in carrying.waiting()
    for _ in range(3):  # redelivered, or found again by beat
        carrying.carry_out(made["id"])
    assert len([r for r in maker.state.requests if f"{link.remote_id}/commands" in r.path]) == 1
    assert made["id"] not in carrying.waiting()
