"""Connect: where an owner signs in, chooses cars, and allows the application to see them, or lets it fail."""

from __future__ import annotations

import time
from html import escape
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from tests.smartcar_stub import pages
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import Call, Reply, Trouble, route
from tests.smartcar_stub.records import Account, Code
from tests.smartcar_stub.state import PERMISSIONS, State

CODE_SECONDS = 600.0
DESCRIPTIONS = {
    "access_denied": "User denied access to application.",
    "vehicle_incompatible": "The user's vehicle is not compatible.",
    "invalid_subscription": "User's subscription to the maker's services is inactive.",
    "no_vehicles": "No vehicles are in the user's account.",
    "configuration_error": "The user left through an error page.",
    "server_error": "Unexpected server error.",
}


@route("GET", "/oauth/authorize")
def authorize(state: State, call: Call) -> Reply:
    """The form. An application that is not known, or an address that is not its own, is told only to the person."""
    problem = _problem(state, call)
    if problem:
        return pages.bad_request(problem)
    query = call.query
    mode = query.get("mode", "live")
    content = (
        f'<p class="note">This stands in for the maker\'s own sign-in. Mode: {escape(mode)}.</p>'
        f'<form class="wide" method="post" action="/oauth/authorize?{escape(call.query_string)}">'
        + _accounts(state, query)
        + pages.fieldset("The application asks for", pages.items(_permissions(query)))
        + pages.outcomes()
        + "</form>"
    )
    return pages.page("Connect your car", content)


@route("POST", "/oauth/authorize")
def authorized(state: State, call: Call) -> Reply:
    """Makes the connections and goes back to the application."""
    problem = _problem(state, call)
    if problem:
        return pages.bad_request(problem)
    query, form = call.query, call.form()
    account = state.accounts.get(form.get("account", [""])[-1])
    own = account.vehicle_ids if account else []
    chosen = [v for v in dict.fromkeys(form.get("vehicle", [])) if v in own]
    outcome = form.get("outcome", [""])[-1]
    if outcome != "allow":
        return _failed(state, query, outcome, state.vehicles[(chosen or own or list(state.vehicles))[0]])
    if account is None or not chosen or (_single(query) and len(chosen) > 1):
        return pages.bad_request("Choose cars of the chosen account: one, where only one is asked for")
    made = state.connect(
        account.email, chosen, _permissions(query), query.get("mode", "live"), query.get("external_id")
    )
    state.count("connected")
    fields = {"user_id": account.user_id}
    if query.get("response_type") == "code":
        code = str(uuid4())
        redirect_uri = _redirect_uri(state, query)
        state.codes[code] = Code(account.user_id, redirect_uri, time.time() + CODE_SECONDS)
        fields["code"] = code
    if made[0].external_id is not None:
        fields["external_id"] = made[0].external_id
    return _back(state, query, fields)


@route("GET", "/oauth/reauthenticate")
def reauthenticate(state: State, call: Call) -> Reply:
    """Asks the owner of a connected car to sign in again."""
    problem = _problem(state, call, again=True)
    if problem:
        return pages.bad_request(problem)
    car = state.vehicles[call.query["vehicle_id"]]
    content = (
        f"<p>{escape(_words(car))}: sign in with the maker again.</p>"
        f'<form class="wide" method="post" action="/oauth/reauthenticate?{escape(call.query_string)}">'
        + pages.outcomes()
        + "</form>"
    )
    return pages.page("Sign in again", content)


@route("POST", "/oauth/reauthenticate")
def reauthenticated(state: State, call: Call) -> Reply:
    problem = _problem(state, call, again=True)
    if problem:
        return pages.bad_request(problem)
    query, outcome = call.query, call.form().get("outcome", [""])[-1]
    car = state.vehicles[query["vehicle_id"]]
    if outcome != "allow":
        return _failed(state, query, outcome, car)
    fields = {"vehicle_id": car.id}
    granted = state.connection_to(car.id)
    if query.get("external_id"):
        fields["external_id"] = query["external_id"]
        if granted is not None:
            granted.external_id = None if query["external_id"] == "null" else query["external_id"]
    return _back(state, query, fields)


def _problem(state: State, call: Call, *, again: bool = False) -> str | None:
    """Why the application is not served."""
    query, application = call.query, state.application
    if (query.get("client_id") or query.get("application_id")) != application.application_id:
        return "Invalid parameter client_id"
    given = query.get("redirect_uri")
    if given and application.redirect_uris and given not in application.redirect_uris:
        return "Invalid parameter redirect_uri"
    if given and urlsplit(given).scheme not in ("http", "https"):
        return "Invalid parameter redirect_uri"
    types = ("vehicle_id", "none") if again else ("code", "none")
    if query.get("response_type", types[0]) not in types:
        return "Invalid parameter response_type"
    if query.get("mode", "live") not in ("live", "simulated", "test"):
        return "Invalid parameter mode"
    if any(name not in PERMISSIONS for name in _permissions(query)):
        return "Invalid parameter scope"
    if again and query.get("vehicle_id") not in state.vehicles:
        return "Invalid parameter vehicle_id"
    return None


def _permissions(query: dict[str, str]) -> list[str]:
    """What is asked for; all that the dashboard allows where the application does not say."""
    scope = query.get("scope", "").split()
    return [name.removeprefix("required:") for name in scope] or list(PERMISSIONS)


def _single(query: dict[str, str]) -> bool:
    return query.get("single_select") == "true" or bool(query.get("single_select_vin"))


def _accounts(state: State, query: dict[str, str]) -> str:
    """Each account with its cars; only the chosen account's cars count."""
    vin = query.get("single_select_vin")
    shown: list[tuple[Account, list[Vehicle]]] = []
    for account in state.accounts.values():
        cars = [state.vehicles[vehicle_id] for vehicle_id in account.vehicle_ids]
        cars = [car for car in cars if not vin or car.vin == vin]
        if cars:
            shown.append((account, cars))
    if not shown:
        return "<p>No account here has the car that is asked for.</p>"
    parts, position = [], 0
    for index, (account, cars) in enumerate(shown, start=1):
        content = pages.choice("radio", "account", account.email, f"account-{index}", account.email, checked=index == 1)
        for car in cars:
            position += 1
            kind = "radio" if _single(query) else "checkbox"
            content += pages.choice(
                kind, "vehicle", car.id, f"vehicle-{position}", _words(car), checked=_checked(query, car)
            )
        parts.append(pages.fieldset(f"Account {index}", content))
    return "".join(parts)


def _checked(query: dict[str, str], car: Vehicle) -> bool:
    """Whether a car is chosen from the start; a VIN that is asked for wins over a make."""
    if query.get("single_select_vin"):
        return True
    return not _single(query) and query.get("make", car.make).upper() == car.make


def _words(car: Vehicle) -> str:
    return f"{car.make} {car.model} {car.year}, {car.vin}"


def _redirect_uri(state: State, query: dict[str, str]) -> str:
    return query.get("redirect_uri") or next(iter(state.application.redirect_uris), "")


def _failed(state: State, query: dict[str, str], outcome: str, car: Vehicle) -> Reply:
    if outcome == pages.HANG_UP:
        return pages.page("The window is closed", "<p>Nothing returns to the application.</p>")
    if outcome not in DESCRIPTIONS:
        raise Trouble("VALIDATION", None, "There is no such outcome.")
    fields = {"error": outcome, "error_description": DESCRIPTIONS[outcome]}
    if outcome == "vehicle_incompatible":
        fields |= {"vin": car.vin, "make": car.make, "model": car.model, "year": str(car.year)}
    return _back(state, query, fields)


def _back(state: State, query: dict[str, str], fields: dict[str, str]) -> Reply:
    """To the application; to a page of our own where it named no address."""
    if "state" in query:
        fields["state"] = query["state"]
    target = _redirect_uri(state, query)
    if not target:
        return pages.page("Done", "<p>You can close this window.</p>")
    return pages.redirect(f"{target}{'&' if urlsplit(target).query else '?'}{urlencode(fields)}")
