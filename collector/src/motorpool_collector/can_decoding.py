"""CAN frames to readings: DBC decoding, the mapping to the portal's signals, filters by change and interval."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from motorpool_collector.driver import CollectorError, Frame, Value, needs


@dataclass
class Mapping:
    """Where a DBC signal goes; the value is times ``factor`` plus ``offset``."""

    signal: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass
class Filter:
    """Which readings are let through; seconds, and times in the clock of the frames."""

    interval: float = 0.0
    """At most one of each signal in so many seconds."""
    changes_only: bool = False
    filtered: int = 0
    """How many were not let through."""
    _last: Dict[str, Tuple[float, Value]] = field(default_factory=dict)

    def passes(self, signal: str, moment: float, value: Value) -> bool:
        """Whether this one is let through."""
        last = self._last.get(signal)
        # A clock that was set back must not silence a signal until it is where it was.
        soon = last is not None and 0 <= moment - last[0] < self.interval
        if last is not None and (soon or (self.changes_only and last[1] == value)):
            self.filtered += 1
            return False
        self._last[signal] = (moment, value)
        return True


class Decoder:
    """Decodes frames with one or more DBC files; a frame that none knows is no error."""

    def __init__(
        self,
        files: List[str],
        mapping: Optional[Dict[str, Any]] = None,
        keep: Optional[Filter] = None,
        unmapped: bool = False,
    ) -> None:
        """Load the files.

        Args:
            mapping: ``Message.Signal`` or ``Signal`` to a signal, or to a table with signal, factor and offset.
            unmapped: also send what is not mapped, as ``can.<message>.<signal>``.

        Raises:
            CollectorError: a file or the mapping cannot be used.
        """
        cantools = needs("cantools", "can")
        database = cantools.database.Database(strict=False)
        for file in files:
            try:
                database.add_dbc_file(file)
            except Exception as error:
                raise CollectorError(f"The DBC file {file} cannot be read: {error}", permanent=True) from None
        self._mapping = {name: _mapping(name, entry) for name, entry in (mapping or {}).items()}
        self._keep = keep or Filter()
        self._unmapped = unmapped or not self._mapping
        self._messages = {(m.frame_id, bool(m.is_extended_frame)): m for m in database.messages}
        self._groups = parameter_groups(database.messages)
        self._targets: Dict[Tuple[int, bool], Tuple[Any, Dict[str, Target]]] = {}
        self.decoded = 0
        self.unknown = 0
        self.broken = 0
        self.outside: Dict[str, int] = {}
        """Values outside the range that the DBC gives, which are sent all the same: by signal how many."""
        self.not_available = 0
        """Values that are left out because all their bits are set, which stands for "not available"."""
        names = {s.name for m in database.messages for s in m.signals}
        missing = [name for name in self._mapping if name.rpartition(".")[2] not in names]
        if missing:
            raise CollectorError(f"No DBC file has the signal {missing[0]}.", permanent=True)

    def frame(self, moment: float, identifier: int, data: bytes, extended: bool = False) -> Optional[Frame]:
        """The readings of one CAN frame; None where there are none.

        Args:
            moment: epoch seconds.
            extended: whether the identifier has 29 bits: the same number with 11 bits is another one.
        """
        found = self._targets.get((identifier, extended)) or self._find(identifier, extended)
        if found is None:
            self.unknown += 1
            return None
        message, targets = found
        try:
            raw = message.decode(data, decode_choices=False, scaling=False, allow_truncated=True)
        except Exception:
            self.broken += 1
            return None
        self.decoded += 1
        values: Dict[str, Value] = {}
        for name, target in targets.items():
            number = raw.get(name)
            if number is None:
                continue
            value = self._value(target, number)
            if value is not None and self._keep.passes(target.mapping.signal, moment, value):
                values[target.mapping.signal] = value
        return Frame(moment, values) if values else None

    def _find(self, identifier: int, extended: bool) -> Optional[Tuple[Any, Dict[str, Target]]]:
        message = self._messages.get((identifier, extended))
        if message is None and extended:
            message = self._groups.get(parameter_group(identifier))
        if message is None:
            return None
        found = self._targets[identifier, extended] = (message, self._targets_of(message))
        return found

    def _value(self, target: Target, raw: Any) -> Optional[float]:
        number = float(raw * target.factor + target.offset)
        if not math.isfinite(number):
            self.not_available += 1
            return None
        if not target.low <= number <= target.high:
            if target.blank is not None and raw == target.blank:
                self.not_available += 1
                return None
            # The ranges of DBC files are often wrong: the value counts, and the range is said to be off.
            self.outside[target.name] = self.outside.get(target.name, 0) + 1
        return number * target.mapping.factor + target.mapping.offset

    def _targets_of(self, message: Any) -> Dict[str, Target]:
        targets = {}
        for signal in message.signals:
            mapped = self._mapping.get(f"{message.name}.{signal.name}") or self._mapping.get(signal.name)
            if mapped is None and self._unmapped:
                mapped = Mapping(f"can.{_word(message.name)}.{_word(signal.name)}")
            if mapped is not None:
                targets[signal.name] = Target(message.name, signal, mapped)
        return targets

    def account(self) -> List[str]:
        """What was decoded and what not, in lines for a person."""
        lines = [
            f"{self.decoded} CAN frames decoded, {self.unknown} that no DBC file knows, {self.broken} broken",
        ]
        if self._keep.filtered:
            lines.append(f"{self._keep.filtered} values left out by the interval or because they did not change")
        if self.not_available:
            lines.append(f"{self.not_available} values left out because all their bits are set: not available")
        if self.outside:
            names = sorted(self.outside, key=lambda name: -self.outside[name])
            shown = ", ".join(f"{name} ({self.outside[name]})" for name in names[:5])
            more = f" and {len(names) - 5} more signals" if len(names) > 5 else ""
            lines.append(f"sent although outside the range that the DBC file gives: {shown}{more}")
        return lines


class Target:
    """A signal of a message, and where it goes."""

    def __init__(self, message: str, signal: Any, mapping: Mapping) -> None:
        self.name = f"{message}.{signal.name}"
        self.mapping = mapping
        self.factor, self.offset = signal.scale, signal.offset
        low, high = signal.minimum, signal.maximum
        # Bounds are rounded to the signal's steps: half a step more belongs to them.
        slack = abs(float(signal.scale or 1)) / 2
        given = low is not None and high is not None and low < high
        self.low = float(low) - slack if given else -math.inf
        self.high = float(high) + slack if given else math.inf
        whole = not signal.is_signed and not signal.conversion.is_float
        self.blank: Optional[int] = (1 << signal.length) - 1 if whole and signal.length > 1 else None


def parameter_group(identifier: int) -> int:
    """The parameter group number of a 29 bit identifier (SAE J1939-21, 5.2): without priority and source address.

    Groups with a destination (format below 240) are the same for every destination.
    """
    group = identifier >> 8 & 0x3FFFF
    return group & 0x3FF00 if (group >> 8 & 0xFF) < 240 else group


def parameter_groups(messages: List[Any]) -> Dict[int, Any]:
    """The messages of J1939 by parameter group, each group that only one message has.

    A DBC file says so itself, or its messages have the null address 254 or the numbers of groups that every heavy
    vehicle sends; elsewhere 29 bit identifiers that are alike may be different things.
    """
    wide = [m for m in messages if m.is_extended_frame]
    common = {
        0xF004,
        0xF003,
        0xFEF1,
        0xFEEE,
        0xFEEF,
        0xFEF2,
        0xFEF5,
        0xFEF6,
        0xFEF7,
        0xFEE5,
        0xFEE9,
        0xFEC1,
        0xF005,
        0xFEFC,
    }
    standard = any(
        m.protocol == "j1939" or m.frame_id & 0xFF == 0xFE or parameter_group(m.frame_id) in common for m in wide
    )
    groups: Dict[int, Any] = {}
    twice = set()
    for message in wide if standard else ():
        group = parameter_group(message.frame_id)
        if group >> 8 & 0xFF in (0xDA, 0xDB):  # diagnostics (ISO 15765-2), where the source tells who answers
            continue
        if group in groups:
            twice.add(group)
        groups[group] = message
    return {group: message for group, message in groups.items() if group not in twice}


def _mapping(name: str, entry: Any) -> Mapping:
    try:
        mapped = Mapping(entry) if isinstance(entry, str) else Mapping(**entry)
        return Mapping(mapped.signal, float(mapped.factor), float(mapped.offset))
    except (TypeError, ValueError):
        raise CollectorError(
            f"map.{name} is a signal's name, or a table with signal, factor and offset.", permanent=True
        ) from None


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower()).strip("_") or "x"
