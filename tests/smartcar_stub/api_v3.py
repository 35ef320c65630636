"""Version 3 of the vehicle API: connections, users, vehicles, signals and commands."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from tests.smartcar_stub import commands, errors, signals
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Call, Reply, Trouble, compact, json_reply, route
from tests.smartcar_stub.paging import page
from tests.smartcar_stub.records import Connection
from tests.smartcar_stub.state import State
from tests.smartcar_stub.tokens import require_application

BASE = "/vehicle/v3"


@route("GET", f"{BASE}/connections")
def connections(state: State, call: Call) -> Reply:
    """The connections, newest first; only live ones where the caller does not say."""
    require_application(state, call)
    query = call.query
    mode = query.get("filter[vehicle.mode]", "live")
    user = query.get("filter[userId]") or call.headers.get("sc-user-id")
    wanted = [
        _connection(state, connection)
        for connection in sorted(state.connections.values(), key=lambda c: c.created_at, reverse=True)
        if connection.mode == mode
        and user in (None, connection.user_id)
        and query.get("filter[vehicleId]") in (None, connection.vehicle_id)
        and query.get("filter[user.externalId]") in (None, connection.external_id)
    ]
    url = f"{state.url}{BASE}/connections"
    return _answer(page(call, url, wanted, 10, {"filter[vehicle.mode]": mode}))


@route("GET", f"{BASE}/connections/{{}}")
def connection(state: State, call: Call, connection_id: str) -> Reply:
    require_application(state, call)
    if connection_id not in state.connections:
        raise Trouble("RESOURCE_NOT_FOUND")
    return _answer({"data": _connection(state, state.connections[connection_id])})


@route("DELETE", f"{BASE}/connections/{{}}")
def delete_connection(state: State, call: Call, connection_id: str) -> Reply:
    """The second time there is nothing to end."""
    require_application(state, call)
    if not state.disconnect(connection_id):
        raise Trouble("RESOURCE_NOT_FOUND")
    return Reply(204)


@route("DELETE", f"{BASE}/users/{{}}")
def delete_user(state: State, call: Call, user_id: str) -> Reply:
    """Ends all of an owner's connections."""
    require_application(state, call)
    if all(account.user_id != user_id for account in state.accounts.values()):
        raise Trouble("RESOURCE_NOT_FOUND")
    for ended in [c.id for c in state.connections.values() if c.user_id == user_id]:
        state.disconnect(ended)
    return Reply(204)


@route("GET", f"{BASE}/vehicles/{{}}")
def vehicle(state: State, call: Call, vehicle_id: str) -> Reply:
    """Needs no user, as documented; but somebody must have connected the car."""
    require_application(state, call)
    granted = state.connection_to(vehicle_id)
    if granted is None:
        raise Trouble("RESOURCE_NOT_FOUND")
    return _answer({"data": _vehicle(state, state.vehicles[vehicle_id], granted)})


@route("GET", f"{BASE}/vehicles/{{}}/signals")
def all_signals(state: State, call: Call, vehicle_id: str) -> Reply:
    car, granted = _granted(state, call, vehicle_id)
    data = [_signal(state, car, granted, code) for code in car.signals]
    return _answer(
        {
            "data": data,
            "meta": {"totalCount": len(data), "pageSize": len(data), "pageNumber": 1},
            "links": {"self": f"{_vehicle_url(state, car)}/signals"},
            "included": {"vehicle": _vehicle(state, car, granted)},
        }
    )


@route("GET", f"{BASE}/vehicles/{{}}/signals/{{}}")
def one_signal(state: State, call: Call, vehicle_id: str, code: str) -> Reply:
    car, granted = _granted(state, call, vehicle_id)
    if code not in car.signals:
        raise Trouble("RESOURCE_NOT_FOUND")
    data = _signal(state, car, granted, code)
    return _answer(
        {"data": data, "included": {"vehicle": _vehicle(state, car, granted)}, "links": {"self": data["links"]["self"]}}
    )


@route("POST", f"{BASE}/vehicles/{{}}/commands/{{*}}")
def command(state: State, call: Call, vehicle_id: str, name: str) -> Reply:
    """Done at once; or, as the knob says, answered 202 first and finished on the same connection later."""
    car, granted = _granted(state, call, vehicle_id)
    parameters = _parameters(call)
    commands.check(granted, car, name, parameters)
    started = time.time()
    if state.command_mode == "sync":
        done = commands.perform(state, car, name, parameters)
        return _answer(_execution(name, parameters, started, done, "sync"))

    def finish() -> bytes:
        state.stopping.wait(state.command_delay)
        with state.lock:
            done = commands.perform(state, car, name, parameters)
        return compact(_execution(name, parameters, started, done, "async"))

    headers = {"Content-Type": "application/json", "sc-request-id": str(uuid4())}
    return Reply(202, headers=headers, late=finish, close=state.command_mode == "late-close")


def _answer(content: dict[str, Any]) -> Reply:
    return json_reply(200, content, sc_request_id=str(uuid4()))


def _granted(state: State, call: Call, vehicle_id: str) -> tuple[Vehicle, Connection]:
    """The car of the owner whom ``sc-user-id`` names; raises `Trouble` where the header is missing or foreign."""
    require_application(state, call)
    user_id = call.headers.get("sc-user-id", "")
    if not user_id:
        raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", "The header sc-user-id is missing.")
    found = state.connection_of(user_id, vehicle_id)
    if found is None:
        raise Trouble("AUTHENTICATION", "ACCESS_DENIED", status=403)
    return state.vehicles[vehicle_id], found


def _parameters(call: Call) -> dict[str, Any]:
    """``data.attributes`` of the body; most commands have no body."""
    if not call.body.strip():
        return {}
    data = call.object().get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def _execution(name: str, parameters: dict[str, Any], started: float, done: bool, mode: str) -> dict[str, Any]:
    now = time.time()
    status: dict[str, Any] = {"value": "SUCCESS"}
    if not done:
        sentence = errors.sentence("UPSTREAM", "NO_RESPONSE")
        error = {"type": "UPSTREAM", "code": "NO_RESPONSE", "title": "No Response", "detail": sentence}
        status = {"value": "FAILED", "error": error}
    attributes: dict[str, Any] = {"commandType": name.replace("/", "-"), "status": status, "executionMode": mode}
    if parameters:
        attributes["parameters"] = parameters
    return {
        "data": {
            "id": f"exec_{uuid4().int % 10**10:010}",
            "type": "command-execution",
            "attributes": attributes,
            "meta": {
                "executedAt": signals.iso(started),
                "completedAt": signals.iso(now),
                "durationInSeconds": round(now - started),
            },
        }
    }


def _signal(state: State, car: Vehicle, granted: Connection, code: str) -> dict[str, Any]:
    signal = signals.as_granted(code, car.signals[code], granted.permissions)
    return signals.resource(code, signal, _vehicle_url(state, car), state.time_format)


def _vehicle_url(state: State, car: Vehicle) -> str:
    return f"{state.url}{BASE}/vehicles/{car.id}"


def _attributes(car: Vehicle, granted: Connection) -> dict[str, Any]:
    return {
        "make": car.make,
        "model": car.model,
        "year": car.year,
        "powertrainType": car.powertrain_type,
        "mode": granted.mode,
    }


def _vehicle(state: State, car: Vehicle, granted: Connection) -> dict[str, Any]:
    return {
        "id": car.id,
        "type": "vehicle",
        "attributes": _attributes(car, granted),
        "links": {"self": _vehicle_url(state, car)},
    }


def _connection(state: State, granted: Connection) -> dict[str, Any]:
    car = state.vehicles[granted.vehicle_id]
    user: dict[str, Any] = {"id": granted.user_id}
    if granted.external_id is not None:
        user["externalId"] = granted.external_id
    return {
        "id": granted.id,
        "type": "connection",
        "attributes": {"permissions": granted.permissions, "vehicle": _attributes(car, granted), "user": user},
        "relationships": {
            "vehicle": {
                "data": {"id": car.id, "type": "vehicle"},
                "links": {"related": _vehicle_url(state, car)},
            },
            "user": {"data": {"id": granted.user_id, "type": "user"}},
        },
        "meta": {"createdAt": signals.iso(granted.created_at), "updatedAt": signals.iso(granted.updated_at)},
        "links": {"self": f"{state.url}{BASE}/connections/{granted.id}"},
    }
