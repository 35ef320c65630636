"""What the pages and the API show of connections and webhooks, each from the organization on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from alerts.evaluation.facts import Fact
from fleet.accounts.models import Organization
from integrations.sources.smartcar import allowance
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.models import (
    AccountState,
    CloudVehicle,
    WebhookEvent,
)
from integrations.sources.smartcar.tokens import application

UNCLAIMED_SHOWN = 50


def links_of(organization: Organization) -> QuerySet[CloudVehicle]:
    """The organization's connected vehicles."""
    return organization.smartcar_vehicles.filter(disconnected_at=None).select_related("vehicle", "account")


def broken_connections(organization: Organization, wanted: str) -> list[Fact]:
    """The vehicles whose account wants a new sign-in of its owner, since anything last came of them: for alerts."""
    links = links_of(organization).filter(account__state=AccountState.RECONNECT)
    return [Fact(link.vehicle_id, link.last_sync or link.connected_at, link.account.error) for link in links]


def events_of(organization: Organization) -> QuerySet[WebhookEvent]:
    """Deliveries that told of the organization's vehicles, the newest first."""
    return WebhookEvent.objects.filter(organizations__contains=[organization.pk])


def unclaimed_of(organization: Organization, *, all_of_them: bool) -> list[dict[str, Any]]:
    """Vehicles that webhooks tell of and nobody has connected.

    An organization sees those of its own accounts' users; all of them only who runs the portal, or the one
    organization of a portal that has no other.
    """
    waiting = WebhookEvent.objects.exclude(unclaimed_ids=[])
    if not all_of_them and Organization.objects.count() > 1:
        users = [str(user) for user in organization.smartcar_accounts.values_list("user_id", flat=True)]
        waiting = waiting.filter(user_id__in=users)
    found: dict[str, dict[str, Any]] = {}
    for event in waiting.order_by("-id").defer("body")[:1000]:
        for remote_id in event.unclaimed_ids:
            if remote_id not in found:
                found[remote_id] = {
                    "remote_id": remote_id, "user_id": event.user_id, "events": 0, "newest": event.received_at,
                    "event": event.pk,
                }  # fmt: skip
            found[remote_id]["events"] += 1
    shown = list(found.values())[:UNCLAIMED_SHOWN]
    bodies = dict(WebhookEvent.objects.filter(pk__in=[row["event"] for row in shown]).values_list("pk", "body"))
    for row in shown:
        row["about"] = _about(bytes(bodies.get(row.pop("event"), b"")))
    return shown


def describe(link: CloudVehicle, now: datetime | None = None) -> dict[str, Any]:
    """A connection in words: how it is, what to do next, what it may still ask."""
    now = now or timezone.now()
    if link.account.state == AccountState.RECONNECT:
        state, words, step = "broken", link.account.error, "reconnect"
    elif link.error:
        # Consent and sign-ins are the owner's to renew; all else passes, or its words say who mends it.
        again = link.error_code.startswith(("PERMISSION", "AUTHENTICATION", "CONNECTED_SERVICES_ACCOUNT"))
        state, words, step = "warning", link.error, "reconnect" if again else ""
    elif link.last_sync is None:
        state, words, step = "syncing", "Waiting for the first data …", ""
    else:
        state, words, step = "connected", "", ""
    return {
        "state": state,
        "words": words,
        "step": step,
        "left": allowance.left(link, now),
        "allowed": configuration().vehicle_requests,
        "patience": link.not_before if link.not_before and link.not_before > now else None,
    }


def usage() -> dict[str, Any]:
    """The application's bucket as it was left, its size, and calls in all."""
    row = application()
    return {
        "bucket": configuration().application_requests if row.bucket is None else int(row.bucket),
        "size": configuration().application_requests,
        "total": row.used_total,
        "paused_until": row.paused_until if row.paused_until and row.paused_until > timezone.now() else None,
    }


def _about(body: bytes) -> str:
    """Make, model and year of a delivery's vehicle."""
    try:
        vehicle = msgspec.json.decode(body)["data"]["vehicle"]
        return " ".join(str(vehicle[name])[:40] for name in ("make", "model", "year") if vehicle.get(name))
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError):
        return ""
