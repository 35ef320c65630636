"""How passwords are hashed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher


class PasswordHasher(BCryptSHA256PasswordHasher):
    """bcrypt over SHA-256 at the installation's cost; a hash of another cost is renewed at the next sign-in."""

    rounds = settings.PASSWORD_ROUNDS
