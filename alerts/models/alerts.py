"""Alerts and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, models
from django.utils import timezone

from alerts.models.rules import AlertRule, Severity
from fleet.accounts.models import Organization, User
from fleet.lib.public_ids import HasPublicId, Kind
from vehicles.models import Vehicle


class AlertQuerySet(models.QuerySet["Alert"]):
    """Alerts; those that late data took back are in none of the lists."""

    def standing(self) -> AlertQuerySet:
        """Not withdrawn."""
        return self.filter(withdrawn_at=None)

    def open(self) -> AlertQuerySet:
        """Neither cleared nor withdrawn."""
        return self.standing().filter(cleared_at=None)

    def unseen(self) -> AlertQuerySet:
        """Open, and acknowledged by nobody: what the bell counts."""
        return self.open().filter(acknowledged_at=None)

    def in_state(self, state: str) -> AlertQuerySet:
        """``open`` (nobody acknowledged it), ``acknowledged`` (and not cleared), ``cleared``, ``withdrawn``."""
        match state:
            case "open":
                return self.unseen()
            case "acknowledged":
                return self.open().filter(acknowledged_at__isnull=False)
            case "cleared":
                return self.standing().filter(cleared_at__isnull=False)
            case "withdrawn":
                return self.filter(withdrawn_at__isnull=False)
        return self.standing()

    def write_times(self, alerts: Sequence[Alert]) -> None:
        """Write all times of saved alerts that evaluation or telling changes: one statement."""
        if not alerts:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE alerts_alert a SET {', '.join(f'{name} = v.{name}' for name in _CHANGING)}"
                f" FROM unnest(%s::int8[]{', %s::timestamptz[]' * len(_CHANGING)}) AS v (id, {', '.join(_CHANGING)})"
                " WHERE a.id = v.id",
                [[a.pk for a in alerts], *([getattr(a, name) for a in alerts] for name in _CHANGING)],
            )


_CHANGING = ("opened_at", "cleared_at", "withdrawn_at", "tell_at", "told_at", "escalate_at")


class Alert(HasPublicId, models.Model):
    """One episode of a rule on a vehicle. Acknowledged and cleared are independent of each other.

    ``opened_at`` and ``cleared_at`` are event times. ``known_at``: when the portal found it. ``tell_at``: when its
    channels are to be told, once that is due; ``told_at``: when that was handed to them.
    """

    ID_KIND = Kind.ALERT

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="alerts")
    rule = models.ForeignKey(AlertRule, models.SET_NULL, null=True, related_name="alerts")
    revision = models.PositiveIntegerField(default=1, help_text="Of the rule that raised it.")
    rule_name = models.CharField(max_length=120)
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="alerts")
    severity = models.CharField(max_length=10, choices=Severity.choices)
    opened_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    known_at = models.DateTimeField(default=timezone.now)
    value = models.JSONField(null=True)
    evidence = models.JSONField(default=dict)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    assigned_to = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    snoozed_until = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    tell_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)
    escalate_at = models.DateTimeField(null=True)
    escalated = models.PositiveSmallIntegerField(default=0)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "vehicle"], name="alert_open_once",
                condition=models.Q(cleared_at=None, withdrawn_at=None),
            )
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["organization", "-opened_at", "-id"], name="alert_by_organization"),
            models.Index(fields=["vehicle", "-opened_at"], name="alert_by_vehicle"),
            models.Index(
                fields=["organization", "-opened_at"],
                name="alert_open_ones",
                condition=models.Q(cleared_at=None, withdrawn_at=None),
            ),
            models.Index(fields=["tell_at"], name="alert_to_tell", condition=models.Q(tell_at__isnull=False)),
            models.Index(
                fields=["escalate_at"], name="alert_to_escalate", condition=models.Q(escalate_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.vehicle}"

    @property
    def state(self) -> str:
        """open, acknowledged, cleared or withdrawn."""
        if self.withdrawn_at is not None:
            return "withdrawn"
        if self.cleared_at is not None:
            return "cleared"
        return "open" if self.acknowledged_at is None else "acknowledged"


class EventKind(models.TextChoices):
    """What happened to an alert."""

    OPENED = "opened", "opened"
    CLEARED = "cleared", "cleared"
    CORRECTED = "corrected", "corrected by late data"
    WITHDRAWN = "withdrawn", "withdrawn"
    ACKNOWLEDGED = "acknowledged", "acknowledged"
    ASSIGNED = "assigned", "assigned"
    SNOOZED = "snoozed", "snoozed"
    COMMENTED = "commented", "commented"
    RESOLVED = "resolved", "resolved"
    TOLD = "told", "told"
    ESCALATED = "escalated", "escalated"


class AlertEvent(models.Model):
    """One line of an alert's timeline."""

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=12, choices=EventKind.choices)
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    words = models.CharField(max_length=2_000, blank=True, default="")

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.words}".strip()
