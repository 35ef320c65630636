"""Send what is due: each message at most once, few per recipient and hour, the rest in digests that name them.

A message is marked ``sending`` and committed before it leaves. Whose sender dies then is ``unknown`` and not sent
again; the alert itself stands in the inbox whatever becomes of its messages.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from alerts.channels import Message, Undelivered, carrier
from alerts.composing import digest_of, message_of
from alerts.models import AlertEvent, Channel, ChannelKind, Delivery, DeliveryState, EventKind, Recipient
from alerts.quiet import quiet_until
from fleet.accounts.services import audit

LEASE = timedelta(seconds=90)
HOUR = timedelta(hours=1)
SINGLES, MOST = 10, 20
"""Messages per recipient and hour: so many one by one, and so many in all; digests use what is between."""
BETWEEN_DIGESTS = timedelta(minutes=6)
FEW = 5
"""More than so many that wait together go into one digest at once."""
MOST_ATTEMPTS = 55
"""About a day."""
FIRST_RETRY, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=30)
GROUPS = 200
AT_ONCE, ROUNDS = 8, 20
KEPT = timedelta(days=90)
LOUD = (ChannelKind.WEBHOOK,)
"""Programs read these: they are not limited by the hour, only gathered when many wait."""

OVER = (DeliveryState.FAILED, DeliveryState.UNKNOWN, DeliveryState.DROPPED)
"""What did not arrive, or nobody knows: it is sent again only by hand."""

log = structlog.get_logger(__name__)
_running = threading.Lock()


@dataclass
class _Claimed:
    """A message that is to be sent, and the deliveries that it carries."""

    message: Message
    delivery: Delivery
    members: list[Delivery]


def deliver() -> int:
    """Send what is due; returns how many messages left. One run per process: the next begins where it ended.

    In rounds of one message per recipient, organizations in turn, several at a time: who is slow holds up few.
    """
    if not _running.acquire(blocking=False):
        return 0
    try:
        _give_up_unknown(timezone.now())
        sent = 0
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="deliver") as pool:
                left = sum(pool.map(_one_of, _due_groups()))
            sent += left
            if not left:
                break
        return sent
    finally:
        _running.release()


def _due_groups() -> list[tuple[int, str]]:
    """Channels and recipients for whom something is due, the organizations' in turn."""
    rows = (
        Delivery.objects.filter(state__in=(DeliveryState.WAITING, DeliveryState.HELD), due_at__lte=timezone.now())
        .values_list("organization_id", "channel_id", "recipient")
        .annotate(first=Min("due_at"))
        .order_by("first")[:GROUPS]
    )
    turn: Counter[int] = Counter()
    ordered = []
    for place, (organization_id, channel_id, recipient, _) in enumerate(rows):
        turn[organization_id] += 1
        ordered.append((turn[organization_id], place, channel_id, recipient))
    return [(channel_id, recipient) for _, _, channel_id, recipient in sorted(ordered)]


def _one_of(group: tuple[int, str]) -> int:
    """The next message for a recipient; a fault stops nobody else's."""
    try:
        claimed = _claim(*group)
        if claimed is None:
            return 0
        _send(claimed)
        return 1
    except Exception:
        log.exception("alerts.not_delivered", channel=group[0])
        return 0
    finally:
        connection.close()


def _give_up_unknown(now: datetime) -> None:
    """What was being sent by a worker that died may have arrived, or not."""
    Delivery.objects.filter(state=DeliveryState.SENDING, lease_until__lt=now).update(
        state=DeliveryState.UNKNOWN, words="Its sender ended before it knew. It is not sent again."
    )


@transaction.atomic
def _claim(channel_id: int, recipient: str) -> _Claimed | None:
    """The next message for a recipient, marked as being sent; None where there is none, or none yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('alerts.recipient'), hashtext(%s))", [recipient])
        row = cursor.fetchone()
    if not row or not row[0]:
        return None
    now = timezone.now()
    waiting = list(
        Delivery.objects.filter(
            channel_id=channel_id, recipient=recipient, due_at__lte=now,
            state__in=(DeliveryState.WAITING, DeliveryState.HELD),
        )
        .select_related("channel__organization", "alert__vehicle")
        .order_by("created_at")
        .select_for_update(skip_locked=True, of=("self",))
    )  # fmt: skip
    if not waiting:
        return None
    channel = waiting[0].channel
    test = next((delivery for delivery in waiting if delivery.kind == "test"), None)
    if test is not None:  # a person waits for it, whatever the hour and the channel's state
        return _single(test, now)
    if channel.disabled_at is not None:
        _put_off(waiting, DeliveryState.DROPPED, now, "The channel is disabled.")
        return None
    waiting = _without_quiet(channel, waiting, now)
    if not waiting:
        return None
    counts = Delivery.objects.filter(
        Q(state=DeliveryState.SENDING) | Q(sent_at__gt=now - HOUR), recipient=recipient, digest=None
    ).aggregate(count=Count("pk"), last=Max("sent_at"))
    count, last = counts["count"], counts["last"]
    loud = channel.kind in LOUD
    if len(waiting) <= FEW and (loud or count < SINGLES) and not any(d.state == DeliveryState.HELD for d in waiting):
        return _single(waiting[0], now)
    if len(waiting) == 1 and (loud or count < SINGLES):
        return _single(waiting[0], now)
    if not loud and (count >= MOST or (count >= SINGLES and last is not None and last > now - BETWEEN_DIGESTS)):
        later = max(now, last or now) + BETWEEN_DIGESTS
        _put_off(waiting, DeliveryState.HELD, later, "Held: enough was sent within the hour.")
        return None
    return _digest(waiting, now)


def _single(delivery: Delivery, now: datetime) -> _Claimed:
    delivery.state, delivery.lease_until = DeliveryState.SENDING, now + LEASE
    delivery.attempts += 1
    delivery.save(update_fields=["state", "lease_until", "attempts"])
    return _Claimed(message_of(delivery), delivery, [])


def _digest(members: list[Delivery], now: datetime) -> _Claimed:
    first = members[0]
    digest = Delivery(
        organization=first.organization, channel=first.channel, kind="digest", recipient=first.recipient,
        state=DeliveryState.SENDING, lease_until=now + LEASE, attempts=1,
    )  # fmt: skip
    digest.save()
    for member in members:
        member.attempts += 1
    ids = [member.pk for member in members]
    Delivery.objects.filter(pk__in=ids).update(
        state=DeliveryState.SENDING, lease_until=now + LEASE, digest=digest, attempts=members[0].attempts
    )
    return _Claimed(digest_of(digest, members), digest, members)


def _put_off(deliveries: list[Delivery], state: DeliveryState, due_at: datetime, words: str) -> None:
    ids = [delivery.pk for delivery in deliveries]
    Delivery.objects.filter(pk__in=ids).update(state=state, due_at=due_at, words=words)


def _without_quiet(channel: Channel, waiting: list[Delivery], now: datetime) -> list[Delivery]:
    """What may be sent now; the rest is held until the quiet hours end."""
    until = quiet_until(channel, now)
    if until is None:
        return waiting
    passing = [d for d in waiting if d.alert is not None and d.alert.severity in channel.quiet_passes]
    held = [delivery for delivery in waiting if delivery not in passing]
    _put_off(held, DeliveryState.HELD, until, "Held until the quiet hours end.")
    return passing


def _send(claimed: _Claimed) -> None:
    channel = claimed.delivery.channel
    try:
        words = carrier(channel.kind).send(channel, claimed.message)
    except Undelivered as error:
        _failed(claimed, error)
    except Exception as error:
        log.exception("alerts.channel_broken", channel=channel.pk)
        _failed(claimed, Undelivered(f"{type(error).__name__} in the portal."))
    else:
        _sent(claimed, words)


@transaction.atomic
def _sent(claimed: _Claimed, words: str) -> None:
    now = timezone.now()
    ours = Delivery.objects.filter(pk=claimed.delivery.pk)
    ours.update(state=DeliveryState.SENT, sent_at=now, words=words[:500], lease_until=None)
    Delivery.objects.filter(digest=claimed.delivery).update(
        state=DeliveryState.SENT, words="In a digest.", lease_until=None
    )
    alerts = [m.alert_id for m in claimed.members] or [claimed.delivery.alert_id]
    channel = claimed.delivery.channel
    how = f"{channel} ({claimed.delivery.recipient})" if channel.kind == ChannelKind.EMAIL else str(channel)
    AlertEvent.objects.bulk_create(
        [AlertEvent(alert_id=a, kind=EventKind.TOLD, words=how, at=now) for a in alerts if a is not None],
        batch_size=1_000,
    )


@transaction.atomic
def _failed(claimed: _Claimed, error: Undelivered) -> None:
    now = timezone.now()
    delivery, channel = claimed.delivery, claimed.delivery.channel
    log.info("alerts.undelivered", channel=channel.pk, kind=channel.kind, permanent=error.permanent, words=error.words)
    again = error.sure and not error.permanent and delivery.kind != "test"
    attempts = claimed.members[0].attempts if claimed.members else delivery.attempts
    again = again and attempts < MOST_ATTEMPTS
    state = DeliveryState.FAILED if error.sure else DeliveryState.UNKNOWN
    wait = min(FIRST_RETRY * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
    if claimed.members:
        Delivery.objects.filter(pk=delivery.pk).update(state=state, words=error.words, lease_until=None)
        Delivery.objects.filter(digest=delivery).update(
            state=DeliveryState.WAITING if again else state, words=error.words, lease_until=None, due_at=now + wait,
            digest=None if again else delivery,
        )  # fmt: skip
    else:
        Delivery.objects.filter(pk=delivery.pk).update(
            state=DeliveryState.WAITING if again else state, words=error.words, lease_until=None, due_at=now + wait
        )
    if error.permanent:
        _disable(channel, delivery.recipient, error.words, now)


def _disable(channel: Channel, recipient: str, words: str, now: datetime) -> None:
    """A recipient that refuses for good is written to no more; a channel without any is disabled, and says so."""
    if channel.kind == ChannelKind.EMAIL:
        Recipient.objects.filter(channel=channel, address=recipient).update(refused_at=now)
        if any(other.wants for other in channel.recipients.all()):
            return
    Channel.objects.filter(pk=channel.pk, disabled_at=None).update(disabled_at=now, disabled_because=words[:300])
    audit("channel.disabled", organization=channel.organization, target=channel, words=words[:200])


def trim() -> int:
    """Forget messages of long ago, some at a time; returns how many."""
    old = Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).order_by().values("pk")[:10_000]
    return Delivery.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()[0]
