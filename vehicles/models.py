"""Vehicles, the names they go by, and the devices that may write their telemetry."""

from __future__ import annotations

from functools import reduce
from operator import or_

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from fleet.accounts.models import Organization, User
from fleet.lib.ids import clean_name
from fleet.lib.public_ids import HasPublicId, Kind
from vehicles import vin as vin_numbers


class Powertrain(models.TextChoices):
    """What moves the vehicle."""

    UNKNOWN = "", "unknown"
    COMBUSTION = "combustion", "combustion"
    HYBRID = "hybrid", "hybrid"
    PLUG_IN_HYBRID = "plug_in_hybrid", "plug-in hybrid"
    ELECTRIC = "electric", "electric"


class Group(models.Model):
    """A named set of vehicles."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="vehicle_groups")
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="group_name_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def _valid_vin(value: str) -> None:
    problem = vin_numbers.problem(value)
    if problem:
        raise ValidationError(problem)


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    """Vehicles."""

    def search(self, words: str) -> VehicleQuerySet:
        """Those with the words in their name, VIN, make, model or an alias; in whatever Unicode form they come."""
        words = clean_name(words)
        columns = ("name", "vin", "make", "model", "aliases__alias")
        conditions = [models.Q((f"{column}__icontains", words)) for column in columns]
        return self.filter(reduce(or_, conditions)).distinct()


class Vehicle(HasPublicId, models.Model):
    """A vehicle of an organization. Its VIN is unique there; other names are aliases."""

    ID_KIND = Kind.VEHICLE

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="vehicles")
    name = models.CharField(max_length=120)
    vin = models.CharField("VIN", max_length=17, null=True, blank=True, validators=[_valid_vin])
    make = models.CharField(max_length=60, blank=True)
    model = models.CharField(max_length=60, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    powertrain = models.CharField(max_length=20, choices=Powertrain.choices, blank=True, default="")
    groups = models.ManyToManyField(Group, related_name="vehicles", blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    attributes = models.JSONField(default=dict, blank=True, help_text="Numbers of its own, such as thresholds.")
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = VehicleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "vin"], name="vin_once")]
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def description(self) -> str:
        """Make, model and year in a line."""
        return " ".join(str(part) for part in (self.year, self.make, self.model) if part)


class VehicleAlias(models.Model):
    """Another identifier by which devices and clients may name a vehicle."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="vehicle_aliases")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="aliases")
    alias = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "alias"], name="alias_once")]
        ordering = ["alias"]

    def __str__(self) -> str:
        return self.alias


class Device(HasPublicId, models.Model):
    """An ingest credential: a collector agent or any other sender. Only its key's SHA-256 is kept."""

    ID_KIND = Kind.DEVICE
    PREFIX = "mpd_"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="devices")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=12)
    sha256 = models.BinaryField(max_length=32, unique=True)
    all_vehicles = models.BooleanField(default=False, help_text="May write every vehicle of the organization.")
    vehicles = models.ManyToManyField(Vehicle, related_name="devices", blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name
