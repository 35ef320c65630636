"""Smartcar's version 2, for accounts that were connected in its days: each has a token of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fleet.lib.ids import uuid_of
from fleet.lib.outbound import Answer
from integrations.sources.smartcar import allowance, tokens
from integrations.sources.smartcar.calls import (
    COMMAND_SECONDS,
    MOST_PAGES,
    PAGE,
    READ_SECONDS,
    RemoteVehicle,
    call_with_token,
    listed,
    tolerating,
    words_in,
)
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.conversions import dict_of, list_of
from integrations.sources.smartcar.failures import Failure, Retry
from integrations.sources.smartcar.legacy_signals import legacy_signals_of
from integrations.sources.smartcar.models import Account, CloudVehicle
from integrations.sources.smartcar.signals import Signal

BATCH_SECONDS = 180.0
"""The car itself is asked; 20 s to 2 min are usual."""
BATCH_PERMISSIONS = {
    "/odometer": "read_odometer", "/location": "read_location", "/battery": "read_battery", "/charge": "read_charge",
    "/charge/limit": "read_charge", "/fuel": "read_fuel", "/tires/pressure": "read_tires",
    "/engine/oil": "read_engine_oil", "/security": "read_security",
}  # fmt: skip
"""What version 2 is asked for in one batch, and the consent that it needs; each counts as a request of its own."""
COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lock": ("/security", {"action": "LOCK"}),
    "unlock": ("/security", {"action": "UNLOCK"}),
    "charge_start": ("/charge", {"action": "START"}),
    "charge_stop": ("/charge", {"action": "STOP"}),
    "charge_limit": ("/charge/limit", {}),
    "destination": ("/navigation/destination", {}),
}


class Version2:
    """``api.smartcar.com/v2.0``: an account's own token."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def vehicles(self) -> list[RemoteVehicle]:
        """The ids of all pages, each with its attributes and permissions."""
        found: list[RemoteVehicle] = []
        for page in range(MOST_PAGES):
            body = self._get("/vehicles", {"limit": str(PAGE), "offset": str(page * PAGE)})
            ids = list_of(body.get("vehicles"))
            found += [self._vehicle(str(remote_id)) for remote_id in ids]
            if len(found) >= int(dict_of(body.get("paging")).get("count") or 0) or not ids:
                break
        return found

    def vin(self, remote_id: str) -> str:
        """Where the owner consented to it."""
        allowance.take(None)
        try:
            return str(self._get(f"/vehicles/{remote_id}/vin", {}).get("vin") or "")
        except Failure as failure:
            if failure.retry is Retry.LATER:
                raise
            return ""

    def signals(self, link: CloudVehicle, *, polling: bool) -> list[Signal]:
        """One batch of what the owner consented to; it may wake the car."""
        granted = [path for path, consent in BATCH_PERMISSIONS.items() if consent in link.permissions]
        paths = granted or list(BATCH_PERMISSIONS)
        allowance.take(link, polling=polling, cost=len(paths))
        requests = {"requests": [{"path": path} for path in paths]}
        answer = self._call("POST", f"/vehicles/{link.remote_id}/batch", requests, BATCH_SECONDS)
        return legacy_signals_of(listed(answer, "responses"))

    def command(self, link: CloudVehicle, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Success is told by the answer's ``status``."""
        allowance.take(link)
        path, body = COMMANDS[name]
        given = dict(arguments)
        if "percent" in given:
            given = {"limit": given["percent"] / 100}
        answer = self._call("POST", f"/vehicles/{link.remote_id}{path}", {**body, **given}, COMMAND_SECONDS)
        told = dict_of(answer.json())
        if str(told.get("status", "")).lower() != "success":
            raise Failure(502, "UPSTREAM", "UNKNOWN_ISSUE", "The maker's cloud did not confirm it.")
        return {"status": "SUCCESS"}

    def disconnect(self, link: CloudVehicle) -> None:
        """Revoke the application's access to the vehicle."""
        with tolerating(404):
            self._call("DELETE", f"/vehicles/{link.remote_id}/application")

    def _vehicle(self, remote_id: str) -> RemoteVehicle:
        about = self._get(f"/vehicles/{remote_id}", {})
        granted = self._get(f"/vehicles/{remote_id}/permissions", {"limit": "100"}).get("permissions")
        year = about.get("year")
        return RemoteVehicle(
            remote_id, user_id=str(self._account.user_id), make=str(about.get("make") or ""),
            model=str(about.get("model") or ""), year=year if isinstance(year, int) else None,
            permissions=words_in(granted),
        )  # fmt: skip

    def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        return dict_of(self._call("GET", path, parameters=parameters).json())

    def _call(
        self, method: str, path: str, body: Any = None, seconds: float = READ_SECONDS,
        parameters: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        url = f"{configuration().api_url}/v2.0{path}"
        headers = {"sc-unit-system": "metric"}
        return call_with_token(
            lambda spent: tokens.account_token(self._account, spent), method, url, headers, body, seconds, parameters
        )


def user_of(access_token: str) -> UUID:
    """Whose account a fresh token is for; raises `Failure`."""
    url = f"{configuration().api_url}/v2.0/user"
    answer = call_with_token(lambda _: access_token, "GET", url, {}, None, READ_SECONDS, None)
    found = uuid_of(dict_of(answer.json()).get("id"))
    if found is None:
        raise Failure(502, "UPSTREAM", "INVALID_DATA", "Smartcar does not say whose account this is.")
    return found
