"""Codes of the second factor, for sign-ins that are not a browser's."""

from __future__ import annotations

from allauth.mfa.models import Authenticator

from fleet.accounts.models import User


def code_is_right(user: User, code: str) -> bool:
    """Whether an authenticator app of the user's shows the code now, or it is one of their recovery codes (used up)."""
    kinds = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    return any(found.wrap().validate_code(code) for found in Authenticator.objects.filter(user=user, type__in=kinds))
