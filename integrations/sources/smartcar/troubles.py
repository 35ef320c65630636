"""Troubles between Smartcar, the car and its owner: noted on the vehicle and the account, told to whoever connected."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from fleet.accounts.services import audit
from fleet.lib import bell
from integrations.sources.smartcar.failures import words_of
from integrations.sources.smartcar.models import Account, AccountState, CloudVehicle
from integrations.sources.smartcar.signals import Signal, is_mapped

if TYPE_CHECKING:
    from integrations.sources.smartcar.events import CloudError

NO_WEBHOOKS = "SUBSCRIPTION"
"""Noted where a vehicle's webhook could not be ordered; ended by its first one."""
TOLD_AGAIN = timedelta(days=1)
BROKEN = ("CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED",)
"""Only a new sign-in of the owner helps."""
NOISE = ("vehicleuseraccount-role", "vehicleuseraccount-permissions")
"""Signals that are refused again and again although the connection is fine."""


def note(link: CloudVehicle, error: CloudError) -> None:
    """What a webhook says is wrong, or right again, with a vehicle."""
    name = ":".join(part for part in (error.type, error.code) if part)
    if error.resolved:
        if link.error_code == name:
            clear(link)
        if name in BROKEN:
            works_again(link.account)
        return
    if error.type == "COMPATIBILITY":
        link.incapable = sorted({*link.incapable, *error.signals})[:150]
        return
    if error.type == "PERMISSION" and (not error.signals or not _in_use(link, error.signals)):
        return
    link.error_code, link.error = name[:80], words_of(error.type, error.code, error.words)
    if name in BROKEN:
        reconnect_needed(link.account, link.error)


def note_signals(link: CloudVehicle, signals: Iterable[Signal]) -> None:
    """What polled signals say of the connection: the sign-in may be broken although the question was answered."""
    told = list(signals)
    failed = {f"{s.error.type}:{s.error.code}".rstrip(":") for s in told if s.error is not None}
    worked = any(s.error is None for s in told)
    broken = sorted(name for name in failed if name.startswith("CONNECTED_SERVICES_ACCOUNT"))
    if broken:
        kind, _, code = broken[0].partition(":")
        link.error_code, link.error = broken[0][:80], words_of(kind, code)
        if broken[0] in BROKEN:
            reconnect_needed(link.account, link.error)
    elif worked:
        if link.error_code != NO_WEBHOOKS:
            clear(link)
        works_again(link.account)


def clear(link: CloudVehicle) -> None:
    """All is well again."""
    link.error_code = link.error = ""


def reconnect_needed(account: Account, words: str) -> None:
    """Mark an account as broken, once, and tell who connected it."""
    changed = Account.objects.filter(pk=account.pk, state=AccountState.ACTIVE).update(
        state=AccountState.RECONNECT, error=words[:300]
    )
    account.state, account.error = AccountState.RECONNECT, words[:300]
    if changed:
        audit("smartcar.reconnect_needed", organization=account.organization, target=account)
        transaction.on_commit(lambda: bell.announce("integrations.sources.smartcar.tasks.tell_reconnect"))


def works_again(account: Account) -> None:
    """A call went through."""
    if account.state == AccountState.RECONNECT:
        broken = Account.objects.filter(pk=account.pk, state=AccountState.RECONNECT)
        broken.update(state=AccountState.ACTIVE, error="")
        # Whatever comes and goes is told of once a day at most.
        Account.objects.filter(pk=account.pk, told_at__lt=timezone.now() - TOLD_AGAIN).update(told_at=None)
        account.state, account.error = AccountState.ACTIVE, ""


def _in_use(link: CloudVehicle, codes: tuple[str, ...]) -> bool:
    """Whether a refused signal is one that the vehicle told before, or the catalog has."""
    return any(is_mapped(code) and code not in NOISE and code not in link.incapable for code in codes)
