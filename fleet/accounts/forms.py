"""Forms of the account pages."""

from __future__ import annotations

from typing import Any

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.validators import RegexValidator

from fleet.accounts import limits
from fleet.accounts.models import User
from fleet.lib.fields import NameField

username_validators = [
    UnicodeUsernameValidator(),
    RegexValidator("@", "A user name has no @: sign in with your e-mail address instead.", inverse_match=True),
]


class _LimitedCode(BaseAuthenticateForm):  # type: ignore[misc]
    """A code of the second factor; wrong ones are counted like wrong passwords, also while Redis is away."""

    def clean_code(self) -> str:
        """The code, if it is right and not too many were wrong."""
        buckets = limits.reserve_code(context.request, self.user)
        if not buckets:
            raise forms.ValidationError("Too many wrong codes: try again tomorrow.")
        code: str = super().clean_code()
        limits.succeeded(buckets)
        return code


class SecondFactorForm(_LimitedCode, AuthenticateForm):  # type: ignore[misc]
    """The second step of a sign-in."""


class ConfirmForm(_LimitedCode, ReauthenticateForm):  # type: ignore[misc]
    """The confirmation before something sensitive."""


class OrganizationForm(forms.Form):
    """A new organization."""

    name = NameField(max_length=120, label="Name of the organization")


class SetupForm(OrganizationForm):
    """The very first organization and its admin."""

    email = forms.EmailField(label="Your e-mail address")
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def clean_email(self) -> str:
        """The address, which nobody may have yet."""
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError("Somebody has signed up with this address already; use another.")
        return email

    def clean(self) -> dict[str, Any]:
        """Check the password against the address too."""
        data = super().clean() or {}
        if data.get("password"):
            try:
                validate_password(data["password"], User(email=data.get("email")))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return data
