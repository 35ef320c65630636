"""Pages that belong to no application: health, documentation, errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from fleet.lib.errors import UNAVAILABLE_PAGE


def health(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The database is reachable and its migrations are applied."""
    status, body = readiness()
    return JsonResponse(body, status=status, headers={"Retry-After": "2"} if status == 503 else {})


def readiness() -> tuple[int, dict[str, str]]:
    """The status and body of ``/ready``; gives its connection back."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        waiting = _waiting_migrations()
    except DatabaseError:
        return 503, {"detail": "The database does not answer.", "code": "unavailable"}
    finally:
        if not connection.in_atomic_block:
            connection.close()
    if waiting:
        _waiting_migrations.cache_clear()
        return 503, {"detail": "Migrations are not applied: run manage.py migrate.", "code": "unavailable"}
    return 200, {"status": "ready"}


class ProbesMiddleware:
    """Answers the host's probes before anything looks at host names or schemes: probes come by address."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/health":
            return health(request)
        if request.path == "/ready":
            return ready(request)
        return self.get_response(request)


def _not_ready(detail: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": "unavailable"}, status=503, headers={"Retry-After": "2"})


@cache
def _waiting_migrations() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


class Docs(SpectacularSwaggerSplitView):  # type: ignore[misc]
    """The API's documentation, offline."""

    permission_classes = [AllowAny]
    url_name = "schema"
    template_name = "docs.html"


def redoc(request: HttpRequest) -> HttpResponseRedirect:
    """There is one browser of the API."""
    return HttpResponseRedirect("/docs")


def api_not_found(request: HttpRequest, rest: str) -> JsonResponse:
    """An API address that does not exist, in the API's own words."""
    return JsonResponse({"detail": "There is no such address; see /docs.", "code": "not_found"}, status=404)


def _error(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": words, "code": "error"}, status=status)
    return render(request, "error.html", {"title": title, "words": words, "status": status}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return _error(request, 400, "That request cannot be read", "Check the address and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    words = str(exception) or "Your role in this organization does not allow that."
    return _error(request, 403, "Not allowed", words)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form that is too old or comes from elsewhere; 404 where there is no such address at all."""
    match = request.resolver_match
    if match is not None and match.func is api_not_found:
        return api_not_found(request, "")
    return _error(request, 403, "The form has expired", "Go back, reload the page and send it again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _error(request, 404, "There is nothing here", "It may have been moved, or belong to another organization.")


def server_error(request: HttpRequest) -> HttpResponse:
    """500, without anything that may be what is broken; 503 where that is the database."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        if request.path.startswith("/api/"):
            return _not_ready("The database does not answer; try again shortly.")
        return HttpResponse(UNAVAILABLE_PAGE, status=503, headers={"Retry-After": "2"})
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "Something failed here.", "code": "error"}, status=500)
    return HttpResponse(
        "<!doctype html><title>Motorpool</title><h1>Something failed here</h1><p>Try again in a moment.</p>", status=500
    )
