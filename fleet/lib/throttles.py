"""How many API calls a credential, an organization or a stranger's address may make per minute.

Counted in Redis; while that does not answer, each process counts for itself.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from fleet.lib.addresses import client_address

WINDOW = 60
BREAKER_SECONDS = 3.0
MOST_LOCAL = 50_000


class Counter:
    """Counts per key within the current minute."""

    def __init__(self) -> None:
        self._closed_until = 0.0
        self._minute = 0
        self._local: dict[str, int] = {}

    def add(self, keys: list[str]) -> list[int]:
        """Count one call under each key; returns their counts in this minute."""
        minute = int(time.time()) // WINDOW
        if time.monotonic() >= self._closed_until:
            try:
                pipe = _client().pipeline(transaction=False)
                for key in keys:
                    pipe.incr(f"motorpool:calls:{minute}:{key}")
                    pipe.expire(f"motorpool:calls:{minute}:{key}", WINDOW * 2)
                return [int(count) for count in pipe.execute()[::2]]
            except (redis.RedisError, OSError):
                self._closed_until = time.monotonic() + BREAKER_SECONDS
        if minute != self._minute or len(self._local) > MOST_LOCAL:
            self._minute, self._local = minute, {}
        for key in keys:
            self._local[key] = self._local.get(key, 0) + 1
        return [self._local[key] for key in keys]


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.25, socket_connect_timeout=0.25)


_counter = Counter()


class CallThrottle(BaseThrottle):
    """``API_CALLS_PER_MINUTE`` per credential, ten times that per organization, a tenth per address of strangers."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the call; false once a limit is passed."""
        most: int = settings.API_CALLS_PER_MINUTE
        access = getattr(request, "access", None)
        if access is None:
            limits = {f"address:{client_address(request)}": max(1, most // 10)}
        else:
            # Personal tokens by themselves; sessions and JWTs, of which there are ever new ones, by their user.
            secret = request.headers.get("Authorization", "").partition(" ")[2].strip()
            name = (
                hashlib.sha256(secret.encode()).hexdigest()[:32]
                if secret.startswith("mpt_")
                else f"user:{access.user.pk}"
            )
            limits = {f"credential:{name}": most, f"organization:{access.organization.pk}": most * 10}
        # One after the other: what a credential is refused must not count against its organization.
        return all(_counter.add([key])[0] <= limit for key, limit in limits.items())

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return WINDOW - time.time() % WINDOW
