"""How much may be asked: the application's bucket (requests that refill by two a minute), and a vehicle's month.

Counted before a call, in the database, so that all workers together keep to it (Smartcar documentation, API limits).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure
from integrations.sources.smartcar.models import Application, CloudVehicle

OWN_LIMIT = "OWN_LIMIT"
"""The code of a refusal that is ours, made before anything was sent."""
REFILL_PER_SECOND = 2 / 60
RESERVE = 20
"""Requests of the bucket that polls leave for what people ask."""


def take(link: CloudVehicle | None, *, polling: bool = False, cost: int = 1, now: datetime | None = None) -> None:
    """Count requests before they are made.

    Args:
        link: the vehicle whose month they belong to; None for calls that are not billed.

    Raises:
        Failure: they are used up, or Smartcar has asked for patience that is not over.
    """
    now = now or timezone.now()
    settings = configuration()
    with transaction.atomic():
        if link is not None:  # first: whoever waits for a vehicle holds up nobody else
            _count(link, cost, now)
        row, _ = Application.objects.select_for_update().get_or_create(pk=1)
        if row.paused_until and row.paused_until > now:
            wait = (row.paused_until - now).total_seconds()
            raise Failure(429, "RATE_LIMIT", OWN_LIMIT, "Smartcar has asked for patience.", wait)
        size = settings.application_requests
        since = (now - row.bucket_at).total_seconds() if row.bucket_at else 0.0
        held = min(float(size), (size if row.bucket is None else row.bucket) + max(0.0, since) * REFILL_PER_SECOND)
        if held < cost + (min(RESERVE, size // 2) if polling else 0):
            raise Failure(429, "RATE_LIMIT", OWN_LIMIT, "Too many calls at once.", 60)
        row.bucket, row.bucket_at = held - cost, now
        row.used_total += cost
        row.save(update_fields=["bucket", "bucket_at", "used_total"])


def _count(link: CloudVehicle, cost: int, now: datetime) -> None:
    month = now.strftime("%Y-%m")
    # Smartcar counts by vehicle, whoever of its organizations asks.
    known = CloudVehicle.objects.select_for_update().filter(remote_id=link.remote_id).order_by("pk")
    counts = {row.pk: row.requests for row in known if row.month == month}
    used = counts.get(link.pk, 0)
    if sum(counts.values()) + cost > configuration().vehicle_requests:
        raise Failure(430, "BILLING", "VEHICLE_REQUEST_LIMIT")
    CloudVehicle.objects.filter(pk=link.pk).update(month=month, requests=used + cost)
    link.month, link.requests = month, used + cost


def left(link: CloudVehicle, now: datetime) -> int:
    """How many requests a vehicle has left this month."""
    used = link.requests if link.month == now.strftime("%Y-%m") else 0
    return max(0, configuration().vehicle_requests - used)


def pause(seconds: float | None, now: datetime | None = None) -> None:
    """Smartcar asked the application for patience: nobody calls until it is over."""
    until = (now or timezone.now()) + timedelta(seconds=min(3600.0, seconds or 60.0))
    Application.objects.filter(pk=1).update(paused_until=until)
