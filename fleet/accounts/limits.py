"""Limits on guessing: failures per account and per address, counted in PostgreSQL, so that every process agrees and
they hold with Redis away. Only failures count; who has signed in on this browser before is counted by themselves, so
that a stranger's guesses lock nobody out.

Figures after OWASP's Authentication Cheat Sheet ("device cookies") and Healthchecks' limits (20 a day per account).
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from ipaddress import IPv6Network
from typing import Any

from allauth.account.signals import password_reset
from django.conf import settings
from django.core import signing
from django.db import connection
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import get_random_string

from fleet.accounts.models import SignInFailures, User
from fleet.lib.addresses import client_address

PER_ACCOUNT = (20, timedelta(days=1))
PER_ADDRESS = (20, timedelta(hours=1))
COOKIE_DAYS = 180
_SALT = "motorpool.known-browser"


def reserve(request: HttpRequest | None, login: str) -> list[str]:
    """Count an attempt before it is evaluated, in each of its buckets; returns them, to be handed to `succeeded`.

    Counting first leaves no room for a thousand attempts at once. An empty list: the attempt must not be evaluated.
    The address is counted first: what it may no longer try is not charged to the account.
    """
    name = login.strip().lower()
    user_id = User.objects.filter(Q(email=name) | Q(username__iexact=name)).values_list("pk", flat=True).first()
    account = ["name", name] if user_id is None else ["user", str(user_id)]
    return _reserve(request, user_id, ["sign-in", *account])


def reserve_code(request: HttpRequest | None, user: User) -> list[str]:
    """The same for a code of the second factor."""
    return _reserve(request, user.pk, ["second-factor", str(user.pk)])


def _reserve(request: HttpRequest | None, user_id: int | None, account: list[str]) -> list[str]:
    known = _known_browser(request, user_id)
    address = client_address(request) if request is not None else None
    buckets = []
    if address and not known:
        if ":" in address:
            address = str(IPv6Network(f"{address}/64", strict=False))  # one household's, whatever it chooses within
        buckets.append(_key("address", address))
        if not _count(buckets[0], *PER_ADDRESS):
            return []
    key = _key(*account, "browser", known) if known else _key(*account)
    return [*buckets, key] if _count(key, *PER_ACCOUNT) else []


def allow(kind: str, name: object, most: int, span: timedelta) -> bool:
    """Count one of something that is limited, such as invitations to an address; false once there were ``most``.

    The count outlives the rows that it is about: deleting an invitation makes no room for another.
    """
    return _count(_key("limit", kind, str(name)), most, span)


@receiver(password_reset)
def clear(user: User, **kwargs: Any) -> None:
    """Forget an account's failures: who has reset the password by e-mail is no guesser."""
    keys = [_key("sign-in", "user", str(user.pk)), _key("second-factor", str(user.pk))]
    SignInFailures.objects.filter(key__in=keys).delete()


def succeeded(buckets: list[str]) -> None:
    """Take the attempt back: it was no failure."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_signinfailures SET failures = greatest(failures - 1, 0) WHERE key = ANY(%s)", [buckets]
        )


def _count(key: str, most: int, span: timedelta) -> bool:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_signinfailures AS f (key, since, failures) VALUES (%s, %s, 1)"
            " ON CONFLICT (key) DO UPDATE SET"
            " since = CASE WHEN f.since < %s THEN excluded.since ELSE f.since END,"
            " failures = CASE WHEN f.since < %s THEN 1 ELSE least(f.failures, %s) + 1 END RETURNING failures",
            [key, now, now - span, now - span, most],
        )
        return bool(cursor.fetchone()[0] <= most)


def forget_old() -> None:
    """Delete the buckets whose time has passed."""
    SignInFailures.objects.filter(since__lt=timezone.now() - PER_ACCOUNT[1]).delete()


def _key(*parts: str) -> str:
    """A bucket's key; as JSON, so that no text that somebody types can be another bucket's name."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def remember_browser(response: HttpResponse, user: User) -> None:
    """Note in a cookie that this browser has signed in as the user."""
    response.set_cookie(
        settings.KNOWN_BROWSER_COOKIE, signing.dumps([get_random_string(12), user.pk], salt=_SALT),
        max_age=COOKIE_DAYS * 86_400, httponly=True, secure=settings.HTTPS, samesite="Lax",
    )  # fmt: skip


def _known_browser(request: Any, user_id: int | None) -> str:
    """The browser's own name where it has signed in as this user before; else empty."""
    if request is None or user_id is None:
        return ""
    try:
        name, owner = signing.loads(
            request.COOKIES.get(settings.KNOWN_BROWSER_COOKIE, ""), salt=_SALT, max_age=COOKIE_DAYS * 86_400
        )
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(name) if owner == user_id else ""
