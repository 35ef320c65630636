"""Alerts of what stands: trouble codes, states, silent devices, wrong clocks, broken connections."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from alerts import handling
from alerts.evaluation import facts
from telemetry.commands import trouble_codes
from telemetry.models import VehicleState
from tests.alerts.making import alerts_of, make_rule, send
from tests.conftest import Team
from tests.portal import Portal


def codes(team: Team, *listed: str, **more: Any) -> None:
    told = [{"code": code, "status": "confirmed"} for code in listed]
    trouble_codes.record(team.vehicle, {"codes": told, **more})


def test_a_trouble_code_raises_and_clears(team: Team) -> None:
    make_rule(team, {"dtc": "P03*"}, name="Misfire")
    codes(team, "P0171")
    facts.look()
    assert not alerts_of(team)
    codes(team, "P0171", "P0301", freeze_frame={"code": "P0301", "engine.rpm": 2100})
    facts.look()
    facts.look()
    [alert] = alerts_of(team)
    assert (alert.value, alert.evidence["freeze_frame"]["engine.rpm"]) == ("P0301", 2100)
    codes(team, "P0301", "P0302")
    facts.look()
    first, second = alerts_of(team)  # another code is another alert
    assert (second.value, second.cleared_at) == ("P0301, P0302", None)
    assert first.cleared_at is not None
    codes(team, "P0301")
    facts.look()
    assert alerts_of(team)[1].value == "P0301"
    codes(team)
    facts.look()
    assert alerts_of(team)[1].cleared_at is not None


def test_a_resolved_alert_does_not_come_back_while_its_code_stands(team: Team) -> None:
    make_rule(team, {"dtc": "any"}, name="Code")
    codes(team, "P0171")
    facts.look()
    handling.resolve(alert=alerts_of(team)[0], user=team.users["operator"])
    facts.look()
    assert len(alerts_of(team)) == 1
    codes(team)
    codes(team, "P0171")
    team.vehicle.trouble_codes.update(first_seen=timezone.now())
    facts.look()
    assert len(alerts_of(team)) == 2


def test_a_state_that_lasts(team: Team) -> None:
    make_rule(team, {"state": ["offline"]}, name="Offline", lasting=timedelta(minutes=10))
    now = timezone.now()
    state = VehicleState.objects.create(
        vehicle=team.vehicle, organization=team.organization, state="offline", since=now - timedelta(minutes=5)
    )
    facts.look()
    assert not alerts_of(team)
    VehicleState.objects.filter(pk=state.pk).update(since=now - timedelta(minutes=11))
    facts.look()
    assert len(alerts_of(team)) == 1
    VehicleState.objects.filter(pk=state.pk).update(state="moving")
    facts.look()
    assert alerts_of(team)[0].cleared_at is not None


def test_a_silent_device(team: Team) -> None:
    make_rule(team, {"source": "agent"}, name="Silent")
    team.device.vehicles.add(team.vehicle)
    now = timezone.now()
    type(team.device).objects.filter(pk=team.device.pk).update(last_seen=now - timedelta(hours=1))
    VehicleState.objects.create(vehicle=team.vehicle, organization=team.organization, state="parked", since=now)
    facts.look()
    assert not alerts_of(team)  # a parked car's device sleeps
    VehicleState.objects.update(state="offline")
    facts.look()
    assert "silent" in str(alerts_of(team)[0].value)


def test_a_clock_ahead(portal: Portal, team: Team) -> None:
    make_rule(team, {"source": "clock"}, name="Clock")
    send(portal, team, (time.time(), {"engine.rpm": 800.0}))
    facts.look()
    assert not alerts_of(team)
    send(portal, team, (time.time() + 3_600, {"engine.rpm": 800.0}))
    facts.look()
    assert len(alerts_of(team)) == 1


def test_a_connection_that_needs_a_new_sign_in(team: Team, strangers: Team) -> None:
    import uuid

    from integrations.sources.smartcar.models import Account, CloudVehicle

    make_rule(team, {"source": "token"}, name="Sign in")
    make_rule(strangers, {"source": "token"}, name="Sign in")
    now = timezone.now()
    account = Account.objects.create(
        organization=team.organization,
        user_id=uuid.uuid4(),
        connected_at=now,
        state="reconnect",
        error="consent withdrawn",
        told_at=now,
    )
    CloudVehicle.objects.create(
        organization=team.organization, account=account, vehicle=team.vehicle, remote_id=uuid.uuid4(), connected_at=now
    )
    facts.look()
    assert alerts_of(team)[0].value == "consent withdrawn"
    assert not alerts_of(strangers)
