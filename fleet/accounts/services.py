"""What happens to accounts: one transaction each, with its audit event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from django.core import signing
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from fleet.accounts.models import ApiToken, AuditEvent, Membership, Organization, Role, User, new_secret
from fleet.lib.addresses import client_address

SETUP_SALT = "motorpool.setup"
SETUP_SECONDS = 7 * 86_400


def audit(
    action: str,
    *,
    organization: Organization | None = None,
    user: User | None = None,
    target: object = "",
    request: Any = None,
    **details: Any,
) -> None:
    """Add one audit event; ``details`` must hold no secret."""
    AuditEvent.objects.create(
        organization=organization,
        user=user,
        action=action,
        target=str(target)[:200],
        details=details,
        address=client_address(request) if request is not None else None,
    )


@transaction.atomic
def organization_create(*, name: str, owner: User, request: HttpRequest | None = None) -> Organization:
    """A new organization whose first admin is ``owner``."""
    organization = Organization.objects.create(name=name)
    Membership.objects.create(organization=organization, user=owner, role=Role.ADMIN)
    audit("organization.created", organization=organization, user=owner, target=organization, request=request)
    return organization


def setup_token() -> str | None:
    """The one-time token of the first visitor's link; None once there is somebody to look after the portal."""
    if User.objects.filter(is_staff=True).exists():
        return None
    return str(signing.dumps("first organization", salt=SETUP_SALT))


def setup_token_valid(token: str) -> bool:
    """Whether the token is ours and still of use."""
    try:
        signing.loads(token, salt=SETUP_SALT, max_age=SETUP_SECONDS)
    except signing.BadSignature:
        return False
    return not User.objects.filter(is_staff=True).exists()


@transaction.atomic
def setup_complete(*, token: str, name: str, email: str, password: str, request: HttpRequest) -> User | None:
    """The first organization and its admin, who is also staff; None where another visitor was faster."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('motorpool.setup'))")
    if not setup_token_valid(token):
        return None
    user = User.objects.create_user(email=email, password=password, is_staff=True, is_superuser=True)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)  # by the set-up link
    organization_create(name=name, owner=user, request=request)
    return user


@transaction.atomic
def token_create(
    *, organization: Organization, user: User, name: str, expires_at: datetime | None = None, request: Any = None
) -> tuple[ApiToken, str]:
    """A personal token and its secret, which is shown this once."""
    secret, prefix, digest = new_secret(ApiToken.PREFIX)
    token = ApiToken.objects.create(
        organization=organization, user=user, name=name, prefix=prefix, sha256=digest, expires_at=expires_at
    )
    audit("token.created", organization=organization, user=user, target=token, request=request)
    return token, secret


@transaction.atomic
def token_revoke(*, token: ApiToken, user: User, request: Any = None) -> None:
    """Make a personal token useless at once."""
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    audit("token.revoked", organization=token.organization, user=user, target=token, request=request)
