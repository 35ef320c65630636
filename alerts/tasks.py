"""Celery's way into alerts: ids in, one call each."""

from __future__ import annotations

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from alerts import delivering, handling, telling
from alerts.evaluation import facts, spans, timers
from fleet.lib import background


@shared_task
def look_again() -> None:
    """Find what the passing of time alone raised or cleared."""
    timers.look_again()


@shared_task
def correct() -> None:
    """Evaluate late data."""
    timers.correct()


@shared_task
def look_at_facts() -> None:
    """Raise and clear alerts of trouble codes and states, where something changed just now."""
    facts.look_at_changed()


@shared_task
def look_at_all_facts() -> None:
    """Raise and clear alerts of trouble codes, states and sources, everywhere."""
    facts.look()


@shared_task
@transaction.atomic
def tell_due() -> None:
    """Tell what waited for a cool-down, and escalate what nobody acknowledged."""
    now = timezone.now()
    telling.tell_due(now)
    telling.escalate_due(now)


@shared_task
def trim() -> None:
    """Clear what archived vehicles left open, and forget old alerts and messages."""
    handling.clear_archived()
    handling.trim()
    spans.trim()
    delivering.trim()


@shared_task
def deliver() -> None:
    """Send what is due, beside the other tasks: others' servers are waited for."""
    background.run(delivering.deliver)
