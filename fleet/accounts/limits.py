"""Limits on guessing: failures per account and per address, counted in PostgreSQL, so that every process agrees and
they hold with Redis away. Only failures count; who has signed in on this browser before is counted by themselves, so
that a stranger's guesses lock nobody out.

Figures after OWASP's Authentication Cheat Sheet ("device cookies") and Healthchecks' limits (20 a day per account).
"""

from __future__ import annotations

import hashlib
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
    """
    account = _account(login)
    known = _known_browser(request, account)
    buckets = {_key("browser" if known else "account", account, known): PER_ACCOUNT}
    address = client_address(request) if request is not None else None
    if address and not known:
        if ":" in address:
            address = str(IPv6Network(f"{address}/64", strict=False))  # one household's, whatever it chooses within
        buckets[_key("address", address, "")] = PER_ADDRESS
    allowed = [_count(key, *limit) for key, limit in sorted(buckets.items())]
    return list(buckets) if all(allowed) else []


def _account(login: str) -> str:
    """Who is meant: the user's id, whichever of their names was given, or the words themselves."""
    name = login.strip().lower()
    found = User.objects.filter(Q(email=name) | Q(username__iexact=name)).values_list("pk", flat=True).first()
    return name if found is None else f"user {found}"


@receiver(password_reset)
def clear(user: User, **kwargs: Any) -> None:
    """Forget an account's failures: who has reset the password by e-mail is no guesser."""
    SignInFailures.objects.filter(key=_key("account", f"user {user.pk}", "")).delete()


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


def _key(kind: str, name: str, known: str) -> str:
    return hashlib.sha256(f"{kind}:{name}:{known}".encode()).hexdigest()


def remember_browser(response: HttpResponse, user: User) -> None:
    """Note in a cookie that this browser has signed in as the user."""
    response.set_cookie(
        settings.KNOWN_BROWSER_COOKIE, signing.dumps([get_random_string(12), user.pk], salt=_SALT),
        max_age=COOKIE_DAYS * 86_400, httponly=True, secure=settings.HTTPS, samesite="Lax",
    )  # fmt: skip


def _known_browser(request: Any, account: str) -> str:
    """The browser's own name where it has signed in as this user before; else empty."""
    if request is None:
        return ""
    try:
        name, user_id = signing.loads(
            request.COOKIES.get(settings.KNOWN_BROWSER_COOKIE, ""), salt=_SALT, max_age=COOKIE_DAYS * 86_400
        )
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(name) if account == f"user {user_id}" else ""
