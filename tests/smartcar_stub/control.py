"""The control page: what people do to the simulated cars by hand, each change sent by webhook at once."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlsplit

from tests.smartcar_stub import pages, simulation
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Call, Reply, Trouble, json_reply, route
from tests.smartcar_stub.state import State

ON, OFF = ("on", "true", "1", "yes"), ("off", "false", "0", "no")
FARTHEST_KM = 1_000.0


@route("GET", "/")
def overview(state: State, call: Call) -> Reply:
    """All cars."""
    silent = button = ""
    if state.silent:
        silent, button = "No webhooks are sent.", pages.button("/control/silent", {"silent": "off"}, "Send webhooks")
    else:
        button = pages.button("/control/silent", {"silent": "on"}, "Send no webhooks")
    cars = "".join(
        _car(state, state.vehicles[vehicle_id], account.email)
        for account in state.accounts.values()
        for vehicle_id in account.vehicle_ids
    )
    note = '<p class="note">These cars are invented. What you change here, a connected portal learns by webhook.</p>'
    return pages.page("A simulated maker's cloud", f"{note}<p>{silent} {button}</p>{cars}")


@route("POST", "/control/vehicles/{}")
def change(state: State, call: Call, vehicle_id: str) -> Reply:
    """Sets ``soc`` (percent; of the tank where there is no battery), ``charging``, ``locked`` (on or off), or drives
    ``drive_km``; any of them, as a form or as JSON."""
    _require_same_origin(call)
    car = state.vehicles.get(vehicle_id)
    if car is None:
        return pages.page("404: No such car", "", 404)
    try:
        _apply(state, car, call.fields())
    except (ValueError, Trouble) as error:
        return pages.bad_request(str(error))
    state.announce(vehicle_id)
    return json_reply(200, summary(state, car)) if call.is_json else pages.redirect("/", 303)


@route("POST", "/control/silent")
def silence(state: State, call: Call) -> Reply:
    """Stops all webhooks, or lets them go again."""
    _require_same_origin(call)
    try:
        state.silent = _switch(call.fields(), "silent") is True
    except (ValueError, Trouble) as error:
        return pages.bad_request(str(error))
    return json_reply(200, {"silent": state.silent}) if call.is_json else pages.redirect("/", 303)


def summary(state: State, car: Vehicle) -> dict[str, Any]:
    """What the page shows of a car."""
    return {
        "id": car.id,
        "vin": car.vin,
        "name": f"{car.make} {car.model} {car.year}",
        "soc": car.value(simulation.SOC),
        "fuel": car.value(simulation.FUEL),
        "odometer": car.value("odometer-traveleddistance"),
        "charging": car.is_charging,
        "locked": bool(car.value("closure-islocked")),
        "connected": state.connection_to(car.id) is not None,
    }


def _apply(state: State, car: Vehicle, fields: dict[str, str]) -> None:
    """All of the fields, or, where one is wrong, none: raises ValueError with words for people."""
    soc, km = _number(fields, "soc", 0, 100), _number(fields, "drive_km", 0, FARTHEST_KM)
    charging, locked = _switch(fields, "charging"), _switch(fields, "locked")
    if charging is not None and not car.electric_range_km:
        raise ValueError("This car has no battery to charge")
    if soc is not None:
        set_level = simulation.set_soc if car.electric_range_km else simulation.set_fuel
        set_level(state, car, soc)
    if charging is not None:
        simulation.set_charging(state, car, charging)
    if locked is not None:
        simulation.set_locked(state, car, locked)
    if km:
        simulation.drive(state, car, km)


def _number(fields: dict[str, str], name: str, least: float, most: float) -> float | None:
    if fields.get(name, "") == "":
        return None
    try:
        value = float(fields[name])
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise ValueError(f"{name} is not a number from {least:g} to {most:g}")
    return value


def _switch(fields: dict[str, str], name: str) -> bool | None:
    text = fields.get(name, "").lower()
    if text not in (*ON, *OFF, ""):
        raise ValueError(f"{name} is neither on nor off")
    return None if text == "" else text in ON


def _require_same_origin(call: Call) -> None:
    """Another web page, open in the same browser, cannot move the cars; raises `Trouble`."""
    origin = call.headers.get("Origin")
    if origin and urlsplit(origin).netloc != call.headers.get("Host"):
        raise Trouble("PERMISSION", None, "Only this page's own forms are taken.")


def _car(state: State, car: Vehicle, owner: str) -> str:
    now = summary(state, car)
    action = f"/control/vehicles/{car.id}"
    facts = [f"VIN {car.vin}, owner {owner}"]
    if now["soc"] is not None:
        charge = "charging" if car.is_charging else "plugged in" if car.is_plugged else "not plugged in"
        facts.append(f"Battery {now['soc']:g} %, {charge}")
    if now["fuel"] is not None:
        facts.append(f"Fuel {now['fuel']:g} %")
    facts.append(f"Odometer {now['odometer']:.1f} km, {'driving' if car.is_in_motion else 'parked'}")
    facts.append("Locked" if now["locked"] else "Unlocked")
    facts.append("Connected" if now["connected"] else "Not connected")
    level, label = ("soc", "State of charge, %") if car.electric_range_km else ("fuel", "Fuel, %")
    forms = pages.number(action, "soc", label, f"{now[level] or 0:g}", 0, 100, "Set", car.vin)
    if car.electric_range_km:
        word = ("off", "Stop charging") if car.is_charging else ("on", "Start charging")
        forms += pages.button(action, {"charging": word[0]}, word[1])
    word = ("off", "Unlock") if now["locked"] else ("on", "Lock")
    forms += pages.button(action, {"locked": word[0]}, word[1])
    forms += pages.number(action, "drive_km", "Drive, km", "1", 0, FARTHEST_KM, "Drive", car.vin)
    return f"<article><h2>{escape(now['name'])}</h2>{pages.items(facts)}{forms}</article>"


@route("GET", "/favicon.ico")
def icon(state: State, call: Call) -> Reply:
    """None; but a browser asks."""
    return Reply(204)
