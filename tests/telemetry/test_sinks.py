"""Sinks: the vehicle's state follows its batches; silence makes it offline; a failing sink hurts nobody."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from telemetry import sinks, tasks
from telemetry.models import SinkProgress, VehicleState
from tests.conftest import Team
from tests.portal import Portal

calls: list[list[int]] = []


def send(portal: Portal, team: Team, **values: Any) -> None:
    row = {"vehicle": team.vehicle.public_id, "time": time.time(), "values": values}
    with portal.client(team.key) as client:
        assert client.post("/api/v1/telemetry", json={"rows": [row]}).status_code == 200


def state(team: Team) -> VehicleState:
    return VehicleState.objects.get(vehicle=team.vehicle)


def test_the_state_follows_the_readings(portal: Portal, team: Team) -> None:
    send(portal, team, **{"vehicle.speed": 50.0})
    tasks.run_sinks()
    assert state(team).state == "moving"
    send(portal, team, **{"charge.state": "charging", "vehicle.speed": 0.0})
    tasks.run_sinks()
    assert state(team).state == "charging"


def test_silence_makes_a_vehicle_offline(portal: Portal, team: Team) -> None:
    send(portal, team, **{"vehicle.ignition": True})
    tasks.run_sinks()
    found = state(team)
    assert found.look_again is not None
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_latest SET times = array(SELECT t - interval '2 h' FROM unnest(times) t)"
            " WHERE vehicle_id = %s",
            [team.vehicle.pk],
        )
    VehicleState.objects.filter(vehicle=team.vehicle).update(look_again=timezone.now())
    tasks.detect_offline()
    assert state(team).state == "offline"


def record(claims: list[sinks.Claim]) -> None:
    calls.append([claim.vehicle_id for claim in claims])
    time.sleep(0.05)


poisoned: set[int] = set()


def die(claims: list[sinks.Claim]) -> None:
    """What a sink does that kills its worker."""
    if any(claim.vehicle_id in poisoned for claim in claims):
        raise SystemExit


def fail(claims: list[sinks.Claim]) -> None:
    if any(claim.vehicle_id in poisoned for claim in claims):
        raise RuntimeError("broken on purpose")


def test_many_workers_do_the_work_once(portal: Portal, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SINKS", {"counted": sinks.Registered(f"{__name__}.record")})
    sinks.run_all()
    calls.clear()
    send(portal, team, **{"vehicle.speed": 1.0})

    def run(_: int) -> None:
        sinks.run_all()
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert [vehicle for call in calls for vehicle in call].count(team.vehicle.pk) == 1


def test_a_failing_vehicle_holds_back_no_other_sink_and_no_other_vehicle(
    portal: Portal, team: Team, strangers: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "SINKS", {"broken": sinks.Registered(f"{__name__}.fail"), "state": sinks.SINKS["state"]})
    poisoned.add(team.vehicle.pk)
    send(portal, team, **{"vehicle.speed": 50.0})
    send(portal, strangers, **{"vehicle.speed": 50.0})
    for _ in range(sinks.MOST_ATTEMPTS):
        sinks.run_all()
        SinkProgress.objects.filter(sink="broken").update(lease_until=None)
    assert state(team).state == state(strangers).state == "moving"
    progress = SinkProgress.objects.get(sink="broken", vehicle_id=team.vehicle.pk)
    assert "broken on purpose" in progress.error
    sinks.run_all()
    progress.refresh_from_db()
    assert progress.dead_at is not None
    poisoned.clear()
    sinks.run_all()
    assert SinkProgress.objects.get(pk=progress.pk).dead_at is not None  # it rests until somebody revives it
    assert sinks.revive("broken", team.vehicle.pk)
    sinks.run_all()
    progress.refresh_from_db()
    assert (progress.dead_at, progress.attempts, progress.error) == (None, 0, "")
    assert SinkProgress.objects.get(sink="broken", vehicle_id=strangers.vehicle.pk).error == ""


def test_what_kills_its_worker_is_given_up_and_takes_nobody_with_it(
    portal: Portal, team: Team, strangers: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "SINKS", {"deadly": sinks.Registered(f"{__name__}.die")})
    sinks.run_all()
    poisoned.add(team.vehicle.pk)
    send(portal, team, **{"vehicle.speed": 50.0})
    send(portal, strangers, **{"vehicle.speed": 50.0})
    deaths = 0
    for _ in range(sinks.MOST_ATTEMPTS + 3):
        try:
            sinks.run_all()
        except SystemExit:
            deaths += 1
        SinkProgress.objects.filter(sink="deadly").update(lease_until=None)  # the lease of the dead runs out
    assert deaths == sinks.MOST_ATTEMPTS
    given_up = SinkProgress.objects.get(sink="deadly", vehicle_id=team.vehicle.pk)
    assert given_up.dead_at is not None
    assert given_up.error == "The worker died of it."
    other = SinkProgress.objects.get(sink="deadly", vehicle_id=strangers.vehicle.pk)
    assert (other.dead_at, other.attempts) == (None, 0)
    assert other.version >= 1
