"""The dictionaries and small tables around the store. Frames, latest and batches have no model: see `store`."""

from __future__ import annotations

import uuid
from datetime import date

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from fleet.accounts.models import Organization, User
from vehicles.models import Vehicle


class Signal(models.Model):
    """A signal of the catalog (no organization), or one that an organization's devices added."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="signals")
    name = models.CharField(max_length=100)
    unit = models.CharField(max_length=20, blank=True)
    kind = models.CharField(max_length=10)
    minimum = models.FloatField(null=True, blank=True)
    maximum = models.FloatField(null=True, blank=True)
    description = models.CharField(max_length=200, blank=True)
    obd_pid = models.CharField(max_length=4, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="signal_once", nulls_distinct=False)
        ]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Source(models.Model):
    """Where readings come from, such as obd or gps; common names belong to no organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="sources")
    name = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="source_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.name


class SignalSet(models.Model):
    """An ascending list of signal ids that frames share, kept once."""

    signals = ArrayField(models.IntegerField(), unique=True)
    used_on = models.DateField(
        default=date.today, db_default=Now(), help_text="The last day on which frames came with it."
    )

    def __str__(self) -> str:
        return f"set {self.pk}"


class VehicleState(models.Model):
    """A vehicle's state and since when, kept by the state sink."""

    vehicle = models.OneToOneField(Vehicle, models.CASCADE, primary_key=True, related_name="state")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    state = models.CharField(max_length=10)
    since = models.DateTimeField()
    moved_at = models.DateTimeField(null=True)
    look_again = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return self.state


class SinkProgress(models.Model):
    """How far a sink has come with a vehicle's batches; claimed under a lease."""

    pk = models.CompositePrimaryKey("sink", "vehicle_id")
    sink = models.CharField(max_length=30)
    vehicle_id = models.IntegerField()
    version = models.BigIntegerField(default=0)
    done_at = models.DateTimeField(null=True, help_text="When it last had its turn.")
    lease_until = models.DateTimeField(null=True)
    lease_owner = models.UUIDField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    dead_at = models.DateTimeField(null=True, help_text="Set after too many failures; not tried again until revived.")
    error = models.CharField(max_length=300, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.sink} of vehicle {self.vehicle_id}"


class RejectedReading(models.Model):
    """A reading that was refused, kept so that somebody can mend its sender."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="rejected_readings")
    device_id = models.IntegerField(null=True)
    batch = models.CharField(max_length=36)
    received_at = models.DateTimeField(auto_now_add=True)
    vehicle = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=64, blank=True)
    signal = models.CharField(max_length=100, blank=True)
    time = models.DateTimeField(null=True)
    value = models.CharField(max_length=100, blank=True)
    code = models.CharField(max_length=30)
    detail = models.CharField(max_length=300)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "-id"], name="rejected_by_organization"),
            models.Index(fields=["received_at"], name="rejected_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class RejectionCount(models.Model):
    """How many readings of a device were rejected on a day (UTC), by reason and signal; nothing is left out of it."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="rejection_counts")
    device_id = models.IntegerField(help_text="0 for what the portal fetched itself.")
    day = models.DateField()
    code = models.CharField(max_length=30)
    signal = models.CharField(max_length=100, blank=True)
    count = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "device_id", "day", "code", "signal"], name="rejection_once"
            )
        ]
        ordering = ["-day", "-count"]

    def __str__(self) -> str:
        return f"{self.count} x {self.code}"


class SocketTicket(models.Model):
    """A ticket for one WebSocket; only its SHA-256 is kept, and it is deleted when it is used."""

    sha256 = models.BinaryField(max_length=32, primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=64, blank=True)
    token_id = models.IntegerField(default=0, help_text="The API token that it was asked for with.")
    credential_expires = models.FloatField(default=0, help_text="When what it was asked for with ends; epoch seconds.")
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"ticket of {self.user_id}"


class CommandState(models.TextChoices):
    """Where a command stands."""

    QUEUED = "queued", "queued"
    SENT = "sent", "sent"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    TIMED_OUT = "timed_out", "timed out"


class Command(models.Model):
    """Something that a vehicle's agent is asked to do, sent to it at most once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="commands")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="commands")
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    type = models.CharField(max_length=20)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=CommandState.choices, default=CommandState.QUEUED)
    result = models.JSONField(null=True)
    detail = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="Not sent by then, or sent and not answered by then: timed out.")

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["vehicle", "-created_at"], name="command_by_vehicle"),
            models.Index(fields=["expires_at"], name="command_open", condition=models.Q(state__in=("queued", "sent"))),
        ]

    def __str__(self) -> str:
        return f"{self.type}: {self.get_state_display()}"


class TroubleCodeStatus(models.TextChoices):
    """Where a trouble code stands (SAE J1979: modes 07, 03, 0A); cleared: the vehicle tells it no longer."""

    PENDING = "pending", "pending"
    CONFIRMED = "confirmed", "confirmed"
    PERMANENT = "permanent", "permanent"
    CLEARED = "cleared", "cleared"


class TroubleCode(models.Model):
    """A diagnostic trouble code of a vehicle, from when it was first to when it was last told."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="trouble_codes")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="trouble_codes")
    code = models.CharField(max_length=10)
    status = models.CharField(max_length=10, choices=TroubleCodeStatus.choices)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    freeze_frame = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["vehicle", "code"], name="trouble_code_once")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.code} ({self.get_status_display()})"


class VehicleSettings(models.Model):
    """What was asked of a vehicle's settings, and what its agent says they are."""

    vehicle = models.OneToOneField(Vehicle, models.CASCADE, primary_key=True, related_name="settings")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    desired = models.JSONField(default=dict)
    reported = models.JSONField(default=dict)
    reported_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"settings of {self.vehicle_id}"
