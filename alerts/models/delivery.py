"""Channels, who receives what through them, and every message with what became of it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from fleet.accounts.models import Organization, User
from fleet.lib.public_ids import HasPublicId, Kind


class ChannelKind(models.TextChoices):
    """Ways out; `alerts.channels.CHANNELS` names what carries each."""

    EMAIL = "email", "e-mail"
    WEBHOOK = "webhook", "webhook"
    PUSH = "push", "web push"
    APPRISE = "apprise", "chat or push service"


class Channel(HasPublicId, models.Model):
    """A way to tell people. ``config`` holds what may be shown, ``secret`` is sealed (`fleet.lib.encryption`).

    ``quiet_from`` and ``quiet_to`` are minutes of the day in the organization's time zone: what falls between them
    waits for their end and comes as one digest. ``quiet_passes``: severities that come at once all the same.
    """

    ID_KIND = Kind.CHANNEL

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    name = models.CharField(max_length=100)
    config = models.JSONField(default=dict)
    secret = models.TextField(blank=True, default="")
    quiet_from = models.PositiveSmallIntegerField(null=True, blank=True)
    quiet_to = models.PositiveSmallIntegerField(null=True, blank=True)
    quiet_days = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    quiet_passes = ArrayField(models.CharField(max_length=10), default=list, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_because = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Recipient(models.Model):
    """An e-mail address of a channel: it is written to once confirmed, until it unsubscribes."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="recipients")
    address = models.EmailField()
    confirmed_at = models.DateTimeField(null=True)
    unsubscribed_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True, help_text="Its mail server wants no mail for it.")
    member = models.BooleanField(default=False, help_text="Confirmed by being a member's; ends with the membership.")
    asked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["channel", "address"], name="recipient_once")]
        ordering = ["address"]

    def __str__(self) -> str:
        return self.address

    @property
    def wants(self) -> bool:
        """Whether it is written to."""
        return self.confirmed_at is not None and self.unsubscribed_at is None and self.refused_at is None


class PushSubscription(models.Model):
    """A browser that shows a person's notifications (RFC 8030); its keys are sealed."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="push_subscriptions")
    user = models.ForeignKey(User, models.CASCADE, related_name="push_subscriptions")
    endpoint = models.URLField(max_length=1_000)
    keys = models.TextField()
    name = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    failed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user", "endpoint"], name="push_once")]

    def __str__(self) -> str:
        return self.name or f"browser {self.pk}"


class PushKey(models.Model):
    """The portal's key pair towards push services (RFC 8292), made once; sealed."""

    private = models.TextField()

    def __str__(self) -> str:
        return "push key"


class DeliveryState(models.TextChoices):
    """Where a message stands. Unknown: its sender died between sending and noting it; it is not sent again."""

    WAITING = "waiting", "waiting"
    HELD = "held", "held for a digest"
    SENDING = "sending", "being sent"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    UNKNOWN = "unknown", "unknown"
    DROPPED = "dropped", "not sent"


class Delivery(models.Model):
    """One message to one recipient of a channel. ``digest`` is the message that told of this one instead."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey("alerts.Alert", models.CASCADE, null=True, related_name="deliveries")
    kind = models.CharField(max_length=10, default="opened", help_text="opened, escalated, cleared, digest or test.")
    step = models.PositiveSmallIntegerField(default=0, help_text="Of an escalation.")
    recipient = models.CharField(max_length=254)
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    words = models.CharField(max_length=500, blank=True, default="")
    message_id = models.CharField(max_length=200, blank=True, default="")
    digest = models.ForeignKey("self", models.SET_NULL, null=True, related_name="digested")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "recipient", "kind", "step"],
                name="told_once",
                condition=~models.Q(alert=None),
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="delivery_due", condition=models.Q(state__in=("waiting", "held"))),
            models.Index(fields=["lease_until"], name="delivery_leased", condition=models.Q(state="sending")),
            models.Index(fields=["organization", "-created_at"], name="delivery_by_organization"),
            models.Index(
                fields=["recipient", "sent_at"], name="delivery_sent", condition=models.Q(sent_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient}: {self.state}"
