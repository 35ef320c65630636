"""Pages of data quality: rejected readings, and the organization's own signals."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Max, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views import View

from fleet.accounts.access import MemberRequired, access
from fleet.accounts.models import Organization, Role
from fleet.lib.public_ids import Kind, number_of, public_id
from telemetry.models import RejectedReading, Signal
from telemetry.selectors import PORTAL, rejected_of
from telemetry.services import KINDS, SignalError, signal_create, signal_update
from telemetry.store import KEPT_A_DAY, REJECTED_DAYS

PER_PAGE = 50
MOST_COUNTS = 200
REASONS = {
    "no_value": (
        "No value",
        "The control unit or app sent a placeholder instead of a value. Nothing needs to be done.",
    ),
    "out_of_range": ("Out of range", "The value is outside the signal's range. Check its unit and the sensor."),
    "no_position": ("No position", "The receiver had no fix. Check the antenna's view of the sky."),
    "position_jump": (
        "Position jump",
        "Noise of the receiver. If it happens often, move the antenna or raise the speed of fixes.",
    ),
    "wrong_clock": ("Wrong clock", "The GPS receiver's week number has run over. Update its firmware or replace it."),
    "time_out_of_range": (
        "Time out of range",
        "The device's clock is wrong, or time_unit does not fit. Set the clock by NTP or GPS.",
    ),
    "invalid_time": ("Unreadable time", "Send epoch numbers or RFC 3339 text."),
    "wrong_type": (
        "Wrong type",
        "The signal takes another kind of value. Change the sender, or the signal's kind below.",
    ),
    "too_long": ("Text too long", "Shorten the text."),
    "wrong_length": ("Wrong length", "A frame needs one value for each signal of its block."),
    "unknown_signal": ("Unknown signal", "Use a signal of the catalog, or let the organization take new signals."),
    "signal_quota": (
        "Too many signals",
        "The organization has as many signals as it may. Remove names that vary from the sender.",
    ),
    "unknown_vehicle": ("Unknown vehicle", "Add the vehicle, or give it the alias that the device sends."),
    "source_quota": ("Too many sources", "Use fewer source names."),
}
"""By code: what it is called, and what to do about it."""


class RejectedPage(MemberRequired, View):
    """Rejected readings: counts by device, reason and signal, and the newest ones with their values."""

    roles = {"GET": Role.OPERATOR}

    def get(self, request: HttpRequest) -> HttpResponse:
        organization = access(request).organization
        device, code = request.GET.get("device", ""), request.GET.get("code", "")
        signal = request.GET.get("signal", "").strip()
        since = timezone.now().date() - timedelta(days=REJECTED_DAYS)
        names = _device_names(organization)
        counts = rejected_of(organization.rejection_counts.filter(day__gte=since), device, code, signal)
        grouped = counts.values("device_id", "code", "signal").annotate(total=Sum("count"), last=Max("last_at"))
        rows = [
            {
                "device": names.get(row["device_id"], "a deleted device"),
                "device_id": _device_key(row["device_id"]),
                "reason": REASONS.get(row["code"], (row["code"], ""))[0],
                "advice": REASONS.get(row["code"], ("", ""))[1],
                **{name: row[name] for name in ("code", "signal", "total", "last")},
            }
            for row in grouped.order_by("-last")[:MOST_COUNTS]
        ]
        readings = rejected_of(organization.rejected_readings.all(), device, code, signal)
        page = Paginator(readings, PER_PAGE).get_page(request.GET.get("page"))
        context = {
            "rows": rows, "page": page, "total": sum(row["total"] for row in rows),
            "devices": [(_device_key(pk), names[pk]) for pk in sorted(names, key=lambda pk: names[pk].lower())],
            "reasons": [(key, words[0]) for key, words in REASONS.items()], "names": names,
            "device": device, "code": code, "signal": signal, "days": REJECTED_DAYS, "kept": KEPT_A_DAY,
            "shown": _shown(organization, page, names),
        }  # fmt: skip
        return render(request, "telemetry/rejected.html", context)


class SignalForm(forms.ModelForm):  # type: ignore[type-arg]
    """A signal of the organization's own."""

    kind = forms.ChoiceField(choices=[(kind, kind) for kind in KINDS])

    class Meta:
        model = Signal
        fields = ("name", "kind", "unit", "minimum", "maximum", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["name"]


class SignalsPage(MemberRequired, View):
    """The organization's own signals, and the form for a new one."""

    roles = {"POST": Role.ADMIN}

    def get(self, request: HttpRequest, form: SignalForm | None = None, status: int = 200) -> HttpResponse:
        signals = access(request).organization.signals.order_by("name")
        page = Paginator(signals, PER_PAGE).get_page(request.GET.get("page"))
        return render(request, "telemetry/signals.html", {"page": page, "form": form or SignalForm()}, status=status)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add a signal."""
        found = access(request)
        form = SignalForm(request.POST)
        if form.is_valid():
            try:
                signal = signal_create(
                    organization=found.organization, user=found.user, request=request, **form.cleaned_data
                )
                messages.success(request, f"The signal {signal.name} was added.")
                return redirect("signals")
            except SignalError as error:
                form.add_error(None, error.detail)
        return self.get(request, form, 422)


class SignalPage(MemberRequired, View):
    """Change one of the organization's own signals."""

    roles = {"GET": Role.ADMIN, "POST": Role.ADMIN}

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        signal = _own_signal(request, name)
        return render(request, "telemetry/signal.html", {"signal": signal, "form": SignalForm(instance=signal)})

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Save the changes."""
        signal = _own_signal(request, name)
        form = SignalForm(request.POST, instance=_own_signal(request, name))
        if form.is_valid():
            try:
                signal_update(signal=signal, user=access(request).user, request=request, **form.cleaned_data)
                messages.success(request, f"{name} was changed. Devices follow within a minute.")
                return redirect("signals")
            except SignalError as error:
                form.add_error(None, error.detail)
        return render(request, "telemetry/signal.html", {"signal": signal, "form": form}, status=422)


def _own_signal(request: HttpRequest, name: str) -> Signal:
    signal = access(request).organization.signals.filter(name=name).first()
    if signal is None:
        raise Http404
    return signal


def _device_key(device_id: int) -> str:
    """What the filter calls a device."""
    return public_id(Kind.DEVICE, device_id) if device_id else PORTAL


def _shown(organization: Organization, page: Iterable[RejectedReading], devices: dict[int, str]) -> list[Any]:
    """Rejected readings with the names of their devices, and of the vehicles that they name by an id."""
    rows = list(page)
    ids = {row.vehicle: number_of(Kind.VEHICLE, row.vehicle) for row in rows}
    vehicles = dict(organization.vehicles.filter(pk__in=set(ids.values())).values_list("pk", "name"))
    return [
        (row, devices.get(row.device_id or 0, "a deleted device"), vehicles.get(ids[row.vehicle], row.vehicle))
        for row in rows
    ]


def _device_names(organization: Organization) -> dict[int, str]:
    return {0: "Manufacturers' clouds", **dict(organization.devices.values_list("pk", "name"))}
