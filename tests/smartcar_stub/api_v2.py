"""Version 2 of the vehicle API, for owners' own tokens: flat answers, flat errors."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from tests.smartcar_stub import commands, errors
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Call, Reply, Trouble, json_reply, route
from tests.smartcar_stub.readings_v2 import READINGS, body_of
from tests.smartcar_stub.records import Connection
from tests.smartcar_stub.signals import iso
from tests.smartcar_stub.state import State
from tests.smartcar_stub.tokens import require_owner

BASE = "/api/v2.0"
DONE = {"status": "success", "message": "Successfully sent request to vehicle"}


@route("GET", f"{BASE}/user")
def user(state: State, call: Call) -> Reply:
    return _answer({"id": require_owner(state, call)})


@route("GET", f"{BASE}/vehicles")
def vehicles(state: State, call: Call) -> Reply:
    """The cars that the owner connected."""
    owner = require_owner(state, call)
    return _answer(_slice(call, "vehicles", [c.vehicle_id for c in state.connections.values() if c.user_id == owner]))


@route("GET", f"{BASE}/vehicles/{{}}")
def attributes(state: State, call: Call, vehicle_id: str) -> Reply:
    return _read(state, call, vehicle_id, "/")


@route("GET", f"{BASE}/vehicles/{{}}/permissions")
def permissions(state: State, call: Call, vehicle_id: str) -> Reply:
    _, granted = _granted(state, call, vehicle_id)
    return _answer(_slice(call, "permissions", granted.permissions))


@route("GET", f"{BASE}/vehicles/{{}}/{{*}}")
def reading(state: State, call: Call, vehicle_id: str, path: str) -> Reply:
    return _read(state, call, vehicle_id, f"/{path}")


@route("POST", f"{BASE}/vehicles/{{}}/batch")
def batch(state: State, call: Call, vehicle_id: str) -> Reply:
    """Several readings at once; those that fail have an error body, and no headers."""
    car, granted = _granted(state, call, vehicle_id)
    requests = call.object().get("requests")
    if not isinstance(requests, list) or not all(
        isinstance(r, dict) and isinstance(r.get("path"), str) for r in requests
    ):
        raise Trouble("VALIDATION", None, "requests is not a list of paths.")
    responses: list[dict[str, Any]] = []
    for path in (request["path"] for request in requests):
        try:
            content, headers = _content(call, car, granted, path)
        except Trouble as trouble:
            status = trouble.status or errors.STATUS[trouble.type]
            responses.append({"path": path, "code": status, "body": errors.flat(trouble, status)})
        else:
            responses.append({"path": path, "code": 200, "body": content, "headers": headers})
    return _answer({"responses": responses})


@route("POST", f"{BASE}/vehicles/{{}}/security")
def security(state: State, call: Call, vehicle_id: str) -> Reply:
    return _act(state, call, vehicle_id, {"LOCK": "security/lock", "UNLOCK": "security/unlock"})


@route("POST", f"{BASE}/vehicles/{{}}/charge")
def charge(state: State, call: Call, vehicle_id: str) -> Reply:
    return _act(state, call, vehicle_id, {"START": "charge/start", "STOP": "charge/stop"})


@route("POST", f"{BASE}/vehicles/{{}}/charge/limit")
def charge_limit(state: State, call: Call, vehicle_id: str) -> Reply:
    limit = call.object().get("limit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0.5 <= limit <= 1:
        raise Trouble("VALIDATION", None, "limit is not a number from 0.5 to 1.")
    return _command(state, call, vehicle_id, "charge/set-limit", {"percent": round(limit * 100)})


@route("POST", f"{BASE}/vehicles/{{}}/navigation/destination")
def destination(state: State, call: Call, vehicle_id: str) -> Reply:
    return _command(state, call, vehicle_id, "navigation/set-destination", call.object())


@route("DELETE", f"{BASE}/vehicles/{{}}/application")
def disconnect(state: State, call: Call, vehicle_id: str) -> Reply:
    _, granted = _granted(state, call, vehicle_id)
    state.disconnect(granted.id)
    return _answer({"status": "success"})


def _granted(state: State, call: Call, vehicle_id: str) -> tuple[Vehicle, Connection]:
    """The owner's connected car; raises `Trouble` for somebody else's."""
    owner = require_owner(state, call)
    if vehicle_id not in state.vehicles:
        raise Trouble("RESOURCE_NOT_FOUND", "PATH")
    granted = state.connection_of(owner, vehicle_id)
    if granted is None:
        raise Trouble("PERMISSION")
    return state.vehicles[vehicle_id], granted


def _read(state: State, call: Call, vehicle_id: str, path: str) -> Reply:
    content, headers = _content(call, *_granted(state, call, vehicle_id), path)
    reply = _answer(content)
    reply.headers.update(headers)
    return reply


def _content(call: Call, car: Vehicle, granted: Connection, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A reading's body and the headers that tell its age and units."""
    found = READINGS.get("/" if path == "/" else path.rstrip("/"))
    if found is None:
        raise Trouble("RESOURCE_NOT_FOUND", "PATH")
    unit_system = call.headers.get("sc-unit-system", "metric")
    if unit_system not in ("metric", "imperial"):
        raise Trouble("VALIDATION", None, "sc-unit-system is neither metric nor imperial.")
    content = body_of(found, car, granted.permissions, unit_system)
    signal = car.signals[found.signal]
    headers = {"sc-fetched-at": iso(signal.retrieved_at or time.time())}
    if signal.oem_updated_at:
        headers["sc-data-age"] = iso(signal.oem_updated_at)
    if found.imperial:
        headers["sc-unit-system"] = unit_system
    return content, headers


def _act(state: State, call: Call, vehicle_id: str, actions: dict[str, str]) -> Reply:
    action = call.object().get("action")
    if action not in actions:
        raise Trouble("VALIDATION", None, f"action is none of {', '.join(actions)}.")
    return _command(state, call, vehicle_id, actions[action], {})


def _command(state: State, call: Call, vehicle_id: str, name: str, parameters: dict[str, Any]) -> Reply:
    car, granted = _granted(state, call, vehicle_id)
    commands.check(granted, car, name, parameters)
    if not commands.perform(state, car, name, parameters):
        raise Trouble("UPSTREAM", "NO_RESPONSE")
    return _answer(DONE)


def _slice(call: Call, name: str, items: list[str]) -> dict[str, Any]:
    limit, offset = (call.query.get(key, default) for key, default in (("limit", "10"), ("offset", "0")))
    if not (limit.isascii() and limit.isdigit() and offset.isascii() and offset.isdigit()):
        raise Trouble("VALIDATION", None, "limit and offset are whole numbers.")
    start = int(offset[:9])
    return {name: items[start : start + int(limit[:9])], "paging": {"count": len(items), "offset": start}}


def _answer(content: Any) -> Reply:
    return json_reply(200, content, sc_request_id=str(uuid4()))
