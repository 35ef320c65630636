"""The webhook receiver: who is let in, what is kept, and what becomes of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from integrations.sources.smartcar import processing, services, signature
from integrations.sources.smartcar.models import Account, CloudVehicle, EventState, WebhookEvent
from tests.conftest import Team
from tests.integrations.conftest import SAMPLES, page_of, post, words, work_off
from tests.portal import Portal, running_portal
from tests.smartcar_stub import Stub

MANAGEMENT_TOKEN = "stub-management-token"
REMOTE = "b7c1e0de-52d4-4a3b-8d39-6f2f1d0a9c11"


def signed(body: bytes, token: str = MANAGEMENT_TOKEN) -> str:
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def deliver(
    portal: Portal, path: str, body: bytes, signature_given: str | None = None, client: httpx.Client | None = None
) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    if signature_given != "":
        headers["SC-Signature"] = signed(body) if signature_given is None else signature_given
    sender = client or httpx
    return sender.post(portal.url + path, content=body, headers=headers, timeout=20)


def link(team: Team, remote_id: str = "") -> CloudVehicle:
    now = timezone.now()
    account, _ = Account.objects.get_or_create(
        organization=team.organization, user_id="3f6d1a52-8a0e-4c57-9a53-0f6f0d1f7a01", defaults={"connected_at": now}
    )
    return CloudVehicle.objects.create(
        organization=team.organization, account=account, vehicle=team.vehicle, remote_id=remote_id or uuid.uuid4(),
        connected_at=now,
    )  # fmt: skip


def state_event(link: CloudVehicle, at: float, event_id: str = "", **bodies: Any) -> bytes:
    signals = [
        {"code": code.replace("_", "-"), "body": body, "meta": {"oemUpdatedAt": int(at * 1000)}}
        for code, body in bodies.items()
    ]
    user = str(link.account.user_id) if link.account_id else "u"
    return compact(
        {
            "eventId": event_id or str(uuid.uuid4()), "eventType": "VEHICLE_STATE",
            "data": {"user": {"id": user}, "vehicle": {"id": str(link.remote_id)}, "signals": signals},
            "meta": {"deliveredAt": int(time.time() * 1000), "mode": "LIVE"},
        }
    )  # fmt: skip


def latest(portal: Portal, team: Team) -> dict[str, Any]:
    with portal.client(team.tokens["viewer"]) as client:
        answer = client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/latest").json()
    return dict(answer["signals"])


EXPECTED: dict[str, dict[str, Any]] = {
    "v4_vehicle_state.docs-shape.json": {
        "traction_battery.soc": 78, "charge.voltage": 240, "location.latitude": 52.5208, "vehicle.odometer": 48211.7,
    },
    "v4_vehicle_state_first_delivery.docs-shape.json": {"traction_battery.soc": 78, "location.longitude": 13.4094},
    "v4_vehicle_state_signal_error.docs-shape.json": {"traction_battery.soc": 78},
    "v4_vehicle_state.captured-shape.json": {
        "charge.plugged_in": 1, "charge.state": "charging", "charge.limit": 80, "charge.power": 7.1,
        "charge.current": 16, "vehicle.odometer": 48211.7, "traction_battery.soc": 54,
    },
    "v4_vehicle_state_first_delivery.captured-shape.json": {"charge.plugged_in": 1, "charge.limit": 80},
    "v4_vehicle_state.captured-shape-2025-09.json": {"vehicle.odometer": 62041},
    "v4_vehicle_state_ice_fraction_quirk.captured-shape.json": {"fuel.level": 77, "vehicle.range": 239},
    "v4_vehicle_state_test_mode.json": {"charge.plugged_in": 1, "charge.state": "charging"},
    "v4_vehicle_state_simulated.json": {"charge.state": "charging"},
    "v2_scheduled.json": {"traction_battery.soc": 58, "location.latitude": 52.5208},
    "v2_dynamic.json": {"traction_battery.soc": 58, "location.longitude": 13.4094},
    "v2_event_based_charging_started.json": {"charge.state": "charging"},
    "v2_event_based_charging_stopped.json": {"charge.state": "stopped"},
    "v2_event_based_charging_completed.json": {"charge.state": "complete"},
}  # fmt: skip


@pytest.mark.skipif(not SAMPLES.exists(), reason="the folder of samples is not present")
@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("v*.json")) if SAMPLES.exists() else [])
def test_every_sample_is_taken(cloud_portal: Portal, fleet: Team, endpoint: Any, name: str) -> None:
    body = (SAMPLES / name).read_bytes()
    manifest = json.loads((SAMPLES / "manifest.json").read_text())
    assert signed(body, manifest["amt_used_for_signatures"]) == manifest["files"][name]["sc_signature"]
    remote_id = str(uuid.uuid4())  # one organization's car, in a body that is the sample's but for its ids
    body = body.replace(REMOTE.encode(), remote_id.encode()).replace(b"5a1e0000", uuid.uuid4().hex[:8].encode())
    connected = link(fleet, remote_id)
    path = f"/webhooks/smartcar/{endpoint.key}"
    if "verify" in name:
        services.arm(endpoint, None)
        answer = deliver(cloud_portal, path, body, "")
        asked = json.loads(body).get("data") or json.loads(body)["payload"]
        assert answer.json() == {"challenge": signed(asked["challenge"].encode())}
        return
    answer = deliver(cloud_portal, path, body)
    assert (answer.status_code, answer.json()) == (200, {})
    work_off()
    event = WebhookEvent.objects.get(organizations__contains=[fleet.organization.pk])
    assert (event.state, bytes(event.body)) == (EventState.DONE, body)
    signals = latest(cloud_portal, fleet)
    for signal, value in EXPECTED.get(name, {}).items():
        assert signals[signal]["value"] == pytest.approx(value), signal
        assert signals[signal]["source"] == "smartcar"
    connected.refresh_from_db()
    if name.startswith("v4_vehicle_error"):
        wanted = {
            "v4_vehicle_error_auth_failed.docs-shape.json": "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED",
            "v4_vehicle_error.captured-shape.json": "PERMISSION",
        }.get(name, "")
        assert connected.error_code == wanted
        broken = connected.account.state == "reconnect"
        assert broken == name.startswith("v4_vehicle_error_auth")


def test_the_published_vectors() -> None:
    vectors = (
        ("amt", b"challenge", "9baf5a7464bd86740ad5a06e439dcf535a075022ed2c92d74efacf646d79328e"),
        ("amt", b'{"pizza":"pasta"}', "4c05a8da471f05156ad717baa4017acd13a3a809850b9ca7d3301dcaaa854f70"),
    )
    for token, message, wanted in vectors:  # of Smartcar's own SDK for Node
        assert signature.sign(token, message) == wanted
        assert signature.verified(("newer", token), message, wanted.encode())
        assert not signature.verified((token,), message, wanted.upper().encode())


def test_no_flipped_bit_is_let_in(cloud_portal: Portal, fleet: Team, endpoint: Any) -> None:
    source = random.Random(7)
    body = state_event(link(fleet), time.time(), tractionbattery_stateofcharge={"value": 50, "unit": "percent"})
    genuine = signed(body).encode()
    for _ in range(10_000):
        place, bit = source.randrange(len(body)), 1 << source.randrange(8)
        flipped = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
        assert not signature.verified((MANAGEMENT_TOKEN,), flipped, genuine)
        place = source.randrange(len(genuine))
        other = genuine[:place] + bytes([genuine[place] ^ bit]) + genuine[place + 1 :]
        assert not signature.verified((MANAGEMENT_TOKEN,), body, other)
    path = f"/webhooks/smartcar/{endpoint.key}"
    before = WebhookEvent.objects.count()
    with httpx.Client() as client:
        for _ in range(300):
            place, bit = source.randrange(len(body)), 1 << source.randrange(8)
            flipped = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
            assert deliver(cloud_portal, path, flipped, genuine.decode(), client).status_code == 401
        assert deliver(cloud_portal, path, body, "0" * 64, client).status_code == 401
        assert deliver(cloud_portal, path, body, "", client).status_code == 401
        assert WebhookEvent.objects.count() == before
        assert deliver(cloud_portal, path, body, client=client).status_code == 200  # no address is blocked


def test_duplicates_at_once_are_one_event(cloud_portal: Portal, fleet: Team, endpoint: Any) -> None:
    connected = link(fleet)
    event_id = str(uuid.uuid4())
    bodies = []
    for number in range(50):  # a retry has the same event id, another delivery id, and so another signature
        body = json.loads(state_event(connected, 1_790_000_000, event_id, tractionbattery_stateofcharge={"value": 50}))
        body["meta"]["deliveryId"] = str(number)
        bodies.append(compact(body))
    with ThreadPoolExecutor(50) as pool:
        path = f"/webhooks/smartcar/{endpoint.key}"
        sent = [pool.submit(lambda body: deliver(cloud_portal, path, body).status_code, body) for body in bodies]
        while not all(each.done() for each in sent):  # a worker has its hands on the event meanwhile
            processing.process_waiting()
    assert [each.result() for each in sent] == [200] * 50
    work_off()
    event = WebhookEvent.objects.get(event_id=event_id)
    assert (event.state, event.readings) == (EventState.DONE, 1)
    assert 1 <= event.deliveries <= 50
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        summary = client.get(f"/api/v1/vehicles/{fleet.vehicle.public_id}/summary").json()
    assert summary["signals"]["traction_battery.soc"]["count"] == 1


def test_a_challenge_signs_nothing_for_a_stranger(cloud_portal: Portal, fleet: Team, endpoint: Any) -> None:
    forged = state_event(link(fleet), time.time(), closure_islocked={"value": False}).decode()
    path = f"/webhooks/smartcar/{endpoint.key}"

    def ask(challenge: Any, where: str = path) -> httpx.Response:
        body = compact({"eventType": "VERIFY", "eventId": str(uuid.uuid4()), "data": {"challenge": challenge}})
        return deliver(cloud_portal, where, body, "")

    harmless = str(uuid.uuid4())
    assert ask(harmless).status_code == 403  # not armed
    services.arm(endpoint, None)
    assert ask(harmless).json() == {"challenge": signed(harmless.encode())}
    assert ask(harmless, "/webhook").json() == {"challenge": signed(harmless.encode())}
    for challenge in (
        forged,
        '{"a":1}',
        "short",
        "x" * 257,
        ["a"],
        {"a": 1},
        None,
        12345678,
        "with space",
        'quote"quote',
    ):
        answer = ask(challenge)
        assert answer.status_code == 403
        assert signed(str(challenge).encode()) not in answer.text
    number = "12345678"  # a challenge of digits is JSON too: as a body it is refused
    stolen = ask(number).json()["challenge"]
    assert deliver(cloud_portal, path, number.encode(), stolen).status_code == 400
    endpoint.armed_until = timezone.now() - timedelta(seconds=1)
    endpoint.save()
    assert ask(harmless).status_code == 403


def test_the_way_in_is_bounded(cloud_portal: Portal, endpoint: Any) -> None:
    body = compact({"eventType": "X"})
    assert deliver(cloud_portal, "/webhooks/smartcar/unknown", body).status_code == 404
    assert httpx.get(f"{cloud_portal.url}/webhooks/smartcar/{endpoint.key}").status_code == 405
    assert deliver(cloud_portal, "/webhook", b"x" * 300_000).status_code == 413
    assert deliver(cloud_portal, "/webhook", b"not json").status_code == 400
    unknown = compact({"eventType": "VEHICLE_CONNECTION_STATUS", "eventId": str(uuid.uuid4()), "data": {"odd": [1]},
                       "meta": {"mode": "OTHER", "webhookId": "unknown"}})  # fmt: skip
    assert deliver(cloud_portal, "/webhook", unknown).status_code == 200
    work_off()
    event = WebhookEvent.objects.get(event_id=json.loads(unknown)["eventId"])
    assert (event.kind, event.state) == ("VEHICLE_CONNECTION_STATUS", EventState.IGNORED)


def test_old_times_move_nothing(cloud_portal: Portal, fleet: Team, endpoint: Any) -> None:
    connected = link(fleet)
    now = time.time()
    path = f"/webhooks/smartcar/{endpoint.key}"
    for at, charge in ((now - 60, 60), (now - 7200, 30), (now - 90 * 86_400, 10)):
        body = state_event(connected, at, tractionbattery_stateofcharge={"value": charge, "unit": "percent"})
        assert deliver(cloud_portal, path, body).status_code == 200
    work_off()
    soc = latest(cloud_portal, fleet)["traction_battery.soc"]
    assert soc["value"] == 60
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        summary = client.get(f"/api/v1/vehicles/{fleet.vehicle.public_id}/summary").json()["signals"][
            "traction_battery.soc"
        ]
    assert (summary["count"], summary["min"], summary["first"], summary["last"]) == (3, 10, 10, 60)


def test_what_the_catalog_has_no_name_for_is_kept(cloud_portal: Portal, fleet: Team, endpoint: Any) -> None:
    connected = link(fleet)
    body = state_event(connected, 1_790_000_000, novelty_gadget={"value": 3}, charge_ischarging={"value": True})
    deliver(cloud_portal, f"/webhooks/smartcar/{endpoint.key}", body)
    work_off()
    connected.refresh_from_db()
    assert connected.raw["novelty-gadget"]["body"] == {"value": 3}


def test_an_unknown_vehicle_waits_to_be_claimed(
    cloud_portal: Portal, fleet: Team, strangers: Team, endpoint: Any
) -> None:
    user = str(uuid.uuid4())
    Account.objects.create(organization=fleet.organization, user_id=user, connected_at=timezone.now())
    remote = str(uuid.uuid4())
    at = time.time() - 30
    body = json.loads(state_event(CloudVehicle(remote_id=remote), at, odometer_traveleddistance={"value": 777}))
    body["data"]["user"]["id"] = user
    body["data"]["vehicle"] |= {"make": "TESLA", "model": "Model 3", "year": 2023}
    deliver(cloud_portal, "/webhook", compact(body))
    work_off()
    assert WebhookEvent.objects.get(event_id=body["eventId"]).state == EventState.UNCLAIMED
    foreign, own = page_of(cloud_portal, strangers), page_of(cloud_portal, fleet)
    assert remote not in foreign.get("/connections").text
    assert "TESLA Model 3 2023" in own.get("/connections").text
    post(foreign, "/connections/claim", remote_id=remote, vehicle=strangers.vehicle.public_id)
    assert not CloudVehicle.objects.filter(remote_id=remote).exists()
    post(own, "/connections/claim", remote_id=remote, vehicle=strangers.vehicle.public_id)
    assert not CloudVehicle.objects.filter(remote_id=remote).exists()
    post(own, "/connections/claim", remote_id=remote, vehicle=fleet.vehicle.public_id)
    work_off()
    assert latest(cloud_portal, fleet)["vehicle.odometer"]["value"] == 777
    page = words(own.get("/connections/webhooks"))
    assert "VEHICLE_STATE" in page
    assert "processed" in page
    assert "Nothing was delivered yet" in words(foreign.get("/connections/webhooks"))


def test_a_car_that_changed_hands_tells_nobody_of_its_new_owner(
    cloud_portal: Portal, fleet: Team, endpoint: Any
) -> None:
    connected = link(fleet)
    body = json.loads(state_event(connected, time.time(), odometer_traveleddistance={"value": 3}))
    body["data"]["user"]["id"] = str(uuid.uuid4())
    deliver(cloud_portal, "/webhook", compact(body))
    work_off()
    assert latest(cloud_portal, fleet) == {}
    assert WebhookEvent.objects.get(event_id=body["eventId"]).state == EventState.UNCLAIMED


def test_of_a_delivery_of_many_the_unknown_wait(cloud_portal: Portal, fleet: Team) -> None:
    connected, unknown = link(fleet), str(uuid.uuid4())
    item = {"path": "/odometer", "code": 200, "body": {"distance": 12}, "headers": {}}
    vehicles = [{"vehicleId": v, "data": [item]} for v in (str(connected.remote_id), unknown)]
    body = {"version": "2.0", "eventName": "scheduled", "mode": "live", "payload": {"vehicles": vehicles}}
    body["webhookId"] = str(uuid.uuid4())
    deliver(cloud_portal, "/webhook", compact(body))
    work_off()
    event = WebhookEvent.objects.get(unclaimed_ids__contains=[unknown])
    assert event.state == EventState.DONE
    assert latest(cloud_portal, fleet)["vehicle.odometer"]["value"] == 12
    found = services.unclaimed_of(fleet.organization, all_of_them=True)
    assert unknown in [entry["remote_id"] for entry in found]


def test_a_delivery_can_be_replayed(cloud_portal: Portal, fleet: Team, strangers: Team, endpoint: Any) -> None:
    connected = link(fleet)
    body = state_event(connected, 1_790_000_000, odometer_traveleddistance={"value": 5})
    deliver(cloud_portal, "/webhook", body)
    work_off()
    event = WebhookEvent.objects.get(event_id=json.loads(body)["eventId"])
    processed = event.processed_at
    assert post(page_of(cloud_portal, strangers), "/connections/webhooks", event=event.public_id).status_code == 404
    assert post(page_of(cloud_portal, fleet), "/connections/webhooks", event=event.public_id).status_code == 302
    work_off()
    event.refresh_from_db()
    assert event.state == EventState.DONE
    assert event.processed_at > processed
    with cloud_portal.client(fleet.tokens["admin"]) as client:
        assert client.post(f"/api/v1/webhooks/{event.public_id}/replay").status_code == 202
        assert [e["event_id"] for e in client.get("/api/v1/webhooks").json()["results"]] == [event.event_id]
        summary = client.get(f"/api/v1/vehicles/{fleet.vehicle.public_id}/summary").json()
    assert summary["signals"]["vehicle.odometer"]["count"] == 1
    with cloud_portal.client(strangers.tokens["admin"]) as client:
        assert client.post(f"/api/v1/webhooks/{event.public_id}/replay").status_code == 404


def test_what_the_older_server_was_sent_is_taken_too(cloud_portal: Portal, fleet: Team) -> None:
    connected = link(fleet)
    remote = str(connected.remote_id)
    batch = {"type": "VehicleState", "data": {"vehicles": [
        {"vehicleId": remote, "signals": {"TractionBattery.StateOfCharge": {"value": 41, "unit": "percent"}}}]}}  # fmt: skip
    single = {"vehicleId": remote, "eventType": "Odometer.TraveledDistance", "data": {"value": 900, "unit": "km"}}
    for body in (batch, single):
        assert deliver(cloud_portal, "/webhook", compact(body)).status_code == 200
    work_off()
    signals = latest(cloud_portal, fleet)
    assert (signals["traction_battery.soc"]["value"], signals["vehicle.odometer"]["value"]) == (41, 900)
    with cloud_portal.client(fleet.tokens["viewer"]) as client:
        base = f"/api/vehicle/{remote}"
        assert client.get("/api/vehicles").json() == {"vehicles": [remote], "total_vehicles": 1, "total_entries": 2}
        assert client.get(f"{base}/battery").json()["battery"]["state_of_charge"] == {"value": 41, "unit": "percent"}
        assert client.get(f"{base}/odometer").json()["odometer"]["value"] == 900
        assert client.get(f"{base}/location").status_code == 404
        assert "error" in client.get(f"{base}/location").json()
        newest = client.get(f"{base}/latest-signals").json()
        assert newest["Charge.ChargeLimits"] is None
        assert newest["Odometer.TraveledDistance"]["data"] == {"odometer": 900}
        told = client.get(f"{base}/all").json()["data"]
        assert told["odometer-traveleddistance"][0]["data"] == {"value": 900, "unit": "km"}
    assert httpx.get(cloud_portal.url + base + "/all").status_code == 401


def test_a_wrong_delivery_holds_up_no_other(
    cloud_portal: Portal, fleet: Team, maker: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = link(fleet)
    good = state_event(connected, 1_790_000_000, odometer_traveleddistance={"value": 1})
    bad = state_event(connected, 1_790_000_100, tractionbattery_stateofcharge={"value": 9})
    for body in (bad, good):
        deliver(cloud_portal, "/webhook", body)
    genuine = processing._apply

    def breaks(row: Any, event: Any, links: Any) -> Any:
        if row.event_id == json.loads(bad)["eventId"]:
            raise RuntimeError("something unforeseen")
        return genuine(row, event, links)

    monkeypatch.setattr(processing, "_apply", breaks)
    processing.process_waiting()
    monkeypatch.undo()
    failed = WebhookEvent.objects.get(event_id=json.loads(bad)["eventId"])
    assert (failed.state, failed.attempts) == (EventState.WAITING, 1)
    assert latest(cloud_portal, fleet)["vehicle.odometer"]["value"] == 1
    WebhookEvent.objects.filter(pk=failed.pk).update(not_before=None)
    work_off()
    assert latest(cloud_portal, fleet)["traction_battery.soc"]["value"] == 9


def test_deliveries_are_kept_no_longer_than_readings(cloud_portal: Portal, fleet: Team, strangers: Team) -> None:
    events = []
    for team in (fleet, strangers):
        body = state_event(link(team), time.time(), odometer_traveleddistance={"value": 3})
        deliver(cloud_portal, "/webhook", body)
        events.append(json.loads(body)["eventId"])
    work_off()
    type(fleet.organization).objects.filter(pk=fleet.organization.pk).update(frame_days=2)
    processing.trim(datetime.now(UTC) + timedelta(days=3))
    assert [WebhookEvent.objects.filter(event_id=event).exists() for event in events] == [False, True]
    strangers.organization.delete()
    processing.trim()
    assert not WebhookEvent.objects.filter(event_id=events[1]).exists()


def test_strangers_cannot_make_it_work_hard(maker: Stub, tmp_path: Path) -> None:
    with running_portal(tmp_path, **maker.settings()) as portal:  # its own: what it counts is nobody else's
        _ask_often(portal)


def _ask_often(cloud_portal: Portal) -> None:
    large = compact({"eventType": "VERIFY", "data": {"challenge": str(uuid.uuid4())}, "padding": "x" * 3_000})
    assert deliver(cloud_portal, "/webhook", large, "").status_code == 401
    ask = compact({"eventType": "VERIFY", "data": {"challenge": str(uuid.uuid4())}})
    with httpx.Client() as client:
        codes = [deliver(cloud_portal, "/webhook", ask, "", client).status_code for _ in range(70)]
    assert set(codes) == {403, 429}
