"""What people have sent: tests of channels, and messages once more."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from alerts.delivering import OVER
from alerts.models import Channel, Delivery, DeliveryState
from alerts.telling import recipients_of, ring
from fleet.accounts import limits
from fleet.lib.errors import MotorpoolError

TESTS, TESTS_TO = (5, timedelta(minutes=1)), (20, timedelta(days=1))
"""Tests of channels: by one organization, and to one recipient."""


def queue_test(channel: Channel) -> list[Delivery]:
    """Have a test sent through a channel soon; the deliveries say afterwards what became of it.

    Raises:
        MotorpoolError: no address is confirmed (409), or enough tests were asked for (429).
    """
    recipients = recipients_of(channel)
    if not recipients:
        raise MotorpoolError("No address is confirmed yet.", status=409, code="conflict")
    if not limits.allow("channel-test", channel.organization_id, *TESTS) or not all(
        limits.allow("test-to", recipient, *TESTS_TO) for recipient in recipients
    ):
        raise MotorpoolError("Enough tests were sent: try again later.", status=429, code="throttled")
    now = timezone.now()
    with transaction.atomic():
        made = [
            Delivery(
                organization=channel.organization, channel=channel, kind="test", recipient=recipient, due_at=now,
                words="A test, which is sent within seconds.",
            )
            for recipient in recipients
        ]  # fmt: skip
        Delivery.objects.bulk_create(made)
        transaction.on_commit(ring)
    return made


def send_again(delivery: Delivery) -> None:
    """Have a message of an alert sent once more that failed, or of which nobody knows whether it arrived.

    Raises:
        MotorpoolError: it arrived, or is on its way.
    """
    changed = Delivery.objects.filter(pk=delivery.pk, state__in=OVER).update(
        state=DeliveryState.WAITING, attempts=0, due_at=timezone.now(), digest=None, words="Sent again by hand."
    )
    if not changed:
        raise MotorpoolError("Only a message that did not arrive is sent again.", status=409)
    ring()
