"""Quiet hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from alerts.models import Channel


def quiet_until(channel: Channel, now: datetime) -> datetime | None:
    """When the quiet hours end in which the channel is now; None outside them."""
    start, end = channel.quiet_from, channel.quiet_to
    if start is None or end is None or start == end:
        return None
    local = timezone.localtime(now, ZoneInfo(channel.organization.time_zone))
    minute = local.hour * 60 + local.minute
    begun = local.date() if minute >= start else local.date() - timedelta(days=1)
    inside = start <= minute < end if start < end else (minute >= start or minute < end)
    if not inside or (channel.quiet_days and begun.weekday() not in channel.quiet_days):
        return None
    over = begun if end > start else begun + timedelta(days=1)
    return datetime(over.year, over.month, over.day, end // 60 % 24, end % 60, tzinfo=local.tzinfo)
