"""The doors: which organization a request speaks for, and what its user may do there.

The organization comes from the credential (token claim, token row, or the session's choice) and the role is
read anew at each request. Every query of a view starts at ``access(request).organization``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from fleet.accounts.models import Membership, Organization, Role, User
from fleet.lib.api import NotFound

SESSION_KEY = "organization"


@dataclass(frozen=True)
class Access:
    """One user's standing in one organization, for the length of a request."""

    user: User
    organization: Organization
    role: Role


def find_access(user: User, organization_id: int | None) -> Access | None:
    """The user's membership of the organization, or of their first one where none is named."""
    memberships = Membership.objects.filter(user=user, user__is_active=True).select_related("organization")
    if organization_id is not None:
        memberships = memberships.filter(organization_id=organization_id)
    membership = memberships.order_by("organization_id").first()
    if membership is None:
        return None
    return Access(user, membership.organization, Role(membership.role))


def session_access(request: HttpRequest) -> Access | None:
    """The access of a browser session: the chosen organization, or the first where the choice is gone."""
    user: User | AnonymousUser = request.user
    if not isinstance(user, User):
        return None
    chosen = request.session.get(SESSION_KEY)
    return (find_access(user, chosen) if chosen else None) or find_access(user, None)


def access(request: HttpRequest | Request) -> Access:
    """The access that the middleware or the authentication found; the permission checks ran before."""
    found = getattr(request, "access", None)
    if found is None:
        raise PermissionDenied("You are not a member of an organization yet.")
    assert isinstance(found, Access)
    return found


class HasRole(BasePermission):
    """API: the role that the view's ``roles`` ask of the method; reading is open to every member."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the member's role suffices."""
        found = getattr(request, "access", None)
        if found is None:
            return False
        roles: dict[str, Role] = getattr(view, "roles", {})
        return bool(found.role >= roles.get(request.method or "", Role.VIEWER))


class MemberRequired(AccessMixin):
    """Pages: signed in, a member, and of ``role`` or above for the methods in ``roles``; `NotFound` is a 404."""

    roles: dict[str, Role] = {}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Send strangers to sign in, and those without an organization to make one."""
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        found = getattr(request, "access", None)
        if found is None:
            return redirect("organization-new")
        if found.role < self.roles.get(request.method or "", Role.VIEWER):
            raise PermissionDenied("Your role in this organization does not allow that.")
        try:
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        except NotFound:  # what the doors raise, for the API too
            raise Http404 from None
        return response
