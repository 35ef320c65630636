"""Celery's way into accounts."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from fleet.accounts import limits, refresh_tokens
from fleet.accounts.models import AuditEvent

SLICE = 10_000


@shared_task
def forget_failures() -> None:
    """Forget failed sign-ins whose time has passed."""
    limits.forget_old()


@shared_task
def delete_expired() -> None:
    """Delete sessions and refresh tokens that are expired, and audit events older than `AUDIT_DAYS`."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    refresh_tokens.delete_expired()
    horizon = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    while True:
        old = list(
            AuditEvent.objects.filter(created_at__lt=horizon).order_by("pk").values_list("pk", flat=True)[:SLICE]
        )
        AuditEvent.objects.filter(pk__in=old).delete()
        if len(old) < SLICE:
            return
