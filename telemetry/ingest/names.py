"""What names in a request mean: devices by their keys, vehicles, sources and signals, remembered for a moment.

A miss asks the database at once, so that new keys and vehicles work at once; a hit is trusted for
`KEY_CACHE_SECONDS`, so that a revoked key ends within that time. What is in steady use is asked for anew in the
background before its time is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from numpy.typing import NDArray

from fleet.accounts.models import Organization, secret_hash
from telemetry import catalog, directory
from telemetry.ingest.quality import PositionColumns
from telemetry.ingest.remembered import Remembered
from telemetry.models import Signal, Source
from telemetry.readings import Ids, Values
from vehicles.access import find_vehicle_ids
from vehicles.models import Device

R = TypeVar("R")
MOST_REFUSED = 10_000
MOST_NAMES = 50_000
"""Names in the sets of signals that are remembered of one organization."""
IDLE_SECONDS = 300.0
"""What an organization's requests used is forgotten after so long without one."""
MALFORMED = ("unknown_signal", "Signal names are lower-case words joined by dots, such as engine.rpm.")
LARGEST_VALUE = 1e15
"""Bound of signals without a range: sums of what the store holds must stay finite."""
SOURCE_QUOTA = 200
NUMBER_IN_QUOTES = "A number in quotes leaves a new signal's kind open: send it without quotes, or add the signal."
_threads = ThreadPoolExecutor(2, thread_name_prefix="names")


@dataclass(frozen=True)
class Sender:
    """An authenticated device; ``vehicles`` is None where it may write all of its organization's."""

    device_id: int
    organization_id: int
    vehicles: frozenset[int] | None

    def may_write(self, vehicle_id: int) -> bool:
        return self.vehicles is None or vehicle_id in self.vehicles

    @property
    def only_vehicle(self) -> int | None:
        """The vehicle of a device that is bound to exactly one."""
        return next(iter(self.vehicles)) if self.vehicles is not None and len(self.vehicles) == 1 else None


@dataclass(frozen=True)
class KnownSignal:
    """What validation needs of a signal."""

    id: int
    kind: str
    minimum: float
    maximum: float
    name: str = ""
    blank: float = math.nan
    """What stands for "no value"; NaN where nothing does."""


@dataclass
class Columns:
    """The signals of a block, resolved: where its numbers and texts go, and their bounds.

    ``numbers`` and ``texts`` are column indexes into the frames (without the time), ordered by signal id.
    """

    numbers: NDArray[np.intp]
    number_ids: Ids
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    booleans: NDArray[np.intp]
    """Which of the numbers are booleans, as positions in ``numbers``."""
    texts: NDArray[np.intp]
    text_ids: Ids
    unknown: dict[int, tuple[str, str]]
    """Columns that cannot be stored: code and reason."""
    in_order: bool
    """Whether ``numbers`` is simply every column as it stands."""
    blanks: Values
    """By number: what stands for "no value", NaN where nothing does."""
    position: PositionColumns


@dataclass
class OrganizationNames:
    """The names that one organization's requests used lately."""

    organization_id: int
    signals: dict[str, KnownSignal] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    """New signals of which only numbers in quotes have come: neither numbers nor texts yet."""
    sources: dict[str, int] = field(default_factory=dict)
    vehicles: Remembered[str, int | None] = field(default_factory=Remembered)
    """Identifier to id; an unknown one is not trusted, so that it is asked for again."""
    columns: dict[tuple[str, ...], Columns] = field(default_factory=dict)
    remembered_names: int = 0
    loaded_at: float = 0.0

    def knows(self, name: str) -> bool:
        """Whether it is known what a name means, or that it means nothing."""
        return name in self.signals or name in self.refused or not catalog.well_formed(name)

    def columns_of(self, names: list[str]) -> Columns | None:
        """The signals of a block, None where one of them has to be looked up."""
        key = tuple(names)
        known = self.columns.get(key)
        if known is None and all(self.knows(name) for name in names):
            known = _columns(self, names)
            if known.unknown:
                return known  # names that nobody knows are not kept: there is no end to them
            self.remembered_names += len(names)
            if self.remembered_names > MOST_NAMES:
                self.columns.clear()
                self.remembered_names = len(names)
            self.columns[key] = known
        return known


_organizations: dict[int, OrganizationNames] = {}
_senders: Remembered[bytes, Sender] = Remembered()


def organization_names(organization_id: int) -> OrganizationNames:
    """The remembered names of an organization; dropped now and then, since signals and settings change."""
    names = _organizations.get(organization_id)
    now = time.monotonic()
    if names is None or now - names.loaded_at > 60:
        for idle in [pk for pk, entry in list(_organizations.items()) if now - entry.loaded_at > IDLE_SECONDS]:
            _organizations.pop(idle, None)
        names = OrganizationNames(organization_id, loaded_at=now)
        _organizations[organization_id] = names
    return names


def forget(organization_id: int) -> None:
    """Drop what this process remembers of an organization; other processes do within a minute."""
    _organizations.pop(organization_id, None)


def remembered_sender(key: str) -> Sender | None:
    """The device of a key that was checked a moment ago."""
    digest = secret_hash(key)
    if _senders.due(digest):
        in_thread(find_sender, key)
    return _senders.get(digest)


def find_sender(key: str) -> Sender | None:
    """The device of a key, from the database; notes that it was seen. None: unknown or revoked."""
    digest = secret_hash(key)
    device = Device.objects.filter(sha256=digest, revoked_at=None).first()
    if device is None:
        _senders.drop(digest)
        return None
    Device.objects.filter(pk=device.pk).update(last_seen=timezone.now())
    bound = None if device.all_vehicles else frozenset(device.vehicles.values_list("pk", flat=True))
    sender = Sender(device.pk, device.organization_id, bound)
    _senders.put(digest, sender, settings.KEY_CACHE_SECONDS)
    return sender


def load(names: OrganizationNames, vehicles: set[str], sources: set[str], signals: dict[str, str]) -> None:
    """Look names up in the database and remember them; new sources and signals are added.

    Args:
        signals: name to kind (number, boolean, text), as the values suggest it for a new signal; empty: undecided.
    """
    if vehicles:
        found = find_vehicle_ids(names.organization_id, vehicles)
        for identifier in vehicles:
            vehicle_id = found.get(identifier)
            names.vehicles.put(identifier, vehicle_id, settings.KEY_CACHE_SECONDS if vehicle_id is not None else 0)
    if sources:
        _load_sources(names, sources)
    if signals:
        _load_signals(names, signals)


def in_thread(function: Callable[..., R], *args: Any) -> Future[R]:
    """Run a database look-up beside the event loop; returns a future of it."""

    def run() -> R:
        try:
            return function(*args)
        finally:
            connection.close()

    return _threads.submit(run)


def _load_sources(names: OrganizationNames, wanted: set[str]) -> None:
    mine = Q(organization_id=names.organization_id) | Q(organization_id=None)
    known = dict(Source.objects.filter(mine, name__in=wanted).values_list("name", "pk"))
    for name in sorted(wanted - known.keys()):
        if Source.objects.filter(organization_id=names.organization_id).count() >= SOURCE_QUOTA:
            continue
        known[name] = Source.objects.get_or_create(organization_id=names.organization_id, name=name)[0].pk
    names.sources.update(known)


def _load_signals(names: OrganizationNames, wanted: dict[str, str]) -> None:
    mine = Q(organization_id=names.organization_id) | Q(organization_id=None)
    for signal in Signal.objects.filter(mine, name__in=wanted).order_by("organization_id"):
        _know(names, signal)
    fresh = sorted(wanted.keys() - names.signals.keys())
    if not fresh:
        return
    organization = Organization.objects.get(pk=names.organization_id)
    quota = settings.SIGNAL_QUOTA if organization.signal_quota is None else organization.signal_quota
    used = Signal.objects.filter(organization=organization).count()
    if len(names.refused) > MOST_REFUSED:
        names.refused.clear()
    for name in fresh:
        if not organization.allow_new_signals:
            names.refused[name] = ("unknown_signal", "The organization does not take signals that it does not know.")
        elif not wanted[name]:
            names.refused[name] = ("wrong_type", NUMBER_IN_QUOTES)
            names.undecided.add(name)
        elif used >= quota:
            names.refused[name] = ("signal_quota", f"The organization has all {quota} signals that it may add.")
        else:
            kind = wanted[name]
            bounds: dict[str, Any] = {"minimum": 0, "maximum": 1} if kind == "boolean" else {}
            signal, made = Signal.objects.get_or_create(
                organization=organization, name=name, defaults={"kind": kind, **bounds}
            )
            used += made
            _know(names, signal)


def _know(names: OrganizationNames, signal: Signal) -> None:
    names.signals[signal.name] = KnownSignal(
        signal.pk,
        signal.kind,
        -LARGEST_VALUE if signal.minimum is None else signal.minimum,
        LARGEST_VALUE if signal.maximum is None else signal.maximum,
        signal.name,
        _blank_of(signal),
    )
    names.refused.pop(signal.name, None)
    names.undecided.discard(signal.name)
    directory.remember(signal)


def _columns(names: OrganizationNames, wanted: Iterable[str]) -> Columns:
    numbers: list[tuple[int, int, KnownSignal]] = []
    texts: list[tuple[int, int]] = []
    unknown: dict[int, tuple[str, str]] = {}
    for index, name in enumerate(wanted):
        signal = names.signals.get(name)
        if signal is None:
            unknown[index] = names.refused.get(name, MALFORMED)
        elif signal.kind in ("text", "enum"):
            texts.append((signal.id, index))
        else:
            numbers.append((signal.id, index, signal))
    numbers.sort(key=lambda entry: entry[0])
    texts.sort()
    return Columns(
        numbers=np.array([index for _, index, _ in numbers], np.intp),
        number_ids=np.array([signal_id for signal_id, _, _ in numbers], np.int32),
        minimum=np.array([signal.minimum for _, _, signal in numbers], float),
        maximum=np.array([signal.maximum for _, _, signal in numbers], float),
        booleans=np.array([i for i, (_, _, signal) in enumerate(numbers) if signal.kind == "boolean"], np.intp),
        texts=np.array([index for _, index in texts], np.intp),
        text_ids=np.array([signal_id for signal_id, _ in texts], np.int32),
        unknown=unknown,
        in_order=not texts and not unknown and [index for _, index, _ in numbers] == list(range(len(numbers))),
        blanks=np.array([signal.blank for _, _, signal in numbers], float),
        position=PositionColumns(
            *(_place(numbers, f"location.{part}") for part in ("latitude", "longitude", "accuracy"))
        ),
    )


def _place(numbers: list[tuple[int, int, KnownSignal]], name: str) -> int:
    return next((place for place, (_, _, signal) in enumerate(numbers) if signal.name == name), -1)


def _blank_of(signal: Signal) -> float:
    known = catalog.BY_NAME.get(signal.name) if signal.organization_id is None else None
    return math.nan if known is None or known.no_value is None else known.no_value
