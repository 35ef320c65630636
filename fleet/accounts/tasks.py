"""Celery's way into accounts."""

from __future__ import annotations

from celery import shared_task

from fleet.accounts import limits


@shared_task
def forget_failures() -> None:
    """Forget failed sign-ins whose time has passed."""
    limits.forget_old()
