"""Celery's way in: ids only, no tokens."""

from __future__ import annotations

from datetime import timedelta
from smtplib import SMTPException

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from fleet.accounts.models import Role
from fleet.lib import background
from fleet.lib.encryption import Unreadable
from integrations.sources.smartcar import leases, polling, processing, tokens, troubles
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.models import Account, AccountState, ConnectSession
from telemetry.ingest import local

log = structlog.get_logger(__name__)


@shared_task
def process_events() -> None:
    """Process the deliveries that wait, as long as there are any."""
    while processing.process_waiting() == processing.AT_ONCE:
        pass


@shared_task
def poll() -> None:
    """Begin to ask the makers' clouds whose turn it is; the claims keep two turns apart."""
    if configuration().ready:
        background.run(_poll_turn)


def _poll_turn() -> None:
    try:
        polling.poll_due()
    finally:
        local.close()


@shared_task
def refresh_tokens() -> None:
    """Refresh what is soon over, account by account; one that fails stops no other."""
    for account in tokens.due_accounts(timezone.now()):
        try:
            tokens.refresh_ahead(account)
        except (Failure, leases.TooBusy) as failure:
            log.warning("smartcar.refresh_failed", account=account.pk, failure=str(failure)[:200])
        except Unreadable as error:
            troubles.reconnect_needed(account, error.detail)


@shared_task
def tell_reconnect() -> None:
    """Write of accounts that have to be connected again: once each, whatever messages were lost."""
    untold = Account.objects.filter(state=AccountState.RECONNECT, told_at=None)
    for account in untold.select_related("connected_by", "organization")[:100]:
        if not Account.objects.filter(pk=account.pk, told_at=None).update(told_at=timezone.now()):
            continue  # another worker does
        try:
            _tell(account)
        except (OSError, SMTPException) as error:
            log.warning("smartcar.not_told", account=account.pk, error=str(error)[:200])
            Account.objects.filter(pk=account.pk).update(told_at=None)


def _tell(account: Account) -> None:
    """Write to whoever connected it, or to the administrators where that person has left."""
    cars = ", ".join(str(link.vehicle) for link in account.vehicles.filter(disconnected_at=None)) or "its vehicles"
    members = account.organization.memberships.filter(user__is_active=True)
    own = members.filter(user=account.connected_by) if account.connected_by else members.none()
    people = own if own.exists() else members.filter(role=Role.ADMIN)
    addresses = [member.user.email for member in people.select_related("user") if member.user.email]
    if not addresses:
        return
    send_mail(
        f"Connect {cars} again",
        f"Hello,\n\nMotorpool cannot reach {cars} of {account.organization} any more:\n{account.error}\n\n"
        f"Connect the account again: {settings.BASE_URL}/connections\n",
        None,
        addresses,
    )


@shared_task
def trim() -> None:
    """Forget old deliveries and ways to Connect that nobody came back from."""
    processing.trim()
    ConnectSession.objects.filter(created_at__lt=timezone.now() - timedelta(days=7)).delete()
