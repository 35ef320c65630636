"""The diagnostics page of a vehicle: trouble codes, the PID explorer, and what was asked of its agent."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Role
from fleet.lib.api import NotFound
from telemetry.commands import queue
from telemetry.commands.descriptions import describe
from telemetry.models import Command, CommandState, TroubleCodeStatus
from vehicles.access import find_vehicle
from vehicles.models import Vehicle

SHOWN = 20
ACTIONS = ("dtc_read", "dtc_clear", "pid_query")


class Diagnostics(MemberRequired, View):
    """Read and clear codes, ask for any parameter."""

    roles = {"POST": Role.OPERATOR}

    def get(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        row = _vehicle(request, vehicle)
        return _page(request, row)

    def post(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        """Queue a command, then show the page, which waits for its outcome."""
        row = _vehicle(request, vehicle)
        kind = request.POST.get("action", "")
        if kind not in ACTIONS:
            raise Http404
        arguments = {name: request.POST.get(name, "") for name in ("pid", "formula")} if kind == "pid_query" else {}
        try:
            queue.create(
                vehicle=row, user=access(request).user, kind=kind, arguments=arguments,
                confirmed=request.POST.get("confirm") == "yes", request=request,
            )  # fmt: skip
        except queue.CommandError as error:
            messages.error(request, error.detail)
            return _page(request, row, status=error.status)
        return redirect("diagnostics", vehicle=row.pk)


def _vehicle(request: HttpRequest, identifier: str) -> Vehicle:
    try:
        return find_vehicle(access(request).organization, identifier)
    except NotFound:
        raise Http404 from None


def _page(request: HttpRequest, vehicle: Vehicle, status: int = 200) -> HttpResponse:
    queue.expire()
    commands = list(vehicle.commands.select_related("user")[:SHOWN])
    waits = next((c for c in commands if c.state in (CommandState.QUEUED, CommandState.SENT)), None)
    rows = sorted(vehicle.trouble_codes.order_by("code"), key=lambda row: row.status == TroubleCodeStatus.CLEARED)
    context: dict[str, Any] = {
        "vehicle": vehicle,
        "codes": [{"row": row, "words": describe(row.code)} for row in rows],
        "commands": [{"row": command, "words": _words(command)} for command in commands],
        "waits": waits,
        "pid": request.POST.get("pid", ""),
        "formula": request.POST.get("formula", ""),
    }
    return render(request, "telemetry/diagnostics.html", context, status=status)


def _words(command: Command) -> str:
    """A command's outcome in a line."""
    result: Any = command.result
    if command.state != CommandState.SUCCEEDED or not isinstance(result, dict):
        return command.detail
    if command.type == "pid_query":
        answers = [entry for entry in result.get("answers", ()) if isinstance(entry, dict)]
        return "; ".join(
            f"{entry.get('ecu', '')}: {entry.get('bytes', '')}" + (f" = {entry['value']:g}" if _number(entry) else "")
            for entry in answers
        )
    if command.type == "dtc_read":
        codes = [entry.get("code", "") for entry in result.get("codes", ()) if isinstance(entry, dict)]
        lamp = "lamp on" if result.get("mil") else "lamp off"
        return f"{', '.join(map(str, codes)) or 'no codes'}; {lamp}; VIN {result.get('vin') or 'not told'}"
    if command.type == "dtc_clear":
        return "cleared"
    return json.dumps(result)[:200]


def _number(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("value"), (int, float))
