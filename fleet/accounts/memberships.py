"""Who belongs to an organization: invitations, roles, leaving; and the organization's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from fleet.accounts import limits
from fleet.accounts.models import Invitation, Membership, Organization, Role, User, new_secret, secret_hash
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError

MOST_OPEN = 100
"""Open invitations of an organization: nobody floods strangers through us."""
INVITATION_KEY = "invitation"
"""Where a browser's session keeps the secret of the invitation that it came with."""
SETTINGS = ("name", "time_zone", "allow_new_signals", "frame_days", "rollup_days", "buffer_seconds")


WRITTEN_TO_ADDRESS, WRITTEN_BY_ORGANIZATION, WRITTEN_BY_PORTAL = 5, 200, 5_000
"""Invitations and confirmations a day: to one address, by one organization, and in all."""


class TooManyMessages(MotorpoolError):
    """Enough was sent to addresses that did not ask for it (429)."""

    status = 429
    code = "throttled"


def ensure_may_write_to(address: str, organization_id: int) -> None:
    """Count a message to an address that did not ask for it.

    Raises:
        TooManyMessages: there were enough to it, by the organization, or in all today.
    """
    day = timedelta(days=1)
    if not (
        limits.allow("written-to", address.lower(), WRITTEN_TO_ADDRESS, day)
        and limits.allow("written-by", organization_id, WRITTEN_BY_ORGANIZATION, day)
        and limits.allow("written", "portal", WRITTEN_BY_PORTAL, day)
    ):
        raise TooManyMessages(f"Enough messages were sent to {address[:100]} or by this organization; try tomorrow.")


class MembershipError(MotorpoolError):
    """A change of members that cannot be made (409)."""

    status = 409
    code = "conflict"


def invite(
    *, organization: Organization, user: User, email: str, role: Role, request: Any = None
) -> tuple[Invitation, str]:
    """Invite an address; returns the invitation and the link that was sent.

    Raises:
        MembershipError: they are a member, or too many invitations are open.
    """
    email = email.strip().lower()
    if organization.memberships.filter(user__email=email).exists():
        raise MembershipError(f"{email} is a member already.")
    now = timezone.now()
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=organization.pk)
        organization.invitations.filter(email=email, accepted_at=None).delete()
        if organization.invitations.filter(accepted_at=None, expires_at__gt=now).count() >= MOST_OPEN:
            raise MembershipError(f"{MOST_OPEN} invitations are open: withdraw some first.")
        ensure_may_write_to(email, organization.pk)
        secret, _, digest = new_secret(Invitation.PREFIX)
        invitation = Invitation.objects.create(
            organization=organization, email=email, role=role, sha256=digest, invited_by=user,
            expires_at=now + timedelta(days=Invitation.DAYS),
        )  # fmt: skip
        audit("member.invited", organization=organization, user=user, target=email, request=request, role=role.label)
    link = f"{settings.BASE_URL}/invitations/{secret}"
    words = render_to_string("accounts/invitation.txt", {"invitation": invitation, "link": link})
    send_mail(" ".join(f"[Motorpool] Join {organization}".split()), words, None, [email], fail_silently=True)
    return invitation, link


def find_invitation(secret: str) -> Invitation | None:
    """An invitation that can still be accepted."""
    return (
        Invitation.objects.filter(sha256=secret_hash(secret), accepted_at=None, expires_at__gt=timezone.now())
        .select_related("organization", "invited_by")
        .first()
    )


@transaction.atomic
def accept(*, secret: str, user: User, request: Any = None) -> Membership | None:
    """Make the user a member; None where the invitation is gone. Whoever holds the link may use it, once."""
    found = find_invitation(secret)
    invitation = found and Invitation.objects.select_for_update().filter(pk=found.pk, accepted_at=None).first()
    if invitation is None:
        return None
    membership, made = Membership.objects.get_or_create(
        organization=invitation.organization, user=user, defaults={"role": invitation.role}
    )
    invitation.accepted_at, invitation.accepted_by = timezone.now(), user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    if made:
        audit(
            "member.joined", organization=invitation.organization, user=user, target=user, request=request,
            role=membership.get_role_display(),
        )  # fmt: skip
    return membership


@transaction.atomic
def withdraw(*, invitation: Invitation, user: User, request: Any = None) -> None:
    """Take an invitation back."""
    audit("invitation.withdrawn", organization=invitation.organization, user=user, target=invitation, request=request)
    invitation.delete()


@transaction.atomic
def set_role(*, membership: Membership, role: Role, user: User, request: Any = None) -> None:
    """Change a member's role.

    Raises:
        MembershipError: nobody would be left to look after the organization.
    """
    _keep_an_admin(membership, role)
    before = membership.get_role_display()
    if role < membership.role:
        _withdraw_all(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    audit(
        "member.role_changed", organization=membership.organization, user=user, target=membership.user,
        request=request, before=before, after=role.label,
    )  # fmt: skip


@transaction.atomic
def remove(*, membership: Membership, user: User, request: Any = None) -> None:
    """End a membership, with the personal tokens that it gave.

    Raises:
        MembershipError: nobody would be left to look after the organization.
    """
    _keep_an_admin(membership, None)
    membership.organization.api_tokens.filter(user=membership.user, revoked_at=None).update(revoked_at=timezone.now())
    _withdraw_all(membership)
    audit("member.removed", organization=membership.organization, user=user, target=membership.user, request=request)
    membership.delete()


def _withdraw_all(membership: Membership) -> None:
    """Whoever may not invite any longer must not come back through a link that they kept."""
    membership.organization.invitations.filter(invited_by=membership.user, accepted_at=None).delete()


def _keep_an_admin(membership: Membership, role: Role | None) -> None:
    Organization.objects.select_for_update().get(pk=membership.organization_id)
    others = membership.organization.memberships.filter(role=Role.ADMIN).exclude(pk=membership.pk)
    if membership.role == Role.ADMIN and role != Role.ADMIN and not others.exists():
        raise MembershipError("This is the only admin: make somebody else an admin first.")


@transaction.atomic
def organization_update(
    *, organization: Organization, user: User, fields: Mapping[str, Any], request: Any = None
) -> None:
    """Change an organization's settings, of those in `SETTINGS`.

    Raises:
        MotorpoolError: 422, for values that do not go together.
    """
    before = {name: getattr(organization, name) for name in fields}
    for name, value in fields.items():
        setattr(organization, name, value)
    if organization.time_zone not in available_timezones():
        raise MotorpoolError("There is no such time zone; an example is Europe/Berlin.", status=422)
    if organization.rollup_days and (not organization.frame_days or organization.rollup_days < organization.frame_days):
        raise MotorpoolError("Rollups must be kept at least as long as readings: they stand for them.", status=422)
    if before.get("buffer_seconds") and not organization.buffer_seconds:
        organization.rollups_since = timezone.now()
    organization.save(update_fields=[*fields, "rollups_since"])
    changed = {name: [before[name], value] for name, value in fields.items() if before[name] != value}
    if changed:
        audit(
            "organization.changed",
            organization=organization,
            user=user,
            target=organization,
            request=request,
            changed=changed,
        )


@transaction.atomic
def account_delete(*, user: User, request: Any = None) -> None:
    """Delete a person, and the organizations that nobody else belongs to.

    Raises:
        MembershipError: an organization with other members would be left without an admin.
    """
    for membership in user.memberships.select_related("organization"):
        organization = membership.organization
        if organization.memberships.exclude(user=user).exists():
            try:
                _keep_an_admin(membership, None)
            except MembershipError:
                raise MembershipError(
                    f"You are the only admin of {organization}: make somebody else an admin, or remove its members."
                ) from None
            audit("account.deleted", organization=organization, user=None, target=f"member {user.pk}", request=request)
        else:
            organization.delete()
    audit("account.deleted", user=None, target=f"user {user.pk}", request=request)
    user.delete()
