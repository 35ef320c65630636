"""When facts stood that rules combine with readings.

They are noted as they are noticed and never moved, so a vehicle that is evaluated anew from an older memory gets the
same truth again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Exists, OuterRef
from django.utils import timezone

from alerts.models import AlertRule, Evaluation, FactSpan
from alerts.rules.table import ALWAYS, Spans
from fleet.accounts.models import Organization
from telemetry import store
from telemetry.store import wire

KEPT = timedelta(days=22)
"""Longer than the oldest memory from which a vehicle may be evaluated anew."""
Standing = Mapping[str, Mapping[int, Spans]]
"""By fact and vehicle id."""


def read(facts: Iterable[str], vehicle_ids: Iterable[int], after: int) -> Standing:
    """When some facts stood of some vehicles, as far as that reaches beyond a time: one query, none without facts."""
    asked = sorted(facts)
    if not asked:
        return {}
    with store.cursor() as opened:
        rows = opened.execute(
            "SELECT fact, vehicle_id, since, until FROM alerts_factspan"
            " WHERE vehicle_id = ANY(%s) AND fact = ANY(%s) AND (until IS NULL OR until > %s) ORDER BY since",
            [wire.int4_array(np.array(sorted(vehicle_ids), np.int32)), asked, wire.timestamp(after)],
        ).fetchall()
    listed: dict[str, dict[int, list[tuple[int, int]]]] = {fact: {} for fact in asked}
    for fact, vehicle_id, since, until in rows:
        listed[fact].setdefault(vehicle_id, []).append((since, ALWAYS if until is None else until))
    return {
        fact: {vehicle_id: Spans.of(pairs) for vehicle_id, pairs in vehicles.items()}
        for fact, vehicles in listed.items()
    }


def note(organization: Organization, fact: str, vehicle_ids: set[int], now: datetime) -> set[int]:
    """Note of which vehicles a fact stands now; returns those where that changed. One caller per organization."""
    standing = FactSpan.objects.filter(organization=organization, fact=fact, until=None)
    known = set(standing.values_list("vehicle_id", flat=True))
    standing.filter(vehicle_id__in=known - vehicle_ids).update(until=now)
    FactSpan.objects.bulk_create(
        [FactSpan(organization=organization, fact=fact, vehicle_id=pk, since=now) for pk in vehicle_ids - known],
        batch_size=1_000,
    )
    return known ^ vehicle_ids


def forget_unused(organization: Organization) -> None:
    """Forget what no enabled rule asks for: nobody looks any longer whether it still stands."""
    rules = AlertRule.objects.filter(organization=organization, enabled=True)
    asked = {fact for facts in rules.values_list("facts", flat=True) for fact in facts}
    FactSpan.objects.filter(organization=organization).exclude(fact__in=asked).delete()


def trim() -> None:
    """Forget what ended too long ago to matter: of a silent vehicle all since its last reading still does."""
    silent_since = Evaluation.objects.filter(vehicle_id=OuterRef("vehicle_id"), newest__lt=OuterRef("until") + KEPT)
    FactSpan.objects.filter(until__lt=timezone.now() - KEPT).exclude(Exists(silent_since)).delete()
