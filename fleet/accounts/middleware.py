"""What pages get before and after their views: access (who, in which organization, with which role), and headers."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from fleet.accounts.access import session_access

SECRETS = "/accounts/2fa/"


class SecretsMiddleware:
    """Nothing keeps the pages that show secrets of the second factor: keys, recovery codes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith(SECRETS):
            response["Cache-Control"] = "no-store"
        return response


class OrganizationMiddleware:
    """Sets ``request.access`` for browser sessions; API views set their own from their credential."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        api = request.path.startswith("/api/")
        request.access = None if api else session_access(request)  # type: ignore[attr-defined]
        return self.get_response(request)
