"""The steps of a sign-in that differ from allauth's own."""

from __future__ import annotations

from typing import Any

from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage
from django.conf import settings

from fleet.accounts.models import User


def awaits_confirmation(user: User) -> bool:
    """Whether somebody who signed up still has to confirm an e-mail address, where that is mandatory.

    Users whom an administrator made have no addresses to confirm, and some have a user name alone.
    """
    if EmailVerificationMethod.MANDATORY.value != settings.ACCOUNT_EMAIL_VERIFICATION:
        return False
    verified = list(EmailAddress.objects.filter(user=user).values_list("verified", flat=True))
    return bool(verified) and not any(verified)


class ConfirmationStage(EmailVerificationStage):  # type: ignore[misc]
    """Asks for confirmation of an address from those who signed up, and answers a taken address in the same way."""

    def handle(self) -> tuple[Any, bool]:
        """The answer that ends the sign-in here, or None."""
        user = self.login.user
        if user is not None and not self.login.signup and not awaits_confirmation(user):
            return None, True
        response, goes_on = super().handle()
        return response, goes_on
