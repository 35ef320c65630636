"""allauth's one door for our own rules."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from fleet.accounts.limits import remember_browser
from fleet.accounts.memberships import INVITATION_KEY, find_invitation
from fleet.accounts.services import audit


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Sign-up by setting; sign-ins leave an audit event."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """``SIGNUP_OPEN``; whoever comes with an invitation may always."""
        secret = request.session.get(INVITATION_KEY, "")
        return bool(settings.SIGNUP_OPEN) or bool(secret and find_invitation(secret))

    def get_login_stages(self) -> list[str]:
        """Allauth's steps, with our own for addresses."""
        own = {"allauth.account.stages.EmailVerificationStage": "fleet.accounts.stages.ConfirmationStage"}
        return [own.get(stage, stage) for stage in super().get_login_stages()]

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Record the sign-in once it is complete."""
        audit("user.signed_in", user=user, target=user, request=request)
        response = super().post_login(request, user, **kwargs)
        remember_browser(response, user)
        return response

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Say it where the attempt was not even evaluated."""
        super().authentication_failed(request, **credentials)
        if getattr(request, "too_many_failures", False):
            words = "Too many failed attempts: try again later, or reset your password."
            raise ValidationError(words, code="too_many_login_attempts")

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """A user name is optional: invent none."""
        user.username = user.username or None
