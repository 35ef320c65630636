"""Tokens: the application's (version 3), and each account's own pair (version 2). Sealed at rest, never logged."""

from __future__ import annotations

import base64
import random
import uuid
from datetime import datetime, timedelta

import structlog
from django.db.models import F, Q
from django.utils import timezone

from fleet.lib import encryption, outbound
from integrations.sources.smartcar import leases, troubles
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure, failure_of
from integrations.sources.smartcar.models import Account, AccountState, Application, Generation

EARLY = timedelta(seconds=60)
"""A token is not used in its last minute."""
REFRESH_SHARE = 0.75
"""Of an access token's life; the task refreshes then, so that a page need not wait for it."""
REFRESH_TOKEN_DAYS = 45
"""A refresh token lives 60 days and is replaced at each use."""

log = structlog.get_logger(__name__)


def application() -> Application:
    """The one row."""
    return Application.objects.get_or_create(pk=1)[0]


def application_token(spent: str = "") -> str:
    """The application's access token (client credentials, RFC 6749, section 4.4).

    Args:
        spent: one that was refused: it is not given back again.

    Raises:
        Failure: Smartcar does not give one.
    """
    row = leases.renewed(application(), lambda row: _fresh(row, spent), _renew_application)
    try:
        return encryption.unseal(row.access_token, place_of(row, "access_token"))
    except encryption.Unreadable:  # the key is gone; a token is easily had again
        Application.objects.filter(pk=row.pk, access_token=row.access_token).update(access_token="")
        row = leases.renewed(row, lambda row: _fresh(row, ""), _renew_application)
        return encryption.unseal(row.access_token, place_of(row, "access_token"))


def account_token(account: Account, spent: str = "") -> str:
    """An account's own access token (version 2), refreshed where its time is over.

    Raises:
        Failure: the refresh token is not accepted any more (the account is then marked), or Smartcar does not answer.
    """
    row = leases.renewed(account, lambda row: _fresh(row, spent), _refresh)
    return encryption.unseal(row.access_token, place_of(row, "access_token"))


def exchange_code(code: str) -> dict[str, str | int]:
    """The first pair for a code of Smartcar Connect (RFC 6749, section 4.1.3); raises `Failure`."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": configuration().redirect_uri}
    return _token_call(form)


def keep_pair(account: Account, pair: dict[str, str | int]) -> None:
    """Seal a pair into an account's row."""
    # A refresh that is under way must not put its older pair over this one.
    Account.objects.filter(pk=account.pk).update(**_pair_values(account, pair), lease_owner=None, lease_until=None)


def due_accounts(now: datetime) -> list[Account]:
    """Accounts whose tokens are refreshed ahead of their time."""
    mine = Account.objects.filter(generation=Generation.V2, state=AccountState.ACTIVE)
    soon = now + timedelta(hours=2 * (1 - REFRESH_SHARE)) * random.uniform(0.8, 1.0)  # noqa: S311
    old = now - timedelta(days=REFRESH_TOKEN_DAYS)
    # A refresh that began and did not end: its worker was killed, perhaps with the new pair in its hands. The old
    # refresh token works for a minute yet.
    orphaned = Q(refresh_started_at__isnull=False) & (Q(lease_until=None) | Q(lease_until__lt=now))
    due = mine.filter(orphaned | Q(access_expires_at__lt=soon) | Q(refreshed_at__lt=old))
    return list(due.order_by(F("refresh_started_at").asc(nulls_last=True))[:500])


def refresh_ahead(account: Account) -> None:
    """Refresh now, whatever time is left; raises `Failure`."""
    leases.renewed(account, lambda row: row.refreshed_at != account.refreshed_at, _refresh)


def _fresh(row: Application | Account, spent: str) -> bool:
    if not row.access_token or row.access_expires_at is None or row.access_expires_at <= timezone.now() + EARLY:
        return False
    return not spent or encryption.unseal(row.access_token, place_of(row, "access_token")) != spent


def _renew_application(row: Application, owner: uuid.UUID) -> None:
    settings = configuration()
    answer = _call(
        f"{settings.iam_url}/oauth2/token",
        {},
        {"grant_type": "client_credentials", "client_id": settings.client_id, "client_secret": settings.client_secret},
        ("access_token", "expires_in"),
    )
    leases.keep(
        row,
        owner,
        access_token=encryption.seal(str(answer["access_token"]), place_of(row, "access_token")),
        access_expires_at=timezone.now() + timedelta(seconds=int(answer["expires_in"])),
    )


def _refresh(row: Account, owner: uuid.UUID) -> None:
    """One refresh. The attempt is written down before the call, so that a crash between answer and save shows."""
    if row.state == AccountState.DISCONNECTED or not row.refresh_token:
        raise Failure(401, "AUTHENTICATION", "", "The account is not connected.")
    _begin(row, owner)
    given = row.refresh_token
    try:
        pair = _token_call({"grant_type": "refresh_token", "refresh_token": _refresh_token(row)})
    except Failure as failure:
        leases.keep(row, owner, refresh_started_at=None)
        if failure.code != "invalid_grant":
            raise
        row = Account.objects.get(pk=row.pk)
        if row.refresh_token == given:  # nobody saved a newer one meanwhile: it is really over
            if leases.keep(row, owner):
                troubles.reconnect_needed(row, "The maker's sign-in has ended. Connect the account again.")
            raise
        _begin(row, owner)
        pair = _token_call({"grant_type": "refresh_token", "refresh_token": _refresh_token(row)})
    if not leases.keep(row, owner, **_pair_values(row, pair)):
        log.warning("smartcar.lease_lost", account=row.pk)


def _begin(row: Account, owner: uuid.UUID) -> None:
    """Note an attempt, with a whole lease before it; raises `TooBusy` where another worker has it."""
    now = timezone.now()
    if not leases.keep(row, owner, refresh_started_at=now, lease_until=now + timedelta(seconds=leases.LEASE_SECONDS)):
        raise leases.TooBusy("Another worker renews the token.")


def _refresh_token(row: Account) -> str:
    return encryption.unseal(row.refresh_token, place_of(row, "refresh_token"))


def _pair_values(account: Account, pair: dict[str, str | int]) -> dict[str, object]:
    now = timezone.now()
    return {
        "access_token": encryption.seal(str(pair["access_token"]), place_of(account, "access_token")),
        "refresh_token": encryption.seal(str(pair["refresh_token"]), place_of(account, "refresh_token")),
        "access_expires_at": now + timedelta(seconds=int(pair["expires_in"])),
        "refreshed_at": now,
        "refresh_started_at": None,
    }


def _token_call(form: dict[str, str]) -> dict[str, str | int]:
    settings = configuration()
    pair = base64.b64encode(f"{settings.client_id}:{settings.client_secret}".encode()).decode()
    wanted = ("access_token", "expires_in", "refresh_token")
    return _call(settings.auth_url, {"Authorization": f"Basic {pair}"}, form, wanted)


def _call(url: str, headers: dict[str, str], form: dict[str, str], wanted: tuple[str, ...]) -> dict[str, str | int]:
    """A token endpoint's answer; raises `Failure`, whose words never hold what was sent."""
    try:
        answer = outbound.call(
            "POST", url, allowed=configuration().origins, headers=headers, seconds=leases.CALL_SECONDS, form=form
        )
    except outbound.OutboundError as error:
        raise Failure(503, "SERVER", "", str(error)) from None
    body = answer.json()
    if answer.status != 200:
        failure = failure_of(answer)
        failure.detail = "Smartcar gave no token."  # its words may repeat what was sent
        raise failure
    if not isinstance(body, dict) or not all(isinstance(body.get(name), (str, int)) for name in wanted):
        raise Failure(502, "UPSTREAM", "", "Smartcar's token answer is not whole.")
    return body


def place_of(row: Application | Account, column: str) -> str:
    """What a sealed value is bound to."""
    return f"{row._meta.label_lower}:{row.pk}:{column}"


SEALED = ((Application, ("access_token",)), (Account, ("access_token", "refresh_token")))
"""Every column that holds a sealed secret; `rotate_keys` reads it."""
