"""Django's Redis cache that does without Redis: where it does not answer, nothing is found and nothing is kept.

What must hold without Redis (limits on sign-in) stands in PostgreSQL and does not use the cache.
"""

from __future__ import annotations

import time
from typing import Any

import redis
import structlog
from django.core.cache.backends.redis import RedisCache

BREAKER_SECONDS = 3.0

log = structlog.get_logger(__name__)


class SafeRedisCache(RedisCache):
    """A cache whose failures are misses; after one it is left alone for `BREAKER_SECONDS`."""

    _closed_until = 0.0

    def _safely(self, name: str, otherwise: Any, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < SafeRedisCache._closed_until:
            return otherwise
        try:
            return getattr(super(), name)(*args, **kwargs)
        except (redis.RedisError, OSError) as error:
            SafeRedisCache._closed_until = time.monotonic() + BREAKER_SECONDS
            log.warning("cache.unavailable", error=str(error)[:200])
            return otherwise

    def add(self, *args: Any, **kwargs: Any) -> bool:
        """True without Redis: nobody else has it."""
        return bool(self._safely("add", True, *args, **kwargs))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The default without Redis."""
        return self._safely("get", default, key, default, version)

    def set(self, *args: Any, **kwargs: Any) -> None:
        """Nothing without Redis."""
        self._safely("set", None, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        """False without Redis."""
        return bool(self._safely("touch", False, *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        """False without Redis."""
        return bool(self._safely("delete", False, *args, **kwargs))

    def get_many(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Nothing without Redis."""
        found: dict[Any, Any] = self._safely("get_many", {}, *args, **kwargs)
        return found

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        """False without Redis."""
        return bool(self._safely("has_key", False, *args, **kwargs))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """``delta`` without Redis, as if it were the first."""
        return int(self._safely("incr", delta, key, delta, version))
