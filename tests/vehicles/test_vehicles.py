"""Vehicles and devices over the API: VINs, aliases, conflicts, lists, keys."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import pytest

from telemetry import store
from tests.conftest import Team
from tests.portal import Portal
from tests.test_tenancy import sign_in
from vehicles.models import VehicleAlias
from vehicles.services import vehicle_create

VIN = "1FADP3L97DL000018"


def test_a_vin_is_checked_decoded_and_found_in_any_case(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        made = client.post("/api/v1/vehicles", json={"name": "ST", "vin": " 1fadp3l97dl000018 "}).json()
        assert (made["vin"], made["make"], made["year"]) == (VIN, "Ford", 2013)
        for name in (VIN, VIN.lower(), str(made["id"])):
            assert client.get(f"/api/v1/vehicles/{name}").json()["id"] == made["id"]
        assert client.post("/api/v1/vehicles", json={"name": "twin", "vin": VIN}).status_code == 409
        for wrong in ("123", "1FADP3L97DL00001O", "1FADP3L97DL00001!"):
            answer = client.post("/api/v1/vehicles", json={"name": "x", "vin": wrong})
            assert answer.status_code == 400
            assert "vin" in answer.json()["errors"]


def test_a_wrong_check_digit_warns_and_never_refuses(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        american = client.post("/api/v1/vehicles", json={"name": "us", "vin": "1FADP3L91DL123456"})
        german = client.post("/api/v1/vehicles", json={"name": "de", "vin": "WVWZZZ1JZ3W386752"})
    assert american.status_code == german.status_code == 201
    assert "check digit" in american.json()["warnings"][0]
    assert german.json()["warnings"] == []


def test_aliases_groups_tags_and_archive(portal: Portal, team: Team) -> None:
    body = {"name": "a", "aliases": [f"imei-{team.organization.pk}"], "groups": ["Vans"], "tags": ["red", "old"]}
    with portal.client(team.tokens["admin"]) as client:
        made = client.post("/api/v1/vehicles", json=body).json()
        assert (made["aliases"], made["groups"], made["tags"]) == (body["aliases"], ["Vans"], ["red", "old"])
        assert client.get(f"/api/v1/vehicles/{body['aliases'][0]}").json()["id"] == made["id"]
        for query in ("group=Vans", "tag=old", "search=imei-"):
            assert client.get(f"/api/v1/vehicles?{query}").json()["count"] == 1
        assert client.post("/api/v1/vehicles", json={"name": "b", "aliases": body["aliases"]}).status_code == 409
        client.patch(f"/api/v1/vehicles/{made['id']}", json={"archived": True, "aliases": []})
        assert client.get("/api/v1/vehicles?search=a").json()["count"] == 1  # the team's own car
        assert client.get("/api/v1/vehicles?archived=true").json()["count"] == 1
        assert client.get(f"/api/v1/vehicles/{body['aliases'][0]}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, [], "x", {"name": 5.5e300}, {"name": ""}, {"name": "x" * 121}, {"name": "x", "year": 10**30},
     {"name": "x", "year": "old"}, {"name": "x", "powertrain": "steam"}, {"name": "x", "aliases": "one"},
     {"name": "x", "aliases": [{}]}, {"name": None}, {"name": "x", "vin": 5}],
)  # fmt: skip
def test_odd_bodies_are_refused_in_words(portal: Portal, team: Team, body: Any) -> None:
    with portal.client(team.tokens["admin"]) as client:
        answer = client.post("/api/v1/vehicles", json=body)
    if answer.status_code != 201:  # a number can be a name
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"]


def test_lists_are_paged(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        for index in range(5):
            client.post("/api/v1/vehicles", json={"name": f"p{index}"})
        page = client.get("/api/v1/vehicles?page_size=2&page=2&ordering=-name").json()
        assert (page["count"], len(page["results"])) == (6, 2)
        assert page["next"]
        assert page["previous"]
        for odd in ("page=0", "page=99", "page=x", "page=" + "9" * 400):
            assert client.get(f"/api/v1/vehicles?{odd}").status_code == 404
        assert len(client.get("/api/v1/vehicles?page_size=100000").json()["results"]) == 6


def test_a_deleted_vehicle_takes_its_telemetry_along(portal: Portal, team: Team) -> None:
    from telemetry import tasks

    row = {"vehicle": team.vehicle.public_id, "time": 1_767_225_600, "values": {"engine.rpm": 5}}
    with portal.client(team.key) as client:
        client.post("/api/v1/telemetry", json={"rows": [row]})
    with portal.client(team.tokens["admin"]) as client:
        assert client.delete(f"/api/v1/vehicles/{team.vehicle.public_id}").status_code == 204
    tasks.trim_rejected()
    assert store.read_latest(team.organization.pk) == {}
    span = store.Range(team.organization.pk, team.vehicle.pk, 0, 2_000_000_000_000_000)
    assert store.read_frames(span, 10) == []


def test_the_devices_page_shows_a_key_once_and_a_line_that_works(portal: Portal, team: Team) -> None:
    import html
    import re
    import subprocess

    client = sign_in(portal, team.users["admin"].email, team.password)
    client.get("/devices")
    data = {
        "name": "Shown once",
        "vehicles": [team.vehicle.public_id],
        "csrfmiddlewaretoken": client.cookies["motorpool-csrf"],
    }
    page = client.post("/devices", data=data, headers={"Referer": portal.url})
    assert page.headers["Cache-Control"] == "no-store"
    match = re.search(r'id="curl">(.*?)</code>', page.text, re.DOTALL)
    assert match
    line = html.unescape(match.group(1))
    answer = subprocess.run(["bash", "-c", line + " -s"], capture_output=True, text=True)
    assert '"readings":2' in answer.stdout, answer
    key = line.split("Bearer ")[1].split("'")[0]
    assert key not in client.get("/devices").text


def test_a4_a_number_is_whatever_the_fleet_means_by_it(portal: Portal, team: Team) -> None:
    other = vehicle_create(organization=team.organization, user=None, name="Other")
    number = str(other.pk)
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/vehicles/{team.vehicle.public_id}"
        assert client.get(f"/api/v1/vehicles/{number}").status_code == 404
        assert client.patch(path, json={"aliases": [number]}).status_code == 200
        assert client.get(f"/api/v1/vehicles/{number}").json()["name"] == team.vehicle.name
        assert client.get(f"/api/v1/vehicles/{other.public_id}").json()["name"] == "Other"
    with portal.client(team.key) as device:
        row = {"vehicle": number, "time": time.time(), "values": {"engine.rpm": 800}}
        assert device.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1
    assert list(store.read_latest(team.organization.pk)) == [team.vehicle.pk]


def test_a4_no_alias_has_the_form_of_an_id(portal: Portal, team: Team) -> None:
    other = vehicle_create(organization=team.organization, user=None, name="Other")
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/vehicles/{team.vehicle.public_id}"
        for alias in (other.public_id, team.device.public_id, "veh_" + "a" * 26):
            answer = client.patch(path, json={"aliases": [alias]})
            assert (answer.status_code, "form of an ID" in answer.json()["detail"]) == (422, True)
        assert client.patch(path, json={"aliases": ["veh_139", "veh_" + "a" * 27]}).status_code == 200


def test_a4_a_vin_that_is_anothers_alias_names_neither(portal: Portal, team: Team) -> None:
    vin = "1FADP3L97DL000018"
    other = vehicle_create(organization=team.organization, user=None, name="Other", vin=vin)
    VehicleAlias.objects.create(organization=team.organization, vehicle=team.vehicle, alias=vin)
    with portal.client(team.tokens["operator"]) as client:
        answer = client.get(f"/api/v1/vehicles/{vin}")
        assert (answer.status_code, "names two vehicles" in answer.json()["detail"]) == (409, True)
        assert client.get(f"/api/v1/vehicles/{other.public_id}").status_code == 200
    with portal.client(team.key) as device:
        row = {"vehicle": vin, "time": time.time(), "values": {"engine.rpm": 800}}
        stored = device.post("/api/v1/telemetry", json={"rows": [row]}).json()
        assert (stored["readings"], stored["rejected"][0]["code"]) == (0, "unknown_vehicle")


@pytest.mark.parametrize("name", ["\u200b\u200b", "\u2060", " \u00ad "])
def test_a5_names_that_nobody_can_see_are_refused(portal: Portal, team: Team, name: str) -> None:
    with portal.client(team.tokens["operator"]) as client:
        assert client.post("/api/v1/vehicles", json={"name": name}).status_code == 400


def test_a5_names_are_found_in_whatever_form_they_were_written(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        made = client.post("/api/v1/vehicles", json={"name": unicodedata.normalize("NFD", "Möbelwagen\u200b")})
        assert made.json()["name"] == unicodedata.normalize("NFC", "Möbelwagen")
        for form in ("NFC", "NFD"):
            words = unicodedata.normalize(form, "Möbel")
            assert client.get("/api/v1/vehicles", params={"search": words}).json()["count"] == 1


def test_a5_a_vin_that_no_car_has_is_warned_of(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        made = client.post("/api/v1/vehicles", json={"name": "Ghost", "vin": "0" * 17})
        assert made.status_code == 201
        assert made.json()["warnings"]


def test_x12_a_vehicle_has_a_hundred_attributes_at_most(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        path = f"/api/v1/vehicles/{team.vehicle.public_id}"
        assert client.patch(path, json={"attributes": {f"a{n}": n for n in range(101)}}).status_code == 400
        assert client.patch(path, json={"attributes": {"a" * 101: 1}}).status_code == 400
        assert client.patch(path, json={"attributes": {f"a{n}": n for n in range(100)}}).status_code == 200
