"""The staff's system page: what runs, what lags, what was given up, and how to take it up again."""

from __future__ import annotations

import platform
from typing import Any

import django
import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import UserPassesTestMixin
from django.core.checks import run_checks
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from fleet.accounts.models import User
from fleet.accounts.second_factor import is_trusted_staff
from fleet.accounts.services import audit
from telemetry import sinks, store


class SystemPage(UserPassesTestMixin, View):
    """For staff; nobody else learns that it exists."""

    def test_func(self) -> bool:
        return is_trusted_staff(self.request.user)

    def handle_no_permission(self) -> Any:
        raise Http404

    def get(self, request: HttpRequest) -> HttpResponse:
        sizes = store.sizes()
        context = {
            "sinks": store.sink_health(list(sinks.SINKS)),
            "dead": store.dead_list(),
            "sizes": sizes,
            "redis": _redis(),
            "postgres": connection.pg_version,  # type: ignore[attr-defined]
            "versions": {"Python": platform.python_version(), "Django": django.get_version()},
            "warnings": run_checks(databases=["default"]),
        }
        return render(request, "system.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        sink, _, vehicle = request.POST.get("revive", "").partition(":")
        known = sink in sinks.SINKS and (vehicle == "all" or (vehicle.isdecimal() and len(vehicle) < 10))
        if known and sinks.revive(sink, None if vehicle == "all" else int(vehicle)):
            assert isinstance(request.user, User)
            audit("sink.revived", user=request.user, target=f"{sink} of vehicle {vehicle}", request=request)
            messages.success(request, f"{sink} of vehicle {vehicle} is tried again.")
        return redirect("system")


def _redis() -> str:
    try:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        info: Any = client.info("server")
        client.close()
    except (redis.RedisError, OSError) as error:
        return f"does not answer: {error}"[:200]
    return f"answers, version {info.get('redis_version', '?')}"
