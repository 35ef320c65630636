"""The poll: what lost webhooks carried, within the allowance, and never in anybody's way."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from integrations.sources.smartcar import allowance, connecting, polling, tasks
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.models import Account, AccountState, Application, CloudVehicle, Generation
from tests.conftest import Team
from tests.portal import Portal, eventually
from tests.smartcar_stub import Fault, Stub, many_cars
from vehicles.services import vehicle_create

pytestmark = pytest.mark.usefixtures("cloud_portal")


def connected(team: Team, maker: Stub, generation: Generation = Generation.V3) -> CloudVehicle:
    email = f"{uuid.uuid4().hex}@example.com"
    (car,) = maker.state.add_vehicles(email, many_cars(1))
    external = connecting.external_id(team.organization)
    (made,) = maker.state.connect(email, mode="simulated", external_id=external)
    now = timezone.now()
    account = Account.objects.create(
        organization=team.organization, user_id=made.user_id, generation=generation, mode="simulated",
        connected_at=now,
    )  # fmt: skip
    vehicle = vehicle_create(organization=team.organization, user=None, name="Polled car", vin=car.vin)
    return CloudVehicle.objects.create(
        organization=team.organization, account=account, vehicle=vehicle, remote_id=car.id, connected_at=now,
        connection_id=made.id, poll_at=now,
    )  # fmt: skip


@pytest.fixture
def link(fleet: Team, maker: Stub) -> CloudVehicle:
    CloudVehicle.objects.update(poll_at=None)  # of other tests
    Application.objects.update(paused_until=None, bucket=None)
    return connected(fleet, maker)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set what the plan allows."""

    def allow(**values: int) -> None:
        monkeypatch.setattr(settings, "SMARTCAR", {**settings.SMARTCAR, **values})
        configuration.cache_clear()

    yield allow
    monkeypatch.undo()
    configuration.cache_clear()


def soc(portal: Portal, team: Team, link: CloudVehicle) -> dict[str, Any]:
    with portal.client(team.tokens["viewer"]) as client:
        signals = client.get(f"/api/v1/vehicles/{link.vehicle.public_id}/latest").json()["signals"]
    return dict(signals["traction_battery.soc"])


def due(link: CloudVehicle) -> datetime:
    link.refresh_from_db()
    assert link.poll_at is not None
    return link.poll_at


def test_an_hour_without_webhooks_is_filled(
    cloud_portal: Portal, fleet: Team, maker: Stub, link: CloudVehicle, allowed: Any
) -> None:
    allowed(vehicle_requests=500)
    maker.state.silent = True
    begun = timezone.now() - timedelta(hours=1)
    # Webhooks came until now, so the next poll is an hour away.
    CloudVehicle.objects.filter(pk=link.pk).update(
        poll_at=begun + polling.USUAL, last_webhook=begun, last_poll=begun - timedelta(minutes=1)
    )
    remote = str(link.remote_id)
    polls, behind, told_at = 0, [], begun
    try:
        for minute in range(61):
            now = begun + timedelta(minutes=minute)
            if minute % 5 == 0:  # what a webhook would have carried
                charge = 40 + minute // 5
                told_at = now - timedelta(seconds=1)
                body = {"value": charge, "unit": "percent"}
                maker.state.set_signal(remote, "tractionbattery-stateofcharge", body, told_at.timestamp())
            if polling.poll_due(now):
                polls += 1
                known = soc(cloud_portal, fleet, link)
                assert known["value"] == charge
                behind.append(minute)
    finally:
        maker.state.silent = False
    assert 3 <= polls <= 5
    assert behind[0] <= 25
    assert max(later - earlier for earlier, later in pairwise(behind)) <= 16
    link.refresh_from_db()
    assert link.requests == polls <= 500
    # What is shown at the end is at most a quarter of an hour behind the car.
    assert soc(cloud_portal, fleet, link)["value"] >= 40 + 45 // 5
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        summary = client.get(f"/api/v1/vehicles/{link.vehicle.public_id}/summary").json()["signals"][
            "traction_battery.soc"
        ]
    assert summary["count"] == polls


def test_a_car_that_tells_nothing_new_is_asked_less_and_less(link: CloudVehicle, maker: Stub) -> None:
    now = timezone.now()
    waits = []
    for _ in range(7):
        assert polling.poll_due(now) == 1
        waits.append((due(link) - now) / timedelta(minutes=15))
        now = due(link)
    assert waits[0] == pytest.approx(1, abs=0.01)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(16, abs=0.01)
    body = {"value": 33, "unit": "percent"}
    maker.state.set_signal(str(link.remote_id), "tractionbattery-stateofcharge", body, now.timestamp())
    polling.poll_due(now)
    assert (due(link) - now) / timedelta(minutes=15) == pytest.approx(1, abs=0.01)


def test_webhooks_and_a_live_collector_spare_requests(cloud_portal: Portal, fleet: Team, link: CloudVehicle) -> None:
    now = timezone.now()
    polling.poll_due(now)
    link.refresh_from_db()
    link.last_webhook = now
    assert polling.interval(link, now) == polling.USUAL
    row = {"vehicle": link.vehicle.public_id, "time": time.time(), "source": "obd", "values": {"engine.rpm": 900}}
    with cloud_portal.client(fleet.key) as device:
        assert device.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1
    assert polling.interval(link, now) == polling.SELDOM
    assert polling.interval(link, now + timedelta(hours=1)) < polling.SELDOM


def test_a_sleeping_car_is_not_woken(link: CloudVehicle) -> None:
    now = timezone.now()
    link.asleep = True
    assert polling.interval(link, now) == polling.QUICK  # reading what the cloud has wakes nobody
    link.account.generation = Generation.V2
    assert polling.interval(link, now) == polling.SELDOM


def test_the_months_allowance_is_kept(link: CloudVehicle, allowed: Any) -> None:
    allowed(vehicle_requests=60)
    now = datetime(2027, 3, 1, tzinfo=UTC)
    CloudVehicle.objects.filter(pk=link.pk).update(poll_at=now)
    made = 0
    while now < datetime(2027, 4, 1, tzinfo=UTC):
        made += polling.poll_due(now)
        link.refresh_from_db()
        link.quiet_polls = 0  # as if there were news all the time
        link.save(update_fields=["quiet_polls"])
        now = max(due(link), now + timedelta(minutes=15))
    assert 40 <= link.requests <= 60, (made, link.requests)
    with pytest.raises(Exception, match="used up"):
        for _ in range(61):
            allowance.take(link, now=datetime(2027, 5, 2, tzinfo=UTC))


def test_the_bucket_of_the_application_is_kept(link: CloudVehicle, allowed: Any) -> None:
    allowed(application_requests=10)
    now = timezone.now()
    Application.objects.update(bucket=None, bucket_at=None)
    for _ in range(5):
        allowance.take(None, polling=True, now=now)
    with pytest.raises(Exception, match="patience"):
        allowance.take(None, polling=True, now=now)  # the rest is for people
    for _ in range(5):
        allowance.take(None, now=now)
    with pytest.raises(Exception, match="patience"):
        allowance.take(None, now=now)
    allowance.take(None, now=now + timedelta(seconds=31))
    Application.objects.update(bucket=None)


@pytest.mark.parametrize(
    ("status", "least", "most", "words"),
    [
        (429, 30, 31, "leave this vehicle alone"),
        (430, 86_000, 86_500, "plan"),
        (501, 600_000, 605_000, "cannot do this"),
        (500, 890, 910, "fault of its own"),
        (502, 890, 910, "did not answer properly"),
        ("malformed", 890, 910, "did not answer properly"),
        ("drop", 890, 910, "did not answer properly"),
    ],
)
def test_every_fault_waits_as_it_should(
    link: CloudVehicle, maker: Stub, status: int | str, least: float, most: float, words: str
) -> None:
    now = timezone.now()
    maker.state.faults.append(Fault("/signals", status))
    polling.poll_due(now)
    wait = (due(link) - now).total_seconds()
    assert least <= wait <= most
    assert words in link.error
    assert link.account.state == AccountState.ACTIVE
    if status == 429:
        assert polling.poll_due(now + timedelta(seconds=20)) == 0
    CloudVehicle.objects.filter(pk=link.pk).update(poll_at=now, not_before=None)
    polling.poll_due(now)
    link.refresh_from_db()
    assert (link.error, link.poll_failures) == ("", 0)


def test_smartcars_own_request_for_patience_holds_for_all(link: CloudVehicle, maker: Stub, fleet: Team) -> None:
    other = connected(fleet, maker)
    body = b'{"errors":[{"type":"RATE_LIMIT","code":"SMARTCAR_API","status":"429"}]}'
    maker.state.faults.append(Fault("/signals", 429, headers={"Retry-After": "40"}, body=body))
    now = timezone.now()
    CloudVehicle.objects.filter(pk=other.pk).update(poll_at=now + timedelta(seconds=5))
    asked = len([r for r in maker.state.requests if r.path.endswith("/signals")])
    polling.poll_due(now)
    polling.poll_due(now + timedelta(seconds=6))
    assert len([r for r in maker.state.requests if r.path.endswith("/signals")]) == asked + 1
    assert due(other) > now + timedelta(seconds=30)
    assert other.error == ""  # it is not this car's fault
    Application.objects.update(paused_until=None)


def test_a_slow_cloud_keeps_no_worker_from_its_other_tasks(link: CloudVehicle, maker: Stub) -> None:
    maker.state.faults.append(Fault("/signals", "slow", delay=2.0))
    begun = time.monotonic()
    tasks.poll()
    assert time.monotonic() - begun < 1
    eventually(lambda: CloudVehicle.objects.get(pk=link.pk).last_poll, 15)


def test_two_workers_poll_a_car_once(link: CloudVehicle, maker: Stub) -> None:
    before = len([r for r in maker.state.requests if str(link.remote_id) in r.path])
    now = timezone.now()
    stale = CloudVehicle.objects.get(pk=link.pk)
    assert polling.claim_and_poll(link.pk, now)
    assert not CloudVehicle.objects.filter(pk=link.pk, poll_at=stale.poll_at).exists()
    assert polling.poll_due(now) == 0
    assert len([r for r in maker.state.requests if str(link.remote_id) in r.path]) == before + 1


def test_a_broken_sign_in_stays_broken_although_the_poll_is_answered(link: CloudVehicle, maker: Stub) -> None:
    now = timezone.now()
    polling.poll_due(now)
    remote = str(link.remote_id)
    code = "tractionbattery-stateofcharge"
    for _ in range(2):
        maker.state.set_error(remote, code, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED", stale=True)
        now = due(link)
        polling.poll_due(now)
        link.account.refresh_from_db()
        assert link.account.state == AccountState.RECONNECT
        assert "Connect the account again" in link.account.error
    maker.state.set_signal(remote, code, {"value": 44, "unit": "percent"}, time.time())
    polling.poll_due(due(link))
    link.account.refresh_from_db()
    assert (link.account.state, link.account.error) == (AccountState.ACTIVE, "")


def test_a_car_that_is_not_ours_any_more_is_the_owners_matter(link: CloudVehicle, maker: Stub) -> None:
    before = len([r for r in maker.state.requests if r.path.endswith("/oauth2/token")])
    maker.state.disconnect(link.connection_id)
    now = timezone.now()
    polling.poll_due(now)
    assert "no access to this vehicle" in CloudVehicle.objects.get(pk=link.pk).error
    assert due(link) - now >= timedelta(hours=23)
    assert len([r for r in maker.state.requests if r.path.endswith("/oauth2/token")]) == before
