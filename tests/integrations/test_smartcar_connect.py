"""Connect a car: to the maker's sign-in and back, in both generations, and all the ways in which it fails."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from integrations.sources.smartcar import connecting, tokens
from integrations.sources.smartcar.models import Account, AccountState, CloudVehicle, Generation
from integrations.sources.smartcar.polling import poll_due
from tests.conftest import Team
from tests.integrations.conftest import leads_to, page_of, post, words
from tests.portal import Portal
from tests.smartcar_stub import Fault, Stub, many_cars
from vehicles.services import vehicle_create


@pytest.fixture
def owner(maker: Stub) -> str:
    """An owner of three cars whom no other test connects."""
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    maker.state.add_vehicles(email, many_cars(3))
    return email


def allow(maker: Stub, address: str, owner: str, cars: list[str] | None = None, outcome: str = "allow") -> str:
    """Press the button on the maker's page; returns where it leads back to."""
    assert address.startswith(maker.url)
    with httpx.Client() as browser:
        assert browser.get(address).status_code == 200
        chosen = cars or maker.state.accounts[owner].vehicle_ids
        form = {"account": owner, "vehicle": chosen, "outcome": outcome}
        return leads_to(browser.post(address, data=form))


def begin(browser: httpx.Client, **form: str) -> str:
    return leads_to(post(browser, "/connections/start", **form))


def links(team: Team) -> list[CloudVehicle]:
    return list(CloudVehicle.objects.filter(organization=team.organization, disconnected_at=None).order_by("pk"))


def test_all_cars_of_an_account_are_connected(cloud_portal: Portal, fleet: Team, maker: Stub, owner: str) -> None:
    browser = page_of(cloud_portal, fleet, "operator")
    address = begin(browser, make="TESLA", mode="simulated")
    asked = parse_qs(urlsplit(address).query)
    assert asked["make"] == ["TESLA"]
    assert asked["response_type"] == ["none"]
    assert asked["client_id"] == [maker.state.application.application_id]
    answer = browser.get(allow(maker, address, owner), follow_redirects=True)
    assert "Connected:" in words(answer)
    cars = maker.state.cars_of(owner)
    found = links(fleet)
    assert sorted(str(link.remote_id) for link in found) == sorted(car.id for car in cars)
    assert {link.vehicle.vin for link in found} == {car.vin for car in cars}
    assert {str(link.account.user_id) for link in found} == {maker.state.accounts[owner].user_id}
    assert all("read_location" in link.permissions for link in found)
    poll_due()
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        signals = client.get(f"/api/v1/vehicles/{found[0].vehicle.public_id}/latest").json()["signals"]
        assert {"location.latitude", "vehicle.odometer"} <= signals.keys()
        listed = client.get("/api/v1/connections").json()["results"]
        assert [entry["state"] for entry in listed] == ["connected"] * 3
        assert client.post("/api/v1/connections", json={}).status_code == 403
    assert "Connected" in words(browser.get("/connections"))
    assert "Maker's cloud" in words(browser.get(f"/vehicles/{found[0].vehicle.public_id}")).replace("&#x27;", "'")


def test_known_vehicles_are_joined_by_their_vin(cloud_portal: Portal, fleet: Team, maker: Stub, owner: str) -> None:
    car = maker.state.cars_of(owner)[0]
    known = vehicle_create(organization=fleet.organization, user=None, name="Already here", vin=car.vin)
    browser = page_of(cloud_portal, fleet)
    for _ in range(2):  # again changes nothing
        browser.get(allow(maker, begin(browser), owner), follow_redirects=True)
    found = links(fleet)
    assert len(found) == 3
    assert [link.vehicle_id for link in found if str(link.remote_id) == car.id] == [known.pk]
    assert fleet.organization.vehicles.count() == 1 + 3  # the cast's own car, and these
    known.refresh_from_db()
    assert (known.name, known.model) == ("Already here", car.model)


def test_two_organizations_may_know_the_same_car(
    cloud_portal: Portal, fleet: Team, strangers: Team, maker: Stub, owner: str
) -> None:
    first, second = page_of(cloud_portal, fleet), page_of(cloud_portal, strangers)
    first.get(allow(maker, begin(first), owner), follow_redirects=True)
    second.get(allow(maker, begin(second), owner), follow_redirects=True)
    assert len(links(fleet)) == len(links(strangers)) == 3
    page = words(second.get("/connections"))
    own = links(fleet)[0].vehicle
    assert f"/vehicles/{own.public_id}" not in page
    assert post(second, f"/connections/{links(fleet)[0].public_id}", action="sync").status_code == 404


def test_a_user_id_that_somebody_else_connected_is_refused(
    cloud_portal: Portal, fleet: Team, strangers: Team, maker: Stub, owner: str
) -> None:
    theirs = page_of(cloud_portal, strangers)
    theirs.get(allow(maker, begin(theirs), owner), follow_redirects=True)
    victim = maker.state.accounts[owner].user_id
    mine = page_of(cloud_portal, fleet)
    state = parse_qs(urlsplit(begin(mine)).query)["state"][0]
    back = "/connections/smartcar/return"
    answer = mine.get(back, params={"state": state, "user_id": victim}, follow_redirects=True)
    assert "does not confirm" in words(answer)
    for user_id in ("", "not-an-id", str(uuid.uuid4())):
        state = parse_qs(urlsplit(begin(mine)).query)["state"][0]
        mine.get(back, params={"state": state, "user_id": user_id}, follow_redirects=True)
    assert links(fleet) == []
    assert not Account.objects.filter(organization=fleet.organization).exists()


def test_a_way_back_is_good_once_and_for_its_own_person(
    cloud_portal: Portal, fleet: Team, strangers: Team, maker: Stub, owner: str
) -> None:
    browser, other = page_of(cloud_portal, fleet), page_of(cloud_portal, strangers)
    back = allow(maker, begin(browser), owner)
    assert "somebody else" in words(other.get(back, follow_redirects=True))
    assert "Connected" in words(browser.get(back, follow_redirects=True))
    assert "used already" in words(browser.get(back, follow_redirects=True))
    forged = back.replace("state=", "state=x")
    assert "not ours" in words(browser.get(forged, follow_redirects=True))
    assert links(strangers) == []
    assert browser.post("/connections/start", data={}).status_code == 403  # no token of the form
    assert page_of(cloud_portal, fleet, "viewer").get(back).status_code == 403


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ("access_denied", "nothing is connected"),
        ("vehicle_incompatible", "cannot be connected through Smartcar: 20"),
        ("invalid_subscription", "connected services are not active"),
        ("no_vehicles", "no vehicle in this account"),
        ("configuration_error", "not set up rightly"),
        ("server_error", "Try again in a few minutes"),
    ],
)
def test_every_refusal_is_told_in_words(
    cloud_portal: Portal, fleet: Team, maker: Stub, owner: str, error: str, wanted: str
) -> None:
    browser = page_of(cloud_portal, fleet)
    answer = browser.get(allow(maker, begin(browser), owner, outcome=error), follow_redirects=True)
    assert wanted in words(answer)
    assert links(fleet) == []


def test_an_unknown_refusal_is_told_too(cloud_portal: Portal, fleet: Team) -> None:
    browser = page_of(cloud_portal, fleet)
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    parameters = {"state": state, "error": "novel_error", "error_description": "<script>x</script>"}
    answer = browser.get("/connections/smartcar/return", params=parameters, follow_redirects=True)
    assert "Try again, or another account" in words(answer)
    assert "<script>x" not in answer.text


def test_one_car_by_its_vin(cloud_portal: Portal, fleet: Team, maker: Stub, owner: str) -> None:
    car = maker.state.cars_of(owner)[1]
    browser = page_of(cloud_portal, fleet)
    address = begin(browser, vin=car.vin.lower())
    assert parse_qs(urlsplit(address).query)["single_select_vin"] == [car.vin]
    browser.get(allow(maker, address, owner, [car.id]), follow_redirects=True)
    assert [str(link.remote_id) for link in links(fleet)] == [car.id]


def version_2(fleet: Team, maker: Stub, owner: str) -> Account:
    """Connect through the old generation, as accounts of its days were."""
    user = fleet.users["admin"]
    address = connecting.begin(organization=fleet.organization, user=user, generation=Generation.V2)
    query = {name: values[0] for name, values in parse_qs(urlsplit(allow(maker, address, owner)).query).items()}
    connecting.finish(connecting.session_of(query["state"], user), query)
    return Account.objects.get(organization=fleet.organization, user_id=maker.state.accounts[owner].user_id)


def test_the_old_generation_exchanges_its_code(cloud_portal: Portal, fleet: Team, maker: Stub, owner: str) -> None:
    account = version_2(fleet, maker, owner)
    assert (account.generation, account.state) == (Generation.V2, AccountState.ACTIVE)
    assert len(links(fleet)) == 3
    assert account.access_token.startswith("v1:")
    assert tokens.account_token(account) in maker.state.access_tokens
    poll_due()
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        signals = client.get(f"/api/v1/vehicles/{links(fleet)[0].vehicle.public_id}/latest").json()["signals"]
    assert {"location.latitude", "vehicle.odometer"} <= signals.keys()


@pytest.mark.parametrize("generation", ["v3", "v2"])
def test_disconnecting_ends_access_and_forgets_tokens(
    cloud_portal: Portal, fleet: Team, maker: Stub, owner: str, generation: str
) -> None:
    browser = page_of(cloud_portal, fleet)
    if generation == "v2":
        version_2(fleet, maker, owner)
    else:
        browser.get(allow(maker, begin(browser), owner), follow_redirects=True)
    user_id = maker.state.accounts[owner].user_id
    operator = page_of(cloud_portal, fleet, "operator")
    found = links(fleet)
    assert post(operator, f"/connections/{found[0].public_id}", action="disconnect").status_code == 403
    for link in found:
        answer = post(browser, f"/connections/{link.public_id}", action="disconnect")
        assert leads_to(answer) == "/connections"
        assert maker.state.connection_of(user_id, str(link.remote_id)) is None
    assert links(fleet) == []
    account = Account.objects.get(organization=fleet.organization)
    assert (account.state, account.access_token, account.refresh_token) == (AccountState.DISCONNECTED, "", "")
    assert fleet.organization.vehicles.count() == 4  # the vehicles stay


def test_a_broken_sign_in_is_mended_by_signing_in_again(
    cloud_portal: Portal, fleet: Team, maker: Stub, owner: str, mailoutbox: list[Any]
) -> None:
    from integrations.sources.smartcar import tasks, troubles

    browser = page_of(cloud_portal, fleet)
    browser.get(allow(maker, begin(browser), owner), follow_redirects=True)
    link = links(fleet)[0]
    troubles.reconnect_needed(link.account, "The maker does not accept the owner's sign-in any more.")
    tasks.tell_reconnect()
    tasks.tell_reconnect()
    (mail,) = mailoutbox
    assert mail.to == [fleet.users["admin"].email]
    assert "/connections" in mail.body
    page = browser.get("/connections")
    assert "Reconnect needed" in words(page)
    address = leads_to(post(browser, f"/connections/{link.public_id}", action="reconnect"))
    assert "/oauth/reauthenticate" in address
    with httpx.Client() as person:
        back = leads_to(person.post(address, data={"outcome": "allow"}))
    browser.get(back, follow_redirects=True)
    link.account.refresh_from_db()
    assert link.account.state == AccountState.ACTIVE


def test_a_car_that_does_not_tell_its_vin_is_connected_all_the_same(
    cloud_portal: Portal, fleet: Team, maker: Stub, owner: str
) -> None:
    browser = page_of(cloud_portal, fleet)
    back = allow(maker, begin(browser), owner)
    maker.state.faults += [Fault("vehicleidentification-vin", status) for status in (500, 429, "malformed")]
    assert "Connected:" in words(browser.get(back, follow_redirects=True))
    found = links(fleet)
    assert len(found) == 3
    assert [link.vehicle.vin for link in found] == [None] * 3


def test_what_smartcar_refuses_to_end_is_not_called_ended(
    cloud_portal: Portal, fleet: Team, maker: Stub, owner: str
) -> None:
    browser = page_of(cloud_portal, fleet)
    browser.get(allow(maker, begin(browser), owner), follow_redirects=True)
    link = links(fleet)[0]
    for status in (403, 500, 430):
        maker.state.faults.append(Fault("/connections/", status))
        answer = post(browser, f"/connections/{link.public_id}", action="disconnect")
        assert "was not ended" in words(browser.get(leads_to(answer)))
        assert link.pk in [kept.pk for kept in links(fleet)]
    CloudVehicle.objects.filter(pk=link.pk).update(connection_id="")  # of a claimed vehicle it is not known
    post(browser, f"/connections/{link.public_id}", action="disconnect")
    assert link.pk not in [kept.pk for kept in links(fleet)]
    assert maker.state.connection_of(maker.state.accounts[owner].user_id, str(link.remote_id)) is None


def test_one_organizations_goodbye_is_not_the_others(
    cloud_portal: Portal, fleet: Team, strangers: Team, maker: Stub, owner: str
) -> None:
    first, second = page_of(cloud_portal, fleet), page_of(cloud_portal, strangers)
    for browser in (first, second):
        browser.get(allow(maker, begin(browser), owner), follow_redirects=True)
    link = links(fleet)[0]
    user_id, remote_id = maker.state.accounts[owner].user_id, str(link.remote_id)
    post(first, f"/connections/{link.public_id}", action="disconnect")
    assert len(links(fleet)) == 2
    assert maker.state.connection_of(user_id, remote_id) is not None
    theirs = next(other for other in links(strangers) if str(other.remote_id) == remote_id)
    post(second, f"/connections/{theirs.public_id}", action="disconnect")
    assert maker.state.connection_of(user_id, remote_id) is None
