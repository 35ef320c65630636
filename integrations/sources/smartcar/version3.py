"""Smartcar's version 3: the application's token, and the user id of the account's own row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleet.lib.outbound import Answer
from integrations.sources.smartcar import allowance
from integrations.sources.smartcar.calls import (
    COMMAND_SECONDS,
    MOST_PAGES,
    PAGE,
    READ_SECONDS,
    RemoteVehicle,
    application_call,
    listed,
    tolerating,
    words_in,
)
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.conversions import dict_of, list_of
from integrations.sources.smartcar.failures import Failure, Retry, failure_of
from integrations.sources.smartcar.models import Account, CloudVehicle
from integrations.sources.smartcar.signals import Signal, signals_of

COMMANDS = {
    "lock": "security/lock", "unlock": "security/unlock", "charge_start": "charge/start", "charge_stop": "charge/stop",
    "charge_limit": "charge/set-limit", "destination": "navigation/set-destination",
}  # fmt: skip


class Version3:
    """``vehicle.api.smartcar.com/v3``: the application's token, and the account's user id from its own row."""

    def __init__(self, account: Account) -> None:
        self._user_id = str(account.user_id)
        self._mode = account.mode

    def vehicles(self) -> list[RemoteVehicle]:
        """The connections of the account's user."""
        return list(connections({"filter[userId]": self._user_id, "filter[vehicle.mode]": self._mode}))

    def vin(self, remote_id: str) -> str:
        """From the signal of that name."""
        allowance.take(None)
        try:
            body = self._call("GET", f"/vehicles/{remote_id}/signals/vehicleidentification-vin").json()
        except Failure as failure:
            if failure.retry in (Retry.NEVER, Retry.OWNER) or failure.type == "VEHICLE_STATE":
                return ""
            raise
        found = signals_of([body.get("data")] if isinstance(body, dict) else [])
        value = found[0].body.get("value") if found and found[0].body else None
        return value if isinstance(value, str) else ""

    def signals(self, link: CloudVehicle, *, polling: bool) -> list[Signal]:
        """Stored by Smartcar: reading them wakes no car."""
        allowance.take(link, polling=polling)
        return signals_of(listed(self._call("GET", f"/vehicles/{link.remote_id}/signals"), "data"))

    def command(self, link: CloudVehicle, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """202 is not success: the answer ends with the outcome, which is judged by its own status."""
        allowance.take(link)
        path = f"/vehicles/{link.remote_id}/commands/{COMMANDS[name]}"
        body = {"data": {"attributes": dict(arguments)}} if arguments else None
        answer = self._call("POST", path, body, COMMAND_SECONDS)
        return outcome_of(answer)

    def disconnect(self, link: CloudVehicle) -> None:
        """Delete the one connection; never without naming it."""
        filters = {"filter[userId]": self._user_id, "filter[vehicleId]": str(link.remote_id)}
        filters["filter[vehicle.mode]"] = self._mode
        known = [link.connection_id] if link.connection_id else [found.connection_id for found in connections(filters)]
        for connection_id in filter(None, known):
            with tolerating(404):
                self._call("DELETE", f"/connections/{connection_id}")

    def _call(self, method: str, path: str, body: Any = None, seconds: float = READ_SECONDS) -> Answer:
        return application_call(method, configuration().vehicle_url + path, body, seconds, user_id=self._user_id)


def connections(filters: dict[str, str]) -> Iterator[RemoteVehicle]:
    """The application's connections of all pages; never asked for without a filter. Raises `Failure`."""
    if not filters.get("filter[userId]") and not filters.get("filter[vehicleId]"):
        raise ValueError("Connections are asked for by user or vehicle.")
    for page in range(1, MOST_PAGES + 1):
        asked = {**filters, "page[number]": str(page), "page[size]": str(PAGE)}
        answer = application_call("GET", f"{configuration().vehicle_url}/connections", None, READ_SECONDS, asked)
        body = dict_of(answer.json())
        entries = list_of(body.get("data"))
        yield from (_connection(entry) for entry in entries if isinstance(entry, dict))
        total = dict_of(body.get("meta")).get("totalCount")
        if not entries or not isinstance(total, int) or page * PAGE >= total:
            return


def subscribe(user_id: str, remote_id: str) -> None:
    """Let the application's webhook tell of a vehicle; one that it tells of already is no failure. Raises `Failure`."""
    webhook_id = configuration().webhook_id
    if not webhook_id:
        return
    body = {"data": {"attributes": {"webhookId": webhook_id, "userId": user_id, "vehicleId": remote_id}}}
    with tolerating(409):
        application_call("POST", f"{configuration().management_url}/subscriptions", body, READ_SECONDS)


def outcome_of(answer: Answer) -> dict[str, Any]:
    """What a command came to; raises `Failure` where its own status is none of success."""
    body = dict_of(answer.json())
    if isinstance(body.get("errors"), list):
        raise failure_of(answer)
    attributes = dict_of(dict_of(body.get("data")).get("attributes"))
    status = dict_of(attributes.get("status"))
    value = str(status.get("value") or "").upper()
    if value != "SUCCESS":
        error = dict_of(status.get("error"))
        detail = str(error.get("detail") or error.get("description") or "")
        raise Failure(
            502,
            str(error.get("type") or "UPSTREAM"),
            str(error.get("code") or value),
            detail or "It was not confirmed.",
        )
    return {"status": value, "command": attributes.get("commandType"), "id": dict_of(body.get("data")).get("id")}


def _connection(entry: dict[str, Any]) -> RemoteVehicle:
    attributes = dict_of(entry.get("attributes"))
    about, user = dict_of(attributes.get("vehicle")), dict_of(attributes.get("user"))
    related = dict_of(entry.get("relationships"))
    ids = {name: dict_of(dict_of(related.get(name)).get("data")).get("id") for name in ("vehicle", "user")}
    year = about.get("year")
    return RemoteVehicle(
        str(ids["vehicle"] or ""), str(entry.get("id") or ""), str(ids["user"] or user.get("id") or ""),
        str(user.get("externalId") or ""), str(about.get("make") or ""), str(about.get("model") or ""),
        year if isinstance(year, int) else None, str(about.get("powertrainType") or ""),
        words_in(attributes.get("permissions")),
    )  # fmt: skip
