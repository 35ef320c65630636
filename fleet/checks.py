"""A system check for each way to misconfigure that the settings themselves do not refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from telemetry.store.partitions import partition_widths

LOCAL = ("127.0.0.1", "localhost", "::1")


@register(Tags.security)
def check_address(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The address that people use, and what follows from it."""
    found: list[CheckMessage] = []
    host = urlsplit(settings.BASE_URL).hostname
    if settings.PRODUCTION and not settings.HTTPS and host not in LOCAL:
        found.append(Error("BASE_URL is not https.", hint="Cookies would travel in the clear.", id="motorpool.E001"))
    if host not in settings.ALLOWED_HOSTS and f".{'.'.join((host or '').split('.')[1:])}" not in settings.ALLOWED_HOSTS:
        found.append(Error(f"ALLOWED_HOSTS does not hold {host}, BASE_URL's host.", id="motorpool.E002"))
    return found


@register()
def check_mail(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Mail that nobody gets."""
    local = urlsplit(settings.BASE_URL).hostname in LOCAL
    if settings.PRODUCTION and not local and settings.EMAIL_BACKEND.endswith("LoggedBackend"):
        return [Warning("E-mail is logged and not sent.", hint="Set EMAIL_URL.", id="motorpool.W004")]
    return []


@register(Tags.database)
def check_database(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The role's rights and the room for connections."""
    if not databases:
        return []
    found: list[CheckMessage] = []
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
            if cursor.fetchone()[0]:
                hint = "Use a role that owns the database and nothing more."
                text = "The database role is a superuser or bypasses row-level security."
                found.append(Warning(text, hint=hint, id="motorpool.W005"))
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchone()[0] == "off":
                found.append(
                    Error("synchronous_commit is off: an acknowledgement would not last.", id="motorpool.E006")
                )
            widths = partition_widths() - {settings.PARTITION_DAYS}
            if widths:
                text = (
                    f"PARTITION_DAYS is {settings.PARTITION_DAYS}, but there are partitions of {sorted(widths)} days."
                )
                found.append(Error(text, hint="Set it back: partitions must not overlap.", id="motorpool.E010"))
            cursor.execute("SHOW max_connections")
            needed = settings.DATABASE_POOL_SIZE + 2 * settings.INGEST_CONNECTIONS + 8
            if int(cursor.fetchone()[0]) < needed:
                text = f"max_connections is less than one web process may use ({needed})."
                found.append(Warning(text, hint="Lower DATABASE_POOL_SIZE.", id="motorpool.W007"))
    except DatabaseError as error:
        found.append(Error(f"The database does not answer: {error}", id="motorpool.E008"))
    return found


@register(Tags.caches)
def check_redis(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Redis as a broker must not evict."""
    try:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        client.close()
    except redis.RedisError:
        return []  # not reachable, or its owner forbids CONFIG: /ready and the logs tell
    if policy != "noeviction":
        hint = "Set maxmemory-policy noeviction: tasks may vanish otherwise."
        return [Warning(f"Redis evicts keys ({policy}).", hint=hint, id="motorpool.W009")]
    return []
