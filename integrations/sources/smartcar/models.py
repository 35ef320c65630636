"""Accounts at makers' clouds, their vehicles, and what the webhooks brought. Tokens are sealed; see `tokens`."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from fleet.accounts.models import Organization, User
from fleet.lib.public_ids import HasPublicId, Kind
from vehicles.models import Vehicle


class Generation(models.TextChoices):
    """Which of Smartcar's interfaces an account is used through."""

    V3 = "v3", "application token"
    V2 = "v2", "tokens of its own"


class AccountState(models.TextChoices):
    """Whether an account can be used."""

    ACTIVE = "active", "connected"
    RECONNECT = "reconnect", "reconnect needed"
    DISCONNECTED = "disconnected", "disconnected"


class Lease(models.Model):
    """A row whose token one worker at a time may renew."""

    lease_owner = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


class Application(Lease):
    """The one application's token, and how much it may still ask: a bucket that refills."""

    access_token = models.TextField(blank=True, editable=False)
    access_expires_at = models.DateTimeField(null=True)
    bucket = models.FloatField(null=True, help_text="Requests that may be made now.")
    bucket_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True, help_text="Smartcar asked for patience.")
    used_total = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return "Smartcar application"


class Account(Lease):
    """An owner's account, connected to an organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="smartcar_accounts")
    user_id = models.UUIDField(help_text="Of Smartcar's user.")
    generation = models.CharField(max_length=2, choices=Generation.choices, default=Generation.V3)
    mode = models.CharField(max_length=10, default="live")
    state = models.CharField(max_length=12, choices=AccountState.choices, default=AccountState.ACTIVE)
    error = models.CharField(max_length=300, blank=True)
    connected_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    connected_at = models.DateTimeField()
    access_token = models.TextField(blank=True, editable=False)
    refresh_token = models.TextField(blank=True, editable=False)
    access_expires_at = models.DateTimeField(null=True)
    refreshed_at = models.DateTimeField(null=True)
    refresh_started_at = models.DateTimeField(null=True, editable=False)
    told_at = models.DateTimeField(null=True, editable=False, help_text="When somebody was written to.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user_id"], name="smartcar_account_once")]
        indexes = [models.Index(fields=["user_id"], name="smartcar_account_by_user")]
        ordering = ["-connected_at", "-id"]

    def __str__(self) -> str:
        return f"Smartcar account {str(self.user_id)[:8]}"


class CloudVehicle(HasPublicId, models.Model):
    """A vehicle as the maker's cloud has it, tied to a vehicle of the organization."""

    ID_KIND = Kind.CONNECTION

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="smartcar_vehicles")
    account = models.ForeignKey(Account, models.CASCADE, related_name="vehicles")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="smartcar_links")
    remote_id = models.UUIDField(help_text="Smartcar's id of the vehicle.")
    connection_id = models.CharField(max_length=64, blank=True)
    permissions = ArrayField(models.CharField(max_length=60), default=list)
    connected_at = models.DateTimeField()
    disconnected_at = models.DateTimeField(null=True)
    last_sync = models.DateTimeField(null=True, help_text="When anything last came of it.")
    last_webhook = models.DateTimeField(null=True)
    last_poll = models.DateTimeField(null=True)
    poll_at = models.DateTimeField(null=True, db_index=True)
    poll_failures = models.PositiveSmallIntegerField(default=0)
    quiet_polls = models.PositiveSmallIntegerField(default=0, help_text="In a row, that brought nothing new.")
    not_before = models.DateTimeField(null=True, help_text="The maker's cloud asked for patience.")
    month = models.CharField(max_length=7, blank=True, help_text="Of the count beside it, such as 2026-11.")
    requests = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=80, blank=True)
    error = models.CharField(max_length=300, blank=True)
    asleep = models.BooleanField(null=True)
    raw = models.JSONField(default=dict, help_text="The last body of each signal that the catalog has no name for.")
    incapable = ArrayField(models.CharField(max_length=80), default=list, help_text="Signals that the car cannot tell.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "remote_id"], name="smartcar_vehicle_once")]
        indexes = [models.Index(fields=["remote_id"], name="smartcar_vehicle_by_remote")]
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.vehicle} at Smartcar"


class ConnectSession(models.Model):
    """A way to the maker's sign-in and back, good for one return."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    mode = models.CharField(max_length=10)
    generation = models.CharField(max_length=2, choices=Generation.choices)
    again = models.ForeignKey(CloudVehicle, models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"session of {self.user}"


class WebhookEndpoint(models.Model):
    """An address for deliveries; a challenge is answered only while it is armed."""

    key = models.CharField(max_length=43, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    armed_until = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"/webhooks/smartcar/{self.key[:6]}…"


class EventState(models.TextChoices):
    """What became of a delivery."""

    WAITING = "waiting", "waiting"
    DONE = "done", "processed"
    UNCLAIMED = "unclaimed", "vehicle not claimed"
    IGNORED = "ignored", "nothing to do"
    FAILED = "failed", "failed"


class WebhookEvent(HasPublicId, models.Model):
    """A delivery as it came, kept before it was answered; the same event again only counts."""

    ID_KIND = Kind.WEBHOOK_EVENT

    id = models.BigAutoField(primary_key=True)
    event_id = models.CharField(max_length=80, unique=True)
    body = models.BinaryField()
    received_at = models.DateTimeField()
    deliveries = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=10, choices=EventState.choices, default=EventState.WAITING)
    kind = models.CharField(max_length=40, blank=True)
    remote_ids = ArrayField(models.CharField(max_length=40), default=list)
    unclaimed_ids = ArrayField(models.CharField(max_length=40), default=list)
    user_id = models.CharField(max_length=40, blank=True)
    organizations = ArrayField(models.IntegerField(), default=list, help_text="Whose vehicles it tells of.")
    readings = models.PositiveIntegerField(default=0)
    detail = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="smartcar_event_waiting", condition=models.Q(state="waiting")),
            GinIndex(fields=["organizations"], name="smartcar_event_organizations"),
            models.Index(fields=["-id"], name="smartcar_event_unclaimed", condition=~models.Q(unclaimed_ids=[])),
        ]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind or 'event'} {self.event_id}"
