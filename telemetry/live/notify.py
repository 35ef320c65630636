"""Publish small live messages from a worker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import redis
import structlog
from django.conf import settings

from telemetry.live import messages

log = structlog.get_logger(__name__)


def publish(organization_id: int, news: Sequence[messages.Message]) -> None:
    """Tell the hubs; where Redis does not answer, nobody is told and the next snapshot has it."""
    publish_encoded(organization_id, [messages.encode(message) for message in news])


def publish_encoded(organization_id: int, news: Sequence[bytes]) -> None:
    """The same for messages that are encoded already."""
    if not news:
        return
    try:
        pipe = _client().pipeline(transaction=False)
        for data in news:
            pipe.publish(messages.topic(organization_id), data)
        pipe.execute()
    except (redis.RedisError, OSError) as error:
        log.warning("live.unavailable", error=str(error)[:200])


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
