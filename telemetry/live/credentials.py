"""Who may open a stream, and whether they still may."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.http.cookie import parse_cookie
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from fleet.accounts.access import SESSION_KEY as ORGANIZATION_KEY
from fleet.accounts.access import Access, find_access
from fleet.accounts.authentication import NotAuthenticated, bearer_access
from fleet.accounts.models import ApiToken, Membership, User, secret_hash
from fleet.accounts.sessions import digest_of
from telemetry.models import SocketTicket

PROTOCOL = "motorpool.v1"
TICKET_SECONDS = 30


class Credential(NamedTuple):
    """What a socket was opened with, as far as it has to be checked again."""

    user_id: int
    organization_id: int
    password: str
    session_key: str = ""
    token_id: int = 0
    expires: float = 0.0
    """Epoch seconds; 0 for never."""


def ticket_create(access: Access, *, session_key: str = "", bearer: str = "") -> str:
    """A ticket for one socket, good for `TICKET_SECONDS` and no longer than what it was asked for with.

    Args:
        session_key: of the browser's session, where it asked; ``bearer``: the token, where a program did.
    """
    origin = of_bearer(bearer) if bearer else None
    ticket = secrets.token_urlsafe(32)
    SocketTicket.objects.filter(expires_at__lt=timezone.now()).delete()
    SocketTicket.objects.create(
        sha256=secret_hash(ticket), user=access.user, organization=access.organization, session_key=session_key,
        token_id=origin.token_id if origin else 0, credential_expires=origin.expires if origin else 0.0,
        expires_at=timezone.now() + timedelta(seconds=TICKET_SECONDS),
    )  # fmt: skip
    return ticket


def of_scope(scope: dict[str, Any]) -> Credential | None:
    """The credential that a handshake carries: bearer subprotocol, ticket, or session with our Origin.

    None where it carries none. Raises `NotAuthenticated` where it carries one that is not valid.
    """
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith("bearer."):
            return of_bearer(protocol.removeprefix("bearer."))
    headers = dict(scope["headers"])
    ticket = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("ticket")
    if ticket:
        return _of_ticket(ticket[0])
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return None
    if not _our_origin(headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")):
        raise NotAuthenticated("A session may only be used from the portal's own pages.")
    return _of_session(session_key)


def of_bearer(secret: str) -> Credential:
    """The credential of a JWT or personal token; raises `NotAuthenticated`."""
    access = bearer_access(secret)
    if secret.startswith(ApiToken.PREFIX):
        token_id = ApiToken.objects.values_list("pk", flat=True).get(sha256=secret_hash(secret))
        return Credential(access.user.pk, access.organization.pk, access.user.password, token_id=token_id)
    expires = float(AccessToken(secret)["exp"])  # type: ignore[arg-type]
    return Credential(access.user.pk, access.organization.pk, access.user.password, expires=expires)


def still_valid(credentials: Iterable[Credential]) -> set[Credential]:
    """Those whose user is still an active member with the same password, session and token."""
    asked = set(credentials)
    members = {
        (user_id, organization_id): password
        for user_id, organization_id, password in Membership.objects.filter(
            user_id__in={c.user_id for c in asked}, user__is_active=True
        ).values_list("user_id", "organization_id", "user__password")
    }
    keys = {c.session_key for c in asked if c.session_key}
    sessions = _session_store().get_model_class().objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    live_sessions = set(sessions.values_list("session_key", flat=True)) if keys else set()
    token_ids = {c.token_id for c in asked if c.token_id}
    live_tokens = (
        set(ApiToken.objects.usable().filter(pk__in=token_ids).values_list("pk", flat=True)) if token_ids else set()
    )
    return {
        c
        for c in asked
        if members.get((c.user_id, c.organization_id)) == c.password
        and (not c.session_key or c.session_key in live_sessions)
        and (not c.token_id or c.token_id in live_tokens)
        and (not c.expires or c.expires > time.time())
    }


def _session_store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _of_session(session_key: str) -> Credential | None:
    session_key = digest_of(session_key)
    session = _session_store()(session_key)
    user_id = session.get(SESSION_KEY)
    if not user_id or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or session.get(HASH_SESSION_KEY) != user.get_session_auth_hash():
        return None
    chosen = session.get(ORGANIZATION_KEY)
    access = (find_access(user, chosen) if chosen else None) or find_access(user, None)
    if access is None:
        return None
    return Credential(user.pk, access.organization.pk, user.password, session_key=session_key)


def _of_ticket(ticket: str) -> Credential:
    with connection.cursor() as cursor:
        # Whoever deletes it has it: it is used once, in whatever process.
        cursor.execute(
            "DELETE FROM telemetry_socketticket WHERE sha256 = %s AND expires_at > now()"
            " RETURNING user_id, organization_id, session_key, token_id, credential_expires",
            [secret_hash(ticket)],
        )
        row = cursor.fetchone()
    if row is None:
        raise NotAuthenticated
    user_id, organization_id, session_key, token_id, expires = row
    user = User.objects.filter(pk=user_id).first()
    access = find_access(user, organization_id) if user else None
    if access is None:
        raise NotAuthenticated
    found = Credential(user_id, organization_id, access.user.password, session_key, token_id, expires)
    if found not in still_valid([found]):
        raise NotAuthenticated
    return found


def _our_origin(origin: str, host: str) -> bool:
    """Whether a browser's Origin is the portal itself: the configured address, or an allowed host it asked for."""
    if origin == settings.BASE_URL:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc == host and parts.hostname in settings.ALLOWED_HOSTS
