"""What people do with an alert: acknowledge, assign, snooze, comment, resolve; each leaves a line in its timeline."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from alerts import news
from alerts.models import Alert, AlertEvent, AlertQuerySet, EventKind
from alerts.telling import announce
from fleet.accounts.models import User
from fleet.lib.errors import MotorpoolError

LONGEST_SNOOZE = timedelta(days=30)
KEPT = timedelta(days=730)
"""So long an alert that is over stays in the history."""


def acknowledge(*, alert: Alert, user: User) -> Alert:
    """Somebody has seen it: it is escalated no further. Twice changes nothing."""
    with transaction.atomic():
        row = _locked(alert)
        if row.acknowledged_at is None:
            row.acknowledged_at, row.acknowledged_by = timezone.now(), user
            row.tell_at = row.escalate_at = None
            _save(row, user, EventKind.ACKNOWLEDGED, "", "acknowledged_at", "acknowledged_by", "tell_at", "escalate_at")
    news.publish([row])
    return row


def resolve(*, alert: Alert, user: User, words: str = "") -> Alert:
    """Clear it by hand: no new alert comes until its condition has cleared."""
    with transaction.atomic():
        row = _locked(alert)
        if row.cleared_at is None and row.withdrawn_at is None:
            row.resolved_at = timezone.now()
            row.cleared_at = max(row.resolved_at, row.opened_at)  # a device's clock may be a little ahead
            row.acknowledged_at = row.acknowledged_at or row.resolved_at
            row.acknowledged_by = row.acknowledged_by or user
            row.tell_at = row.escalate_at = None
            fields = ("cleared_at", "resolved_at", "acknowledged_at", "acknowledged_by", "tell_at", "escalate_at")
            _save(row, user, EventKind.RESOLVED, words, *fields)
            transaction.on_commit(announce((), [row], row.resolved_at).after_commit)
    news.publish([row])
    return row


def snooze(*, alert: Alert, user: User, until: datetime) -> Alert:
    """Nobody is told or escalated to until then.

    Raises:
        MotorpoolError: that is past, or too far.
    """
    now = timezone.now()
    if not now < until <= now + LONGEST_SNOOZE:
        raise MotorpoolError("Snooze until a time within the next 30 days.", status=422)
    with transaction.atomic():
        row = _locked(alert)
        row.snoozed_until = until
        for name in ("tell_at", "escalate_at"):
            due = getattr(row, name)
            if due is not None:
                setattr(row, name, max(due, until))
        _save(
            row, user, EventKind.SNOOZED, f"until {until:%Y-%m-%d %H:%M} UTC", "snoozed_until", "tell_at", "escalate_at"
        )
    news.publish([row])
    return row


def assign(*, alert: Alert, user: User, to: User | None) -> Alert:
    """Make it somebody's, or nobody's; the caller checked that they are a member."""
    with transaction.atomic():
        row = _locked(alert)
        row.assigned_to = to
        _save(row, user, EventKind.ASSIGNED, f"to {to}" if to else "to nobody", "assigned_to")
    news.publish([row])
    return row


def comment(*, alert: Alert, user: User, words: str) -> AlertEvent:
    """Add words to the timeline; raises `MotorpoolError` for none."""
    if not words.strip() or len(words) > 2_000:
        raise MotorpoolError("A comment has 1 to 2,000 characters.", status=422)
    return AlertEvent.objects.create(alert=alert, kind=EventKind.COMMENTED, user=user, words=words.strip())


def clear_archived() -> int:
    """Clear the open alerts of vehicles that were archived; returns how many."""
    return clear(Alert.objects.filter(vehicle__archived_at__isnull=False), "The vehicle was archived.")


@transaction.atomic
def clear(alerts: AlertQuerySet, words: str, *, over: bool = True) -> int:
    """Clear those of some alerts that are open, as what they tell of is no longer looked at; returns how many.

    Args:
        over: whether people are told that it is over; not where others may take their place at once.
    """
    now = timezone.now()
    rows = list(alerts.open().select_related("vehicle").order_by("pk").select_for_update(of=("self",)))
    for alert in rows:
        alert.cleared_at, alert.tell_at, alert.escalate_at = max(now, alert.opened_at), None, None
    Alert.objects.write_times(rows)
    AlertEvent.objects.bulk_create(
        [AlertEvent(alert=alert, kind=EventKind.CLEARED, words=words, at=now) for alert in rows], batch_size=1_000
    )
    told = announce((), rows if over else (), now)
    told.news = rows
    transaction.on_commit(told.after_commit)
    return len(rows)


def trim() -> int:
    """Forget alerts that were over long ago, with all that hangs on them, some at a time; returns how many."""
    long_ago = timezone.now() - KEPT
    # The index is by the opening, which comes first.
    over = Alert.objects.filter(Q(cleared_at__lt=long_ago) | Q(withdrawn_at__lt=long_ago), opened_at__lt=long_ago)
    ids = list(over.order_by().values_list("pk", flat=True)[:10_000])
    Alert.objects.filter(pk__in=ids).delete()
    return len(ids)


def _locked(alert: Alert) -> Alert:
    return Alert.objects.select_for_update(of=("self",)).select_related("vehicle").get(pk=alert.pk)


def _save(alert: Alert, user: User, kind: EventKind, words: str, *fields: str) -> None:
    alert.save(update_fields=fields)
    AlertEvent.objects.create(alert=alert, kind=kind, user=user, words=words[:2_000])
