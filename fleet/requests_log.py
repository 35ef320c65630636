"""One structured line per request, with an id that the answer carries too; never a query string or a secret path."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{8,64}")
_QUIET = ("health", "ready", "metrics")

log = structlog.get_logger("motorpool.request")


class RequestLogMiddleware:
    """Logs the route instead of the path: links with one-time secrets are paths."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.monotonic()
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        route = getattr(request.resolver_match, "route", "") or "(none)"
        if route not in _QUIET:
            found = getattr(request, "access", None)
            who = {"user": found.user.pk, "organization": found.organization.pk} if found else {}
            took = round(1000 * (time.monotonic() - begun), 1)
            log.info("request", method=request.method, route=route, status=response.status_code, ms=took, **who)
        return response
