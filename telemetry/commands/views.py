"""A vehicle's pages of commands: its diagnostics, and its controls."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Role
from telemetry.commands import carriers, controls, queue
from telemetry.commands.descriptions import describe
from telemetry.models import Command, CommandState, TroubleCodeStatus
from vehicles.access import find_vehicle
from vehicles.models import Vehicle

SHOWN = 20


class CommandPage(MemberRequired, View):
    """A page that shows what was asked of a vehicle, and asks."""

    roles = {"POST": Role.OPERATOR}
    name = template = ""
    actions: tuple[str, ...] = ()

    def get(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        """The page."""
        return self.page(request, find_vehicle(access(request).organization, vehicle))

    def post(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        """Queue a command, then show the page, which waits for its outcome."""
        row = find_vehicle(access(request).organization, vehicle)
        kind = request.POST.get("action", "")
        if kind not in self.actions:
            raise Http404
        try:
            queue.create(
                vehicle=row, user=access(request).user, kind=kind, arguments=self.arguments(request, kind),
                confirmed=request.POST.get("confirm") == "yes", request=request,
            )  # fmt: skip
        except queue.CommandError as error:
            messages.error(request, error.detail)
            return self.page(request, row, status=error.status)
        return redirect(self.name, vehicle=row.public_id)

    def arguments(self, request: HttpRequest, kind: str) -> dict[str, Any]:
        """The command's arguments from the form; raises `CommandError`."""
        return {}

    def context(self, request: HttpRequest, vehicle: Vehicle) -> dict[str, Any]:
        """What the page shows beside the commands."""
        return {}

    def page(self, request: HttpRequest, vehicle: Vehicle, status: int = 200) -> HttpResponse:
        """The page as it is now."""
        queue.expire(vehicle.organization_id)
        commands = list(vehicle.commands.filter(type__in=self.actions).select_related("user")[:SHOWN])
        context = {
            "vehicle": vehicle,
            "commands": [{"row": command, "what": _what(command), "words": _words(command)} for command in commands],
            "waits": next((c for c in commands if c.state in (CommandState.QUEUED, CommandState.SENT)), None),
            **self.context(request, vehicle),
        }
        return render(request, self.template, context, status=status)


class Diagnostics(CommandPage):
    """Read and clear codes, ask for any parameter."""

    name, template = "diagnostics", "telemetry/diagnostics.html"
    actions = ("dtc_read", "dtc_clear", "pid_query")

    def arguments(self, request: HttpRequest, kind: str) -> dict[str, Any]:
        """The parameter and its formula."""
        return {name: request.POST.get(name, "") for name in ("pid", "formula")} if kind == "pid_query" else {}

    def context(self, request: HttpRequest, vehicle: Vehicle) -> dict[str, Any]:
        """Codes, those that are there before those that are cleared."""
        rows = sorted(vehicle.trouble_codes.order_by("code"), key=lambda row: row.status == TroubleCodeStatus.CLEARED)
        return {
            "codes": [{"row": row, "words": describe(row.code)} for row in rows],
            "pid": request.POST.get("pid", ""),
            "formula": request.POST.get("formula", ""),
        }


class Controls(CommandPage):
    """The car's settings, its player, and the collector in it."""

    name, template = "controls", "telemetry/controls.html"
    actions = ("setting", "media", "collector_config", *queue.CLOUD_KINDS)

    def post(self, request: HttpRequest, vehicle: str) -> HttpResponse:
        """Change something; the collector itself is an administrator's."""
        if request.POST.get("action") == "collector_config" and access(request).role < Role.ADMIN:
            raise PermissionDenied
        return super().post(request, vehicle)

    def arguments(self, request: HttpRequest, kind: str) -> dict[str, Any]:
        """What the form says, as the command takes it."""
        form = request.POST
        if kind == "setting":
            return {"name": form.get("name", ""), "value": controls.value_of(form.get("name", ""), form.get("value"))}
        if kind == "media":
            more = {"volume": controls.number("volume", form["volume"]) / 100} if form.get("volume") else {}
            return {"action": form.get("media", ""), **more}
        if kind == "charge_limit":
            return {"percent": controls.number("Charge limit", form.get("percent"))}
        if kind == "destination":
            return {name: controls.number(name.capitalize(), form.get(name)) for name in ("latitude", "longitude")}
        if kind in queue.CLOUD_KINDS:
            return {}
        return controls.collector_change(form.get("driver", ""), form.get("options", ""), form.get("log_level", ""))

    def context(self, request: HttpRequest, vehicle: Vehicle) -> dict[str, Any]:
        """The settings asked for and told, and the collector's last word of itself."""
        row = queue.settings_of(vehicle)
        told = vehicle.commands.filter(type="collector_config", state=CommandState.SUCCEEDED).first()
        return {
            "settings": controls.rows(row.desired, row.reported),
            "reported_at": row.reported_at,
            "media_actions": controls.MEDIA,
            "remote": carriers.carrier_of(vehicle) is not None,
            "collector": told.result if told else None,
            "form": request.POST,
        }


def _what(command: Command) -> str:
    """A command in a line."""
    values = [value for value in command.arguments.values() if value not in (None, "", {})]
    return " ".join([command.type.replace("_", " "), *(str(value) for value in values)])[:120]


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
    if command.type == "collector_config":
        return f"collector {result.get('version')}, log level {result.get('log_level')}"
    if command.type in ("setting", "media"):
        return ", ".join(f"{name} {value}" for name, value in result.items())[:200]
    return json.dumps(result)[:200]


def _number(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("value"), (int, float))
