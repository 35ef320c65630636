"""How an API request proves who it is: a JWT, a personal token, or the browser's session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from fleet.accounts.access import Access, find_access, session_access
from fleet.accounts.models import ApiToken, Role, User, secret_hash

REALM = 'Bearer realm="motorpool"'
DEVICE_PREFIX = "mpd_"
LAST_USED_STEP = timedelta(minutes=1)


class NotAuthenticated(AuthenticationFailed):
    """401, for credentials that are unknown, expired or revoked."""

    default_detail = "This credential is unknown, expired or revoked."
    default_code = "not_authenticated"


def bearer_access(secret: str) -> Access:
    """The access of a JWT or personal token.

    Raises:
        NotAuthenticated: the credential is not valid, or its user is no member any more.
    """
    found = _token_access(secret) if secret.startswith(ApiToken.PREFIX) else _jwt_access(secret)
    if found is None:
        raise NotAuthenticated
    return found


def _token_access(secret: str) -> Access | None:
    token = (
        ApiToken.objects.usable()
        .filter(
            sha256=secret_hash(secret), user__is_active=True, user__memberships__organization_id=F("organization_id")
        )
        .select_related("user", "organization")
        .annotate(role=F("user__memberships__role"))
        .first()
    )
    if token is None:
        return None
    now = timezone.now()
    if token.last_used is None or now - token.last_used > LAST_USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(last_used=now)
    return Access(token.user, token.organization, Role(token.role))


def _jwt_access(secret: str) -> Access | None:
    try:
        token: Any = AccessToken(secret)  # type: ignore[arg-type]
        user_id, organization_id = int(token["user_id"]), int(token["organization"])
    except (TokenError, KeyError, ValueError):
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or token.get("hash_password") != get_md5_hash_password(user.password):
        return None
    return find_access(user, organization_id)


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer`` with a JWT or a personal token."""

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        """The user and their access, None without such a header, or an error."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotAuthenticated("Use Authorization: Bearer <token>.")
        if secret.startswith(DEVICE_PREFIX):
            if not import_string(settings.DEVICE_KEY_KNOWN)(secret):
                raise NotAuthenticated
            raise PermissionDenied("A device key may only write telemetry.")
        found = bearer_access(secret.strip())
        request._request.access = found  # type: ignore[attr-defined]
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return REALM


class BrowserAuthentication(SessionAuthentication):
    """The portal's own pages: the session, with its CSRF token for anything that writes."""

    def authenticate(self, request: Request) -> tuple[User, Access | None] | None:
        """The signed-in user and the access that their session chose."""
        result = super().authenticate(request)
        if result is None:
            return None
        found = session_access(request._request)
        request._request.access = found  # type: ignore[attr-defined]
        return result[0], found
