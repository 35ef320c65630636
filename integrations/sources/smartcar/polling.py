"""Fill what lost webhooks would have told: a webhook is given up after four tries in three minutes.

A vehicle is asked every 15 minutes while its webhooks are silent and there is news, less and less often while there is
none, hourly while webhooks come, and seldom while a collector in it is live. All of it keeps to the month's allowance:
what was used may run ahead of the month by a tenth of it.
"""

from __future__ import annotations

import calendar
import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from fleet.lib import bell
from fleet.lib.errors import MotorpoolError
from integrations.sources.smartcar import allowance, troubles
from integrations.sources.smartcar.client import cloud_of
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.failures import Failure, Retry
from integrations.sources.smartcar.leases import TooBusy
from integrations.sources.smartcar.models import AccountState, CloudVehicle, Generation
from integrations.sources.smartcar.processing import SOURCE, readings_from, save
from integrations.sources.smartcar.signals import Signal
from telemetry.ingest.local import store_readings
from telemetry.selectors import latest_of

SILENT = timedelta(minutes=20)
QUICK, USUAL, SELDOM = timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6)
MOST_DOUBLINGS = 4
COLLECTOR_LIVE = timedelta(minutes=10)
AHEAD_SHARE = 0.1
CLAIM = timedelta(minutes=5)
"""How long a poll has before another worker may try."""
AT_ONCE = 50
TASK_SECONDS = 45.0

log = structlog.get_logger(__name__)


def poll_due(now: datetime | None = None) -> int:
    """Poll the vehicles whose turn it is; returns how many."""
    now = now or timezone.now()
    connected = CloudVehicle.objects.filter(disconnected_at=None).exclude(account__state=AccountState.DISCONNECTED)
    # What fell silent since its next poll was settled need not wait for it.
    silent = Q(last_webhook__lt=now - SILENT, last_webhook__gt=F("last_poll"), last_poll__lt=now - QUICK)
    turn = Q(poll_at__lte=now) | (silent & Q(poll_at__gt=now + QUICK))
    due = connected.filter(Q(not_before=None) | Q(not_before__lte=now), turn)
    deadline = time.monotonic() + TASK_SECONDS
    polled = 0
    for link_id in due.order_by("poll_at").values_list("pk", flat=True)[:AT_ONCE]:
        if time.monotonic() > deadline:  # the next turn goes on
            break
        try:
            polled += claim_and_poll(link_id, now)
        except Exception:  # one car's trouble is no other's; its turn comes again when the claim ends
            log.exception("smartcar.poll_broke", link=link_id)
    return polled


def claim_and_poll(link_id: int, now: datetime | None = None) -> bool:
    """Poll one vehicle, unless another worker is at it."""
    now = now or timezone.now()
    link = CloudVehicle.objects.select_related("account__organization", "vehicle").get(pk=link_id)
    free = CloudVehicle.objects.filter(pk=link_id, poll_at=link.poll_at, disconnected_at=None)
    if not free.update(poll_at=now + CLAIM):
        return False
    poll(link, now)
    return True


def poll(link: CloudVehicle, now: datetime) -> None:
    """Ask the maker's cloud, store what it knows, and settle when to ask again."""
    try:
        signals = cloud_of(link.account).signals(link, polling=True)
    except (Failure, TooBusy) as failure:
        _failed(link, failure if isinstance(failure, Failure) else Failure(503, "SERVER", "", str(failure)), now)
        return
    with transaction.atomic():  # what webhooks wrote meanwhile stays
        fresh = CloudVehicle.objects.select_for_update(of=("self",)).select_related("account__organization", "vehicle")
        _keep(fresh.get(pk=link.pk), signals, now)


def _keep(link: CloudVehicle, signals: list[Signal], now: datetime) -> None:
    """Store a poll's signals, and settle when to ask again."""
    readings = readings_from(link, signals, now.timestamp())
    try:
        stored = store_readings(link.organization_id, SOURCE, readings) if readings else None
    except MotorpoolError as error:
        log.warning("smartcar.not_stored", vehicle=link.vehicle_id, error=error.detail)
        CloudVehicle.objects.filter(pk=link.pk).update(poll_at=now + timedelta(seconds=30))
        return
    news = stored is not None and stored.readings > stored.duplicates
    link.quiet_polls = 0 if news else min(100, link.quiet_polls + 1)
    link.last_poll = now
    link.last_sync = max(filter(None, (link.last_sync, now)))
    link.poll_failures, link.not_before = 0, None
    troubles.note_signals(link, signals)
    save([link])
    CloudVehicle.objects.filter(pk=link.pk).update(poll_at=now + interval(link, now))


def interval(link: CloudVehicle, now: datetime) -> timedelta:
    """Until the next poll."""
    silent = link.last_webhook is None or now - link.last_webhook > SILENT
    base: timedelta = QUICK * 2 ** min(link.quiet_polls, MOST_DOUBLINGS) if silent else USUAL
    if link.asleep and link.account.generation == Generation.V2:  # its polls would wake the car
        base = max(base, SELDOM)
    if _collector_live(link, now):
        base = max(base, SELDOM)
    return max(base, _pace(link, now))


def sync_soon(links: Any) -> None:
    """Let the vehicles of a query be polled now, whoever asked for patience excepted."""
    changed = links.filter(disconnected_at=None).update(poll_at=timezone.now(), quiet_polls=0)
    if changed:
        bell.announce("integrations.sources.smartcar.tasks.poll")


def _pace(link: CloudVehicle, now: datetime) -> timedelta:
    """No wait while the month's use is not too far ahead; else what is left is spread over the rest of the month."""
    total = configuration().vehicle_requests
    days = calendar.monthrange(now.year, now.month)[1]
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    passed = (now - start) / timedelta(days=days)
    left = allowance.left(link, now)
    if total - left <= total * min(1.0, passed + AHEAD_SHARE):
        return timedelta(0)
    rest = start + timedelta(days=days) - now
    return rest / left if left else rest + timedelta(minutes=1)


def _collector_live(link: CloudVehicle, now: datetime) -> bool:
    """Whether another source of the vehicle told something just now."""
    (latest,) = latest_of(link.account.organization, [link.vehicle])
    times = [
        datetime.fromisoformat(reading["time"]) for reading in latest["signals"].values() if reading["source"] != SOURCE
    ]
    return bool(times) and now - max(times) < COLLECTOR_LIVE


def _failed(link: CloudVehicle, failure: Failure, now: datetime) -> None:
    if failure.code == allowance.OWN_LIMIT:  # not the car's fault: its turn comes later
        wait = timedelta(seconds=failure.retry_after or 60)
        CloudVehicle.objects.filter(pk=link.pk).update(poll_at=now + wait)
        return
    link.poll_failures = min(100, link.poll_failures + 1)
    link.last_poll = now
    link.error_code, link.error = failure.name[:80], str(failure)[:300]
    wait = QUICK * 2 ** min(link.poll_failures - 1, MOST_DOUBLINGS)
    if failure.status == 429:
        wait = timedelta(seconds=failure.retry_after) if failure.retry_after else wait
        link.not_before = now + wait
    elif failure.status == 430 or failure.retry is Retry.OWNER:
        wait = timedelta(days=1)
    elif failure.type == "COMPATIBILITY":
        wait = timedelta(days=7)
    elif failure.retry is Retry.NEVER:  # something that its operator mends
        wait = timedelta(hours=1)
    if failure.name in troubles.BROKEN:
        troubles.reconnect_needed(link.account, str(failure))
    log.info("smartcar.poll_failed", vehicle=link.vehicle_id, failure=failure.name)
    CloudVehicle.objects.filter(pk=link.pk).update(
        poll_failures=link.poll_failures, last_poll=now, error_code=link.error_code, error=link.error,
        not_before=link.not_before, poll_at=now + max(wait, timedelta(seconds=30)),
    )  # fmt: skip
