"""Refresh tokens in the database: only their ids, never the tokens themselves, which would work as credentials."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken


@receiver(pre_save, sender=OutstandingToken)
def keep_no_token(instance: OutstandingToken, **kwargs: Any) -> None:
    """Blank the token: the library finds it by its ``jti``."""
    instance.token = ""


def delete_expired() -> int:
    """Delete the rows of tokens that are expired; returns how many."""
    return int(OutstandingToken.objects.filter(expires_at__lte=timezone.now()).delete()[0])
