"""Version 3 of the management API: the webhook and the cars that are subscribed to it."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from tests.smartcar_stub.messages import Call, Reply, Trouble, json_reply, route
from tests.smartcar_stub.paging import page
from tests.smartcar_stub.records import Subscription
from tests.smartcar_stub.state import State
from tests.smartcar_stub.tokens import require_application

BASE = "/management/v3"


@route("GET", f"{BASE}/webhooks")
def webhooks(state: State, call: Call) -> Reply:
    require_application(state, call)
    return json_reply(200, page(call, f"{state.url}{BASE}/webhooks", [_webhook(state)], 25, {}))


@route("GET", f"{BASE}/webhooks/{{}}")
def webhook(state: State, call: Call, webhook_id: str) -> Reply:
    require_application(state, call)
    if webhook_id != state.application.webhook_id:
        raise Trouble("RESOURCE_NOT_FOUND")
    return json_reply(200, {"data": _webhook(state)})


@route("GET", f"{BASE}/subscriptions")
def subscriptions(state: State, call: Call) -> Reply:
    """Those that already show; a new one takes a moment."""
    require_application(state, call)
    query = call.query
    shown = [
        _subscription(state, s)
        for s in reversed(state.subscriptions.values())
        if s.visible_at <= time.time()
        and query.get("filter[userId]") in (None, s.user_id)
        and query.get("filter[vehicleId]") in (None, s.vehicle_id)
        and query.get("filter[webhookId]") in (None, s.webhook_id)
        and query.get("filter[vehicle.mode]") in (None, _mode(state, s))
    ]
    return json_reply(200, page(call, f"{state.url}{BASE}/subscriptions", shown, 25, {}))


@route("POST", f"{BASE}/subscriptions")
def subscribe(state: State, call: Call) -> Reply:
    """Accepted, and visible a moment later; refused where it exists already."""
    require_application(state, call)
    data = call.object().get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    names = ("webhookId", "userId", "vehicleId")
    if not isinstance(attributes, dict) or any(not isinstance(attributes.get(name), str) for name in names):
        raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", "webhookId, userId and vehicleId are required.")
    webhook_id, user_id, vehicle_id = (attributes[name] for name in names)
    if webhook_id != state.application.webhook_id or state.connection_of(user_id, vehicle_id) is None:
        raise Trouble("RESOURCE_NOT_FOUND")
    if any((s.user_id, s.vehicle_id) == (user_id, vehicle_id) for s in state.subscriptions.values()):
        raise Trouble("VALIDATION", "CONFLICT", "The vehicle is subscribed already.", status=409)
    made = Subscription(webhook_id, user_id, vehicle_id, time.time() + state.subscription_seconds)
    state.subscriptions[made.id] = made
    content = {"meta": {"message": "subscription creation in progress"}}
    return json_reply(202, content, sc_request_id=str(uuid4()))


@route("GET", f"{BASE}/subscriptions/{{}}")
def subscription(state: State, call: Call, subscription_id: str) -> Reply:
    require_application(state, call)
    found = state.subscriptions.get(subscription_id)
    if found is None or found.visible_at > time.time():
        raise Trouble("RESOURCE_NOT_FOUND")
    return json_reply(200, {"data": _subscription(state, found)})


@route("DELETE", f"{BASE}/subscriptions/{{}}")
def unsubscribe(state: State, call: Call, subscription_id: str) -> Reply:
    require_application(state, call)
    if state.subscriptions.pop(subscription_id, None) is None:
        raise Trouble("RESOURCE_NOT_FOUND")
    return Reply(204)


def _mode(state: State, subscribed: Subscription) -> str:
    granted = state.connection_of(subscribed.user_id, subscribed.vehicle_id)
    return granted.mode if granted else "live"


def _webhook(state: State) -> dict[str, Any]:
    application = state.application
    attributes = {"name": "Fleet telemetry", "callbackUri": application.webhook_url, "enabled": not state.silent}
    return {"id": application.webhook_id, "type": "webhook", "attributes": attributes}


def _subscription(state: State, subscribed: Subscription) -> dict[str, Any]:
    return {
        "id": subscribed.id,
        "type": "subscription",
        "attributes": {
            "webhookId": subscribed.webhook_id,
            "userId": subscribed.user_id,
            "vehicleId": subscribed.vehicle_id,
            "vehicle": {"mode": _mode(state, subscribed)},
        },
        "links": {"self": f"{state.url}{BASE}/subscriptions/{subscribed.id}"},
    }
