"""From kept deliveries to readings, in a worker. Doing it twice changes nothing: ingest knows what it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from fleet.accounts.models import Organization
from fleet.lib.errors import MotorpoolError
from fleet.lib.ids import uuid_of
from integrations.sources.smartcar import troubles
from integrations.sources.smartcar.events import Event, event_of
from integrations.sources.smartcar.models import CloudVehicle, EventState, WebhookEvent
from integrations.sources.smartcar.signals import Signal, readings_of
from telemetry.ingest.local import Reading, store_readings

SOURCE = "smartcar"
AT_ONCE = 200
RANGES = ("traction_battery.range", "fuel.range")
MOST_ATTEMPTS = 8
KEEP_DAYS = 30

_OUTCOME = (
    "state", "kind", "remote_ids", "unclaimed_ids", "user_id", "organizations", "readings", "detail", "attempts",
    "not_before", "processed_at",
)  # fmt: skip
_OF_LINK = (
    "last_webhook", "last_poll", "last_sync", "asleep", "raw", "incapable", "error", "error_code", "poll_failures",
    "quiet_polls", "not_before",
)  # fmt: skip

log = structlog.get_logger(__name__)


def process_waiting() -> int:
    """Process what waits, a transaction for so many at once; returns how many. A kill leaves them waiting."""
    with transaction.atomic():
        now = timezone.now()
        waiting = WebhookEvent.objects.select_for_update(skip_locked=True).filter(state=EventState.WAITING)
        events = list(waiting.exclude(not_before__gt=now).order_by("id")[:AT_ONCE])
        try:
            with transaction.atomic():
                _process(events)
        except Exception as error:
            log.warning("webhooks.together_failed", error=str(error)[:200], events=len(events))
            for event in events:  # one of them is at fault, or the database is slow: each by itself
                _process_alone(event)
        _write(events, _OUTCOME)
    return len(events)


def _process_alone(event: WebhookEvent) -> None:
    try:
        with transaction.atomic():
            _process([event])
    except Exception as error:
        event.attempts += 1
        event.detail = str(error)[:300]
        final = event.attempts >= MOST_ATTEMPTS and not (isinstance(error, MotorpoolError) and error.status == 503)
        event.state = EventState.FAILED if final else EventState.WAITING
        event.not_before = timezone.now() + timedelta(seconds=min(300, 2**event.attempts))
        log.exception("webhooks.failed", event_id=event.event_id)


def _process(rows: list[WebhookEvent]) -> None:
    parsed = [(row, event_of(bytes(row.body), msgspec.json.decode(bytes(row.body)))) for row in rows]
    wanted = {delivery.remote_id for _, event in parsed for delivery in event.deliveries}
    links: dict[str, list[CloudVehicle]] = defaultdict(list)
    known = CloudVehicle.objects.filter(
        remote_id__in=[remote_id for remote_id in wanted if uuid_of(remote_id)], disconnected_at=None
    )
    for link in known.select_related("account").order_by("pk").select_for_update(of=("self",)):
        links[str(link.remote_id)].append(link)
    readings: dict[int, list[Reading]] = defaultdict(list)
    origin: dict[tuple[int, int], WebhookEvent] = {}
    for row, event in parsed:
        found = _apply(row, event, links)
        for organization_id, more in found.items():
            readings[organization_id] += more
            origin.update({(reading.vehicle_id, round(reading.time * 1_000)): row for reading in more})
    for organization_id, several in readings.items():
        stored = store_readings(organization_id, SOURCE, several)
        if stored.rejected:
            log.warning("smartcar.rejected", organization=organization_id, reasons=stored.reasons)
            _note_rejections(stored.rejections, origin)
    save(link for several in links.values() for link in several)


def _note_rejections(
    rejections: Sequence[tuple[int, float | None, str]], origin: Mapping[tuple[int, int], WebhookEvent]
) -> None:
    """Say on each event which of its readings were rejected."""
    found: dict[int, list[str]] = defaultdict(list)
    rows: dict[int, WebhookEvent] = {}
    for vehicle_id, moment, words in rejections:
        row = origin.get((vehicle_id, round((moment or 0.0) * 1_000)))
        if row is not None:
            rows[row.pk] = row
            found[row.pk].append(words)
    for pk, row in rows.items():
        count = len(found[pk])
        row.readings = max(0, row.readings - count)
        row.detail = f"{row.detail} {count} rejected: {'; '.join(found[pk])}".strip()[:300]


def _apply(row: WebhookEvent, event: Event, links: dict[str, list[CloudVehicle]]) -> dict[int, list[Reading]]:
    """Note what an event is, what it says of its vehicles, and give back its readings by organization."""
    now = timezone.now()
    row.kind, row.user_id = event.kind, event.user_id[:40]
    row.remote_ids = [delivery.remote_id for delivery in event.deliveries]
    row.detail, row.readings, row.processed_at = "", 0, now
    readings: dict[int, list[Reading]] = defaultdict(list)
    organizations: set[int] = set()
    unknown: list[str] = []
    for delivery in event.deliveries:
        mine = [link for link in links.get(delivery.remote_id, ()) if _is_of(link, delivery.user_id)]
        if not mine:
            unknown.append(delivery.remote_id)
        for link in mine:
            organizations.add(link.organization_id)
            at = event.delivered_at or row.received_at.timestamp()
            found = readings_from(link, delivery.signals, at)
            readings[link.organization_id] += found
            link.quiet_polls = 0
            row.readings += sum(len(reading.values) for reading in found)
            link.last_webhook = max(filter(None, (link.last_webhook, row.received_at)))
            link.last_sync = max(filter(None, (link.last_sync, row.received_at)))
            if link.error_code == troubles.NO_WEBHOOKS:
                troubles.clear(link)
            for error in event.errors:
                troubles.note(link, error)
    row.organizations = sorted({*row.organizations, *organizations})
    row.unclaimed_ids = [] if event.mode == "TEST" else unknown
    if organizations:
        row.state = EventState.DONE
    elif not event.deliveries:
        row.state, row.detail = EventState.IGNORED, "It tells of no vehicle."
    elif event.mode == "TEST":
        row.state, row.detail = EventState.IGNORED, "A test of the dashboard, for a vehicle that is not ours."
    else:
        row.state, row.detail = EventState.UNCLAIMED, "Nobody has connected this vehicle."
    return readings


def _is_of(link: CloudVehicle, user_id: str) -> bool:
    """Whether a delivery is for this connection: a car that changed hands tells of its new owner to nobody else."""
    return uuid_of(user_id) in (None, link.account.user_id)


def readings_from(link: CloudVehicle, signals: Iterable[Signal], otherwise: float) -> list[Reading]:
    """The readings in signals, each under the maker's own time; notes on the link what is no reading.

    Args:
        otherwise: the time of what has none, in epoch seconds.
    """
    by_time: dict[float, dict[str, Any]] = {}
    incapable = set(link.incapable)
    for signal in signals:
        at = signal.time or otherwise
        if signal.error is not None:
            if signal.error.type == "COMPATIBILITY":
                incapable.add(signal.code)
            if (signal.error.type, signal.error.code) == ("VEHICLE_STATE", "ASLEEP"):
                link.asleep = True
            continue
        incapable.discard(signal.code)
        if signal.code == "connectivitystatus-isasleep" and signal.body is not None:
            link.asleep = signal.body.get("value") is True
        values = readings_of(signal)
        if values:
            by_time.setdefault(at, {}).update(values)
        elif signal.body is not None:
            known = link.raw.get(signal.code)
            newer = known is None or at >= known.get("time", 0)
            if newer and r"\x00" not in repr(signal.body):
                link.raw[signal.code] = {"time": at, "body": dict(signal.body)}
    link.incapable = sorted(incapable)[:150]
    _add_range(by_time)
    return [Reading(link.vehicle_id, at, values) for at, values in sorted(by_time.items())]


def _add_range(by_time: dict[float, dict[str, Any]]) -> None:
    """The vehicle's range, where it has only one: a plug-in hybrid tells one of its battery and one of its fuel."""
    kinds = {name for values in by_time.values() for name in RANGES if name in values}
    for name in kinds if len(kinds) == 1 else ():
        for values in by_time.values():
            if name in values:
                values["vehicle.range"] = values[name]


def save(links: Iterable[CloudVehicle]) -> None:
    """Write what processing changed on links."""
    _write(list(links), _OF_LINK)


def _write(rows: list[Any], fields: tuple[str, ...]) -> None:
    """Write changed fields of locked rows: by far cheaper than `bulk_update`, whose cases Django builds one by one."""
    if rows:
        type(rows[0])._default_manager.bulk_create(
            rows, update_conflicts=True, unique_fields=["id"], update_fields=list(fields)
        )


def replay(events: Any) -> int:
    """Process events of a query again; returns how many."""
    changed: int = events.exclude(state=EventState.WAITING).update(
        state=EventState.WAITING, attempts=0, not_before=None
    )
    return changed


def claim_waiting(remote_ids: Iterable[str]) -> int:
    """Let what waited for vehicles to be connected be processed; returns how many events."""
    return replay(WebhookEvent.objects.filter(unclaimed_ids__overlap=[str(remote) for remote in remote_ids]))


def trim(now: datetime | None = None) -> None:
    """Forget processed deliveries after a month; what nobody claimed is kept three times as long.

    An organization that keeps its readings for less keeps these for less; one that is gone keeps none.
    """
    now = now or datetime.now(UTC)
    finished = WebhookEvent.objects.filter(state__in=(EventState.DONE, EventState.IGNORED))
    finished.filter(received_at__lt=now - timedelta(days=KEEP_DAYS)).delete()
    WebhookEvent.objects.filter(received_at__lt=now - timedelta(days=3 * KEEP_DAYS)).delete()
    briefly = Organization.objects.filter(Q(frame_days__lt=KEEP_DAYS) | Q(buffer_seconds__isnull=False))
    for organization in briefly:
        kept = timedelta(seconds=organization.buffer_seconds or (organization.frame_days or 1) * 86_400)
        told = finished.filter(organizations__contains=[organization.pk])
        told.filter(received_at__lt=now - kept).delete()
    known = list(Organization.objects.values_list("pk", flat=True))
    finished.exclude(organizations=[]).exclude(organizations__overlap=known).delete()
