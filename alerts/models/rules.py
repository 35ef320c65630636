"""Rules, escalations and geofences."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from fleet.accounts.models import Organization, User
from fleet.lib.public_ids import HasPublicId, Kind
from vehicles.models import Group, Vehicle


class Severity(models.TextChoices):
    """How soon a human should look: critical means now."""

    INFO = "info", "info"
    WARNING = "warning", "warning"
    CRITICAL = "critical", "critical"


class Geofence(HasPublicId, models.Model):
    """An area: a GeoJSON geometry; a Point or LineString with a radius in metres is a circle or a corridor."""

    ID_KIND = Kind.GEOFENCE

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="geofences")
    name = models.CharField(max_length=100)
    geometry = models.JSONField()
    radius = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="geofence_name_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RuleQuerySet(models.QuerySet["AlertRule"]):
    """Rules."""

    def combining_facts(self) -> RuleQuerySet:
        """The enabled ones that ask for facts beside readings."""
        return self.filter(enabled=True).exclude(facts=[])


class AlertRule(HasPublicId, models.Model):
    """When an alert is raised and cleared, for which vehicles, and whom it tells.

    ``condition`` and ``clear`` are kept as they were posted: see `alerts.wire`.
    """

    ID_KIND = Kind.RULE

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=120)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    enabled = models.BooleanField(default=True)
    all_vehicles = models.BooleanField(default=True)
    vehicles = models.ManyToManyField(Vehicle, related_name="+", blank=True)
    groups = models.ManyToManyField(Group, related_name="+", blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    condition = models.JSONField()
    clear = models.JSONField(null=True, blank=True)
    lasting = models.DurationField(default=timedelta(0), help_text="For how long the condition must hold.")
    clear_lasting = models.DurationField(default=timedelta(0))
    times = models.PositiveSmallIntegerField(default=1)
    within = models.DurationField(default=timedelta(0))
    hold = models.DurationField(default=timedelta(minutes=10), help_text="For how long a value counts once told.")
    cooldown = models.DurationField(default=timedelta(minutes=15), help_text="Nobody is told again sooner.")
    tell_cleared = models.BooleanField(default=False, help_text="Whoever was told of it is told when it is over.")
    schedule = models.JSONField(null=True, blank=True)
    channels = models.ManyToManyField("alerts.Channel", related_name="rules", blank=True)
    facts = ArrayField(models.CharField(max_length=80), default=list, blank=True, editable=False)
    """What it combines with readings: names of `alerts.wire.fact_of`."""
    revision = models.PositiveIntegerField(default=1)
    begins = models.DateTimeField(default=timezone.now, help_text="Earlier readings do not count.")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Escalation(models.Model):
    """Whom else to tell of an alert that nobody acknowledged for a while."""

    rule = models.ForeignKey(AlertRule, models.CASCADE, related_name="escalations")
    after = models.DurationField()
    channel = models.ForeignKey("alerts.Channel", models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "after", "channel"], name="escalation_once")]
        ordering = ["after", "id"]

    def __str__(self) -> str:
        return f"{self.channel} after {self.after}"
