"""Connect a car: the way to the maker's sign-in and back, what comes of it, and the end of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import smartcar
import structlog
from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone

from fleet.accounts.models import Organization, User
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError
from fleet.lib.ids import uuid_of
from integrations.sources.smartcar import polling, tokens, troubles
from integrations.sources.smartcar.calls import RemoteVehicle
from integrations.sources.smartcar.client import cloud_of
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.importing import take_over
from integrations.sources.smartcar.leases import TooBusy
from integrations.sources.smartcar.models import Account, AccountState, CloudVehicle, ConnectSession, Generation
from integrations.sources.smartcar.processing import claim_waiting
from integrations.sources.smartcar.version2 import user_of
from integrations.sources.smartcar.version3 import connections

STATE_SALT = "smartcar.state"
STATE_SECONDS = 1800
PERMISSIONS = (
    "read_vehicle_info", "read_vin", "read_odometer", "read_location", "read_battery", "read_charge", "read_fuel",
    "read_tires", "read_engine_oil", "read_security", "read_diagnostics", "read_climate", "read_speedometer",
    "control_charge", "control_security", "control_navigation",
)  # fmt: skip
RETURN_WORDS = {
    "access_denied": "Access was not allowed: nothing is connected.",
    "vehicle_incompatible": "This vehicle cannot be connected through Smartcar",
    "invalid_subscription": "The maker's connected services are not active for this account. The owner activates them "
    "in the maker's app, then connect again.",
    "no_vehicles": "There is no vehicle in this account. Use the account that the maker's app uses.",
    "configuration_error": "The Smartcar application is not set up rightly. Tell whoever runs this portal.",
    "server_error": "Smartcar or the maker's cloud had a fault. Try again in a few minutes.",
}

log = structlog.get_logger(__name__)


class NotConnected(MotorpoolError):
    """Nothing was connected, and why."""

    code = "not_connected"


def external_id(organization: Organization) -> str:
    """How Smartcar knows an organization; a connection is taken only where it bears the right one."""
    return f"motorpool-{urlsplit(settings.BASE_URL).hostname}-{organization.pk}"


def begin(
    *,
    organization: Organization,
    user: User,
    mode: str = "",
    make: str = "",
    vin: str = "",
    generation: str = Generation.V3,
    again: CloudVehicle | None = None,
) -> str:
    """The address of Smartcar Connect for one session.

    Args:
        make: skips the choice of a brand, such as TESLA.
        vin: only this vehicle.
        again: a vehicle whose owner has to sign in anew.

    Raises:
        NotConnected: the portal has no Smartcar application.
    """
    settings = configuration()
    if not settings.ready:
        raise NotConnected(
            "This portal has no Smartcar application yet: its operator sets SMARTCAR_… (see the docs).", status=409
        )
    session = ConnectSession.objects.create(
        organization=organization, user=user, mode=mode or settings.mode, generation=generation, again=again
    )
    state = signing.dumps(str(session.pk), salt=STATE_SALT)
    if again is not None and generation == Generation.V3:
        return _url("reauthenticate", {
            "response_type": "vehicle_id", "client_id": settings.application_id, "vehicle_id": str(again.remote_id),
            "redirect_uri": settings.redirect_uri, "state": state, "external_id": external_id(organization),
        })  # fmt: skip
    smartcar.config.CONNECT_ORIGIN = settings.connect_url
    client = smartcar.AuthClient(settings.application_id, "unused", settings.redirect_uri, mode=session.mode)
    options: dict[str, Any] = {"state": state, "force_prompt": True}
    if make:
        options["make_bypass"] = make.upper()
    if vin:
        options["single_select"] = {"enabled": True, "vin": vin.upper()}
    address = client.get_auth_url(list(PERMISSIONS), options)
    if generation == Generation.V3:  # what the SDK does not know yet
        address = address.replace("response_type=code", "response_type=none", 1)
    return f"{address}&{urlencode({'external_id': external_id(organization)})}"


def session_of(state: str, user: User) -> ConnectSession:
    """The session that comes back, which is then used up.

    Raises:
        NotConnected: the state is not ours, too old, used already, or somebody else's.
    """
    try:
        key = uuid.UUID(signing.loads(state, salt=STATE_SALT, max_age=STATE_SECONDS))
    except (signing.BadSignature, ValueError, TypeError):
        raise NotConnected("This way back from Smartcar is not ours, or too old. Start again.") from None
    used = ConnectSession.objects.filter(pk=key, user=user, used_at=None).update(used_at=timezone.now())
    session = ConnectSession.objects.select_related("organization", "user", "again").filter(pk=key).first()
    if not used or session is None:
        raise NotConnected("This way back from Smartcar was used already, or is somebody else's. Start again.")
    return session


def finish(session: ConnectSession, query: Mapping[str, str], request: Any = None) -> list[CloudVehicle]:
    """Take over what Smartcar Connect came back with; returns the vehicles.

    Raises:
        NotConnected: in words for the person who waits.
    """
    if query.get("error"):
        raise NotConnected(_words(query))
    try:
        if session.again is not None and query.get("vehicle_id") == str(session.again.remote_id):
            account = session.again.account
            found = [r for r in cloud_of(account).vehicles() if _is_ours(r, account, session.organization)]
            troubles.works_again(account)  # the next poll knows better, if it does not
        elif session.generation == Generation.V2:
            account = _account_by_code(session, query.get("code", ""))
            found = cloud_of(account).vehicles()
        else:
            account, found = _account_by_user(session, query.get("user_id", ""))
    except (Failure, TooBusy) as failure:
        log.warning("smartcar.not_confirmed", failure=str(failure))
        raise NotConnected(f"Smartcar did not confirm the connection: {failure}") from None
    if not found:
        raise NotConnected("Smartcar knows of no vehicle that was connected this way. Nothing was taken over.")
    links = take_over(account, found, request)
    audit(
        "smartcar.connected", organization=session.organization, user=session.user, target=account, request=request,
        vehicles=[link.vehicle_id for link in links],
    )  # fmt: skip
    polling.sync_soon(CloudVehicle.objects.filter(pk__in=[link.pk for link in links]))
    claim_waiting(str(link.remote_id) for link in links)
    return links


def disconnect(link: CloudVehicle, user: User, request: Any = None) -> None:
    """End Smartcar's access to a vehicle, and forget the account's tokens with its last one; the readings stay.

    A car that another organization has connected too stays connected for that one.

    Raises:
        NotConnected: Smartcar does not answer; nothing changed.
    """
    others = CloudVehicle.objects.filter(
        remote_id=link.remote_id, account__user_id=link.account.user_id, disconnected_at=None
    ).exclude(pk=link.pk)
    # Smartcar has one connection for all that know this car; without an application there is no access to end.
    if configuration().ready and not others.exists():
        try:
            cloud_of(link.account).disconnect(link)
        except (Failure, TooBusy) as failure:
            raise NotConnected(f"Smartcar's access was not ended: {failure} Nothing was changed.", status=502) from None
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=link.account_id)  # two last cars at once: one after the other
        CloudVehicle.objects.filter(pk=link.pk).update(disconnected_at=timezone.now(), poll_at=None, error="")
        if not link.account.vehicles.filter(disconnected_at=None).exists():
            Account.objects.filter(pk=link.account_id).update(
                state=AccountState.DISCONNECTED, access_token="", refresh_token="", access_expires_at=None, error="",
                lease_owner=None, lease_until=None, refresh_started_at=None,
            )  # fmt: skip
        audit("smartcar.disconnected", organization=link.organization, user=user, target=link, request=request)


def _account_by_user(session: ConnectSession, user_id: str) -> tuple[Account, list[RemoteVehicle]]:
    """Version 3: the query's user id is only a claim. Smartcar is asked for its connections, and only those that were
    made with this organization's external id count.
    """
    claimed = uuid_of(user_id)
    if claimed is None:
        raise NotConnected("Smartcar came back without saying who has connected.")
    asked = connections({"filter[userId]": str(claimed), "filter[vehicle.mode]": session.mode})
    ours = external_id(session.organization)
    found = [remote for remote in asked if remote.user_id == str(claimed) and remote.external_id == ours]
    if not found:
        raise NotConnected("Smartcar does not confirm that this account was connected here. Nothing was taken over.")
    return _keep_account(session, claimed, Generation.V3), found


def _account_by_code(session: ConnectSession, code: str) -> Account:
    """Version 2: the code is exchanged for a pair, and the pair tells whose it is."""
    if not code:
        raise NotConnected("Smartcar came back without a code.")
    pair = tokens.exchange_code(code)
    account = _keep_account(session, user_of(str(pair["access_token"])), Generation.V2)
    tokens.keep_pair(account, pair)
    return account


def _keep_account(session: ConnectSession, user_id: uuid.UUID, generation: Generation) -> Account:
    values = {
        "generation": generation, "mode": session.mode, "state": AccountState.ACTIVE, "error": "",
        "connected_by": session.user, "connected_at": timezone.now(),
    }  # fmt: skip
    return Account.objects.update_or_create(organization=session.organization, user_id=user_id, defaults=values)[0]


def _is_ours(remote: RemoteVehicle, account: Account, organization: Organization) -> bool:
    return account.generation == Generation.V2 or remote.external_id == external_id(organization)


def _words(query: Mapping[str, str]) -> str:
    error = query.get("error", "")
    words = RETURN_WORDS.get(error, "Smartcar could not connect the car. Try again, or another account.")
    if error == "vehicle_incompatible":
        about = " ".join(query.get(name, "")[:40] for name in ("year", "make", "model", "vin") if query.get(name))
        return f"{words}{f': {about}' if about else ''}."
    return words


def _url(path: str, parameters: dict[str, str]) -> str:
    return f"{configuration().connect_url}/oauth/{path}?{urlencode(parameters)}"
