"""What people do beside connecting: claim a vehicle, arm the verification of a webhook, end tokens of an old key."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from fleet.accounts.models import Organization, User
from fleet.accounts.services import audit
from fleet.lib.ids import uuid_of
from fleet.lib.resealing import resealed
from integrations.sources.smartcar import polling
from integrations.sources.smartcar.connecting import NotConnected
from integrations.sources.smartcar.models import Account, AccountState, CloudVehicle, Generation, WebhookEndpoint
from integrations.sources.smartcar.processing import claim_waiting
from integrations.sources.smartcar.selectors import unclaimed_of
from integrations.sources.smartcar.tokens import SEALED, place_of
from vehicles.models import Vehicle

ARMED = timedelta(minutes=15)


@transaction.atomic
def claim(
    *, organization: Organization, vehicle: Vehicle, remote_id: str, user: User, all_of_them: bool, request: Any = None
) -> CloudVehicle:
    """Tie a vehicle that webhooks tell of to one of the organization's own, and process what waited for it.

    Raises:
        NotConnected: the organization may not claim it, or somebody has.
    """
    entry = next((e for e in unclaimed_of(organization, all_of_them=all_of_them) if e["remote_id"] == remote_id), None)
    if entry is None:
        raise NotConnected("That vehicle does not wait here: it may have been claimed meanwhile.", status=404)
    now = timezone.now()
    if uuid_of(remote_id) is None:
        raise NotConnected("What the webhook calls the vehicle is no id of Smartcar's.")
    known = uuid_of(entry["user_id"])
    account, made = Account.objects.get_or_create(
        organization=organization,
        user_id=known or uuid.uuid4(),
        defaults={"generation": Generation.V3, "connected_by": user, "connected_at": now},
    )
    if account.state == AccountState.DISCONNECTED:
        Account.objects.filter(pk=account.pk).update(state=AccountState.ACTIVE, error="")
    link, _ = CloudVehicle.objects.update_or_create(
        organization=organization,
        remote_id=remote_id,
        defaults={"account": account, "vehicle": vehicle, "connected_at": now, "disconnected_at": None},
    )
    audit("smartcar.claimed", organization=organization, user=user, target=vehicle, request=request)
    claim_waiting([remote_id])
    if not made:  # else it lives of webhooks alone, until its owner connects it
        transaction.on_commit(lambda: polling.sync_soon(CloudVehicle.objects.filter(pk=link.pk)))
    return link


def endpoint_of_the_portal() -> WebhookEndpoint:
    """The address for deliveries, made when first asked for."""
    found = WebhookEndpoint.objects.order_by("pk").first()
    return found or WebhookEndpoint.objects.create(key=secrets.token_urlsafe(32))


def address_of(endpoint: WebhookEndpoint, base_url: str = "") -> str:
    """What is written into Smartcar's dashboard; ``base_url`` where it is not `BASE_URL`."""
    return f"{base_url or settings.BASE_URL}/webhooks/smartcar/{endpoint.key}"


def arm(endpoint: WebhookEndpoint, user: User | None, duration: timedelta = ARMED, request: Any = None) -> None:
    """Let challenges be answered for a while."""
    endpoint.armed_until = timezone.now() + duration
    endpoint.save(update_fields=["armed_until"])
    audit("smartcar.webhook_armed", user=user, target=endpoint, request=request)


def reseal() -> Iterator[str]:
    """Seal every secret anew with the newest key; it may be begun again. Yields what was resealed."""
    for model, columns in SEALED:
        yield from resealed(model, columns, place_of)
