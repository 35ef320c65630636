"""API of telemetry: latest, history, summary, tickets for sockets."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.accounts.models import Organization
from fleet.lib.api import NO_STORE, parse_time, written
from telemetry import directory, store, units
from telemetry.horizons import frames_from, rollups_from
from telemetry.live.credentials import TICKET_SECONDS, ticket_create
from telemetry.models import Source
from telemetry.selectors import latest_of, signal_ids
from vehicles.access import find_vehicle

MOST_POINTS = 10_000
MOST_SIGNALS = 50
_UNITS = OpenApiParameter("units", str, enum=units.SYSTEMS)
_RANGE = [OpenApiParameter(name, str) for name in ("from", "to")]


class _Reading(serializers.Serializer[Any]):
    value = serializers.JSONField(help_text="A number, or text for signals of kind text.")
    unit = serializers.CharField()
    time = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]


class LatestOutput(serializers.Serializer[Any]):
    """A vehicle's newest readings."""

    id = serializers.CharField()
    name = serializers.CharField()
    vin = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(["moving", "idle", "parked", "charging", "offline", "never"])
    time = serializers.DateTimeField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    seq = serializers.IntegerField(allow_null=True, help_text="The version that a stream can resume from.")
    signals = serializers.DictField(child=_Reading())


class AllLatestOutput(serializers.Serializer[Any]):
    """All vehicles' newest readings; never paged."""

    results = LatestOutput(many=True)


class AllLatest(APIView):
    """All vehicles' states in one call."""

    @extend_schema(parameters=[_UNITS], responses=AllLatestOutput)
    def get(self, request: Request) -> Response:
        """Every vehicle that is not archived."""
        organization = access(request).organization
        vehicles = organization.vehicles.filter(archived_at=None).only("name", "vin", "organization")
        return Response({"results": latest_of(organization, vehicles, _system(request))})


class Latest(APIView):
    """One vehicle's newest readings."""

    @extend_schema(parameters=[_UNITS], responses=LatestOutput)
    def get(self, request: Request, vehicle: str) -> Response:
        """Every signal with value, unit, time and source; the derived state."""
        organization = access(request).organization
        body = latest_of(organization, [find_vehicle(organization, vehicle)], _system(request))[0]
        now = time.time()
        for reading in body["signals"].values():
            reading["age_s"] = round(max(0.0, now - parse_time(reading["time"], "time").timestamp()), 3)
        return Response(body)


class History(APIView):
    """Signals over time."""

    class Output(serializers.Serializer[Any]):
        times = serializers.ListField(child=serializers.FloatField(), help_text="Epoch seconds.")
        resolution = serializers.CharField(help_text='A bucket\'s width, such as "7.2s", or "raw".')
        series = serializers.DictField(child=serializers.DictField())

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "signals", {"type": "string", "minLength": 1}, required=True, description="Names, separated by commas."
            ),
            *_RANGE,
            OpenApiParameter("points", {"type": "integer", "minimum": 1, "maximum": MOST_POINTS, "default": 500}),
            OpenApiParameter("source", str),
            _UNITS,
        ],
        responses=Output,
    )
    def get(self, request: Request, vehicle: str) -> Response:
        """Minimum, maximum and average per bucket; raw where the range holds fewer frames than ``points``."""
        organization = access(request).organization
        row = find_vehicle(organization, vehicle)
        query = request.query_params
        names = [name for name in query.get("signals", "").split(",") if name]
        if not names or len(names) > MOST_SIGNALS:
            raise serializers.ValidationError({"signals": [f"Name 1 to {MOST_SIGNALS} signals, separated by commas."]})
        infos = _signals(organization, names)
        points = _points(query.get("points", "500"))
        wanted = _range(request, organization, row.pk)
        if wanted is None:
            empty: dict[str, Any] = {"times": [], "resolution": "raw", "series": {}}
            for name, (_, info) in infos.items():
                columns = ("value",) if info.kind in ("text", "enum") else ("min", "max", "avg")
                empty["series"][name] = {"unit": info.unit, **{column: [] for column in columns}}
            return Response(empty)
        numbers = [i for i, info in infos.values() if info.kind not in ("text", "enum")]
        texts = [i for i, info in infos.values() if info.kind in ("text", "enum")]
        history = store.read_history(wanted, numbers, texts, points)
        return Response(_history_body(history, infos, _system(request)))


class Summary(APIView):
    """Signals summed up."""

    class Output(serializers.Serializer[Any]):
        locals()["from"] = serializers.DateTimeField(allow_null=True)
        to = serializers.DateTimeField(allow_null=True)
        signals = serializers.DictField(child=serializers.DictField(), help_text="By name: unit, count, min, max, …")

    @extend_schema(
        parameters=[*_RANGE, OpenApiParameter("signals", str), OpenApiParameter("source", str), _UNITS],
        responses=Output,
    )
    def get(self, request: Request, vehicle: str) -> Response:
        """Count, minimum, maximum, mean, first and last; over all that is stored where no range is given."""
        organization, system = access(request).organization, _system(request)
        row = find_vehicle(organization, vehicle)
        names = [name for name in request.query_params.get("signals", "").split(",") if name]
        if names:
            infos = _signals(organization, names)
        else:
            latest = store.read_latest(organization.pk, [row.pk]).get(row.pk)
            known = directory.signals(latest.signals.tolist() if latest else [])
            infos = {info.name: (signal_id, info) for signal_id, info in known.items()}
        wanted = _range(request, organization, row.pk, everything=True)
        if wanted is None:
            return Response({"from": None, "to": None, "signals": {}})
        numbers = {i: info for i, info in infos.values() if info.kind not in ("text", "enum")}
        body: dict[str, Any] = {}
        for signal_id, found in store.read_summary(wanted, list(numbers)).items():
            conversion = units.conversion(numbers[signal_id].unit, system)
            shown = (found.minimum, found.maximum, found.mean, found.first, found.last)
            low, high, mean, first, last = (None if value is None else conversion.apply(value) for value in shown)
            body[numbers[signal_id].name] = {
                "unit": conversion.unit, "count": found.count, "min": low, "max": high, "mean": mean,
                "first": first, "last": last,
            }  # fmt: skip
        end = wanted.end if request.query_params.get("to") else wanted.end - 1
        return Response({"from": written(wanted.start), "to": written(end), "signals": body})


class Tickets(APIView):
    """Tickets for WebSockets of clients that can send neither header nor cookie."""

    class Output(serializers.Serializer[Any]):
        ticket = serializers.CharField()
        expires_in = serializers.IntegerField()

    @extend_schema(request=None, responses={201: Output})
    def post(self, request: Request) -> Response:
        """A ticket for one socket: connect to /ws/v1/stream?ticket=…"""
        _, _, bearer = request.headers.get("Authorization", "").partition(" ")
        session_key = "" if bearer else request._request.session.session_key or ""
        ticket = ticket_create(access(request), session_key=session_key, bearer=bearer.strip())
        body = {"ticket": ticket, "expires_in": TICKET_SECONDS}
        return Response(body, status=status.HTTP_201_CREATED, headers=NO_STORE)


def _system(request: Request) -> str:
    system = request.query_params.get("units", "metric")
    if system not in units.SYSTEMS:
        raise ValidationError({"units": ["units can be metric or imperial."]})
    return system


def _points(words: str) -> int:
    points = int(words) if words.isascii() and words.isdecimal() and len(words) <= 9 else 0
    if not 1 <= points <= MOST_POINTS:
        raise serializers.ValidationError({"points": [f"points can be 1 to {MOST_POINTS}."]})
    return points


def _signals(organization: Organization, names: Iterable[str]) -> dict[str, tuple[int, directory.SignalInfo]]:
    wanted = list(dict.fromkeys(names))
    if len(wanted) > MOST_SIGNALS:
        raise serializers.ValidationError({"signals": [f"Name at most {MOST_SIGNALS} signals."]})
    infos = signal_ids(organization, wanted)
    unknown = [name for name in wanted if name not in infos]
    if unknown:
        raise serializers.ValidationError(
            {"signals": [f"There is no signal {', '.join(unknown[:5])[:200]}; see /api/v1/signals."]}
        )
    return {name: infos[name] for name in wanted}


def _range(
    request: Request, organization: Organization, vehicle_id: int, everything: bool = False
) -> store.Range | None:
    """The asked range within what is stored; None where nothing is. Without from: the last hour, or everything."""
    query = request.query_params
    source_id = None
    if query.get("source"):
        name = query["source"]
        found = Source.objects.filter(name=name, organization=None) | organization.sources.filter(name=name)
        source_id = found.values_list("pk", flat=True).first()
        if source_id is None:
            raise serializers.ValidationError({"source": ["There is no such source."]})
    start = _microseconds(query["from"], "from") if query.get("from") else None
    end = _microseconds(query["to"], "to") if query.get("to") else None
    if start is not None and end is not None and start >= end:
        raise serializers.ValidationError({"from": ["from must be before to."]})
    bounds = (0, 0) if start is not None and end is not None else store.read_bounds(organization.pk, vehicle_id)
    if bounds is None:
        return None
    if end is None:
        # A clock that is ahead must not move "now"; what it sent is found by asking for its time.
        end = min(bounds[1] + 1, time.time_ns() // 1_000) if not everything else bounds[1] + 1
    if start is None:
        start = bounds[0] if everything else end - 3_600_000_000
    kept, rolled = frames_from(organization), rollups_from(organization)
    start = max(start, kept if rolled is None else min(kept, rolled))
    if start >= end:
        return None
    return store.Range(organization.pk, vehicle_id, start, end, source_id, kept, rolled)


def _microseconds(words: str, name: str) -> int:
    moment = parse_time(words, name)
    if not 1970 <= moment.year <= 2200:
        raise serializers.ValidationError({name: ["Give a time from 1970 to 2200."]})
    return round(moment.timestamp() * 1_000_000)


def _history_body(
    history: store.History, infos: dict[str, tuple[int, directory.SignalInfo]], system: str
) -> dict[str, Any]:
    series: dict[str, Any] = {}
    for name, (signal_id, info) in infos.items():
        if signal_id in history.texts:
            series[name] = {"unit": "", "value": history.texts[signal_id]}
            continue
        conversion = units.conversion(info.unit, system)
        found = history.numbers[signal_id]
        columns = {"min": found.minimum, "max": found.maximum, "avg": found.average}
        series[name] = {"unit": conversion.unit}
        for column, values in columns.items():
            # msgspec writes NaN as null, which is what an empty bucket is.
            series[name][column] = (values * conversion.factor + conversion.offset).tolist()
    resolution = "raw" if history.width is None else f"{_short(history.width / 1e6)}s"
    return {"times": (history.times / 1e6).tolist(), "resolution": resolution, "series": series}


def _short(seconds: float) -> str:
    digits = max(0, 3 - math.floor(math.log10(seconds))) if seconds < 1000 else 0
    return np.format_float_positional(round(seconds, digits), trim="-")
