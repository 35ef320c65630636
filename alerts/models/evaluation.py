"""How far the rules have come with each vehicle."""

from __future__ import annotations

from django.db import models

from fleet.accounts.models import Organization
from vehicles.models import Vehicle


class Evaluation(models.Model):
    """A vehicle's progress: its row is the lock under which it is evaluated.

    ``memory`` is `alerts.rules.memory` as of the settled time; ``recent``: episodes later than that are in the alerts.
    """

    vehicle = models.OneToOneField(Vehicle, models.CASCADE, primary_key=True, related_name="+")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    version = models.BigIntegerField(default=0)
    memory = models.BinaryField(null=True)
    newest = models.DateTimeField(null=True)
    recent = models.BooleanField(default=False)
    look_again = models.DateTimeField(null=True)
    correct_from = models.DateTimeField(null=True)
    correct_after = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["look_again"], name="evaluation_due", condition=models.Q(look_again__isnull=False)),
            models.Index(
                fields=["correct_after"], name="evaluation_corrections", condition=models.Q(correct_after__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id} at {self.version}"


class FactSpan(models.Model):
    """When a fact stood that some rule combines with readings, by the portal's clock."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="+")
    fact = models.CharField(max_length=80)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vehicle", "fact"], name="fact_stands_once", condition=models.Q(until=None))
        ]
        indexes = [models.Index(fields=["vehicle", "fact", "since"], name="fact_by_vehicle")]

    def __str__(self) -> str:
        return f"{self.fact} of vehicle {self.vehicle_id}"


class Checkpoint(models.Model):
    """Older memories of a vehicle, from which late data is evaluated anew: per level two, a period apart or more."""

    pk = models.CompositePrimaryKey("vehicle_id", "level")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="+")
    level = models.PositiveSmallIntegerField()
    older_time = models.DateTimeField(null=True)
    older = models.BinaryField(null=True)
    newer_time = models.DateTimeField(null=True)
    newer = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id}, level {self.level}"
