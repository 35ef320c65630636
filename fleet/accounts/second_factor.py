"""The second factor: its codes for sign-ins that are not a browser's, and which staff is trusted without more."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings

from fleet.accounts.models import User


def code_is_right(user: User, code: str) -> bool:
    """Whether an authenticator app of the user's shows the code now, or it is one of their recovery codes (used up)."""
    kinds = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    return any(found.wrap().validate_code(code) for found in Authenticator.objects.filter(user=user, type__in=kinds))


def is_trusted_staff(user: Any) -> bool:
    """Staff, with a second factor where `STAFF_MFA` is on."""
    return bool(user.is_active and user.is_staff) and (not settings.STAFF_MFA or is_mfa_enabled(user))
