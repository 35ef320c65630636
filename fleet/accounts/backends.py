"""The one way to check a password: limited, whoever asks (the portal, the API, the admin)."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from fleet.accounts import limits


class TooManyFailures(PermissionDenied):
    """The attempt was not evaluated; Django's ``authenticate`` takes it for a refusal."""


class LimitedBackend(AuthenticationBackend):  # type: ignore[misc]
    """allauth's backend behind `limits`."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> Any:
        """The user, or None.

        Raises:
            TooManyFailures: this account or address has failed too often.
        """
        if credentials.get("password") is None:
            return None
        login = credentials.get("email") or credentials.get("username") or credentials.get("login") or ""
        buckets = limits.reserve(request, str(login))
        if not buckets:
            if request is not None:
                request.too_many_failures = True  # type: ignore[attr-defined]
            raise TooManyFailures
        user = super().authenticate(request, **credentials)
        if user is not None:
            limits.succeeded(buckets)
        return user
