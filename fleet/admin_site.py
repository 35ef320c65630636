"""The staff's site: signed in through the portal's own door, with a second factor where that is asked for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from fleet.accounts.second_factor import is_trusted_staff


class PortalAdminSite(admin.AdminSite):
    """The Django admin without a sign-in of its own."""

    site_header = site_title = "Motorpool staff"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, with a second factor where `STAFF_MFA` is on."""
        return is_trusted_staff(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lead to what is missing: the sign-in, or the second factor."""
        if super().has_permission(request) and not is_trusted_staff(request.user):
            messages.info(request, "Staff need two-factor authentication here: set it up first.")
            return redirect("mfa_index")
        if request.user.is_authenticated:
            return redirect("overview")
        return redirect(f"/accounts/login/?next={request.GET.get('next', '/admin/')}")
