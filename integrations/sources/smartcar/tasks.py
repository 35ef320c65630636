"""Celery's way in: ids only, no tokens."""

from __future__ import annotations

from datetime import timedelta
from smtplib import SMTPException

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from integrations.sources.smartcar import leases, polling, processing, tokens
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.models import Account, ConnectSession

log = structlog.get_logger(__name__)


@shared_task
def process_events() -> None:
    """Process the deliveries that wait, as long as there are any."""
    while processing.process_waiting() == processing.AT_ONCE:
        pass


@shared_task
def poll() -> None:
    """Ask the maker's clouds whose turn it is."""
    if configuration().ready:
        polling.poll_due()


@shared_task
def refresh_tokens() -> None:
    """Refresh what is soon over, account by account; one that fails stops no other."""
    for account in tokens.due_accounts(timezone.now()):
        try:
            tokens.refresh_ahead(account)
        except (Failure, leases.TooBusy) as failure:
            log.warning("smartcar.refresh_failed", account=account.pk, failure=str(failure)[:200])


@shared_task(autoretry_for=(OSError, SMTPException), retry_backoff=5, retry_backoff_max=60, max_retries=8)
def tell_reconnect(account_id: int) -> None:
    """Write to whoever connected an account that it has to be connected again."""
    account = Account.objects.select_related("connected_by", "organization").get(pk=account_id)
    cars = ", ".join(str(link.vehicle) for link in account.vehicles.filter(disconnected_at=None)) or "its vehicles"
    person = account.connected_by
    if person is None or not person.email or not person.is_active:
        return
    send_mail(
        f"Connect {cars} again",
        f"Hello,\n\nMotorpool cannot reach {cars} of {account.organization} any more:\n{account.error}\n\n"
        f"Connect the account again: {settings.BASE_URL}/connections\n",
        None,
        [person.email],
    )


@shared_task
def trim() -> None:
    """Forget old deliveries and ways to Connect that nobody came back from."""
    processing.trim()
    ConnectSession.objects.filter(created_at__lt=timezone.now() - timedelta(days=7)).delete()
