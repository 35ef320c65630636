"""People, organizations and what they may do. An organization is the tenant: every other row hangs below one."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from fleet.lib.public_ids import HasPublicId, Kind


class Role(models.IntegerChoices):
    """What a member may do: each role includes those below it."""

    VIEWER = 1, "viewer"
    OPERATOR = 3, "operator"
    ADMIN = 5, "admin"


class UserManager(BaseUserManager["User"]):
    """Makes users with an e-mail address or a user name."""

    def create_user(
        self, email: str | None = None, username: str | None = None, password: str | None = None, **fields: Any
    ) -> User:
        """A new user; raises ValueError with neither name."""
        if not email and not username:
            raise ValueError("A user needs an e-mail address or a user name.")
        user = self.model(email=(email or "").lower() or None, username=username or None, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str | None = None, username: str | None = None, password: str | None = None, **fields: Any
    ) -> User:
        """A user who may open the Django admin."""
        return self.create_user(email, username, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """By e-mail address."""
        return self.get(email=(username or "").lower())


class User(HasPublicId, AbstractBaseUser, PermissionsMixin):
    """A person. Signs in with an e-mail address or a user name; one of the two may be missing."""

    ID_KIND = Kind.USER

    email = models.EmailField(unique=True, null=True, blank=True)
    username = models.CharField(
        max_length=150, unique=True, null=True, blank=True, validators=[UnicodeUsernameValidator()]
    )
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May open the Django admin.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_once"),
            models.UniqueConstraint(Lower("username"), name="user_username_once"),
            models.CheckConstraint(
                condition=models.Q(email__isnull=False) | models.Q(username__isnull=False), name="user_has_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.username or f"user {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keep a missing name NULL, so that two users without one do not collide."""
        self.email = (self.email or "").lower() or None
        self.username = self.username or None
        super().save(*args, **kwargs)


class Organization(HasPublicId, models.Model):
    """A tenant."""

    ID_KIND = Kind.ORGANIZATION

    name = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=60, default="UTC")
    allow_new_signals = models.BooleanField(default=True, help_text="Add signals that devices send and nobody named.")
    signal_quota = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's default.")
    frame_days = models.PositiveIntegerField(
        "keep readings for days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text="Empty: for ever.",
    )
    rollup_days = models.PositiveIntegerField(
        "keep rollups for days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text="Empty: for ever.",
    )
    buffer_seconds = models.PositiveIntegerField(
        "keep only the last seconds",
        null=True,
        blank=True,
        validators=[MinValueValidator(10), MaxValueValidator(31_536_000)],
        help_text="For those who only want to see live: no rollups, and older readings are deleted. Empty: off.",
    )
    rollups_since = models.DateTimeField(null=True, editable=False)
    """When a buffer was switched off: what is older was never rolled up."""
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    def __str__(self) -> str:
        return self.name


class Membership(HasPublicId, models.Model):
    """One user's role in one organization."""

    ID_KIND = Kind.MEMBER

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.organization}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Personal tokens."""

    def usable(self) -> ApiTokenQuerySet:
        """Neither revoked nor expired."""
        now = timezone.now()
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), revoked_at=None)


class ApiToken(HasPublicId, models.Model):
    """A personal token: acts as its user in one organization. Only its SHA-256 is kept."""

    ID_KIND = Kind.TOKEN
    PREFIX = "mpt_"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="api_tokens")
    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    sha256 = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SignInFailures(models.Model):
    """Failed sign-ins of an account or from an address since a time; the key is a hash of which."""

    key = models.CharField(max_length=64, primary_key=True)
    since = models.DateTimeField()
    failures = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.failures} since {self.since}"


class Invitation(HasPublicId, models.Model):
    """An offer to join an organization, sent by e-mail; only the SHA-256 of its secret is kept."""

    ID_KIND = Kind.INVITATION
    PREFIX = "mpi_"
    DAYS = 7

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.VIEWER)
    sha256 = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.email} as {self.get_role_display()}"


class AuditEvent(models.Model):
    """Who did what. Rows are only ever added."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, related_name="audit_events")
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["organization", "-id"], name="audit_by_organization")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


def new_secret(prefix: str) -> tuple[str, str, bytes]:
    """A fresh random secret: the secret itself (shown once), its visible beginning, and its SHA-256.

    256 bits of randomness need no slow hash.
    """
    secret = prefix + secrets.token_urlsafe(32)
    return secret, secret[:12], secret_hash(secret)


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a secret, as stored."""
    return hashlib.sha256(secret.encode()).digest()
