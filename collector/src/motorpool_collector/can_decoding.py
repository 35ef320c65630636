"""CAN frames to readings: DBC decoding, the mapping to the portal's signals, filters by change and interval."""

from __future__ import annotations

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
    _last: Dict[str, Tuple[float, Value]] = field(default_factory=dict)

    def passes(self, signal: str, moment: float, value: Value) -> bool:
        """Whether this one is let through."""
        last = self._last.get(signal)
        if last is not None and (moment - last[0] < self.interval or (self.changes_only and last[1] == value)):
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
        self._database = cantools.database.Database(strict=False)
        for file in files:
            try:
                self._database.add_dbc_file(file)
            except Exception as error:
                raise CollectorError(f"The DBC file {file} cannot be read: {error}", permanent=True) from None
        self._mapping = {name: _mapping(name, entry) for name, entry in (mapping or {}).items()}
        self._keep = keep or Filter()
        self._unmapped = unmapped or not self._mapping
        self._targets: Dict[int, Dict[str, Mapping]] = {}
        self.decoded = 0
        self.unknown = 0
        self.broken = 0
        names = {s.name for m in self._database.messages for s in m.signals}
        missing = [name for name in self._mapping if name.rpartition(".")[2] not in names]
        if missing:
            raise CollectorError(f"No DBC file has the signal {missing[0]}.", permanent=True)

    def frame(self, moment: float, identifier: int, data: bytes) -> Optional[Frame]:
        """The readings of one CAN frame; None where there are none."""
        try:
            message = self._database.get_message_by_frame_id(identifier)
        except KeyError:
            self.unknown += 1
            return None
        try:
            found = message.decode(data, decode_choices=False, allow_truncated=True)
        except Exception:
            self.broken += 1
            return None
        self.decoded += 1
        targets = self._targets.get(identifier)
        if targets is None:
            targets = self._targets[identifier] = self._targets_of(message)
        values: Dict[str, Value] = {}
        for name, target in targets.items():
            number = found.get(name)
            if not isinstance(number, (int, float)) or not _plausible(message, name, number):
                continue
            value = float(number) * target.factor + target.offset
            if self._keep.passes(target.signal, moment, value):
                values[target.signal] = value
        return Frame(moment, values) if values else None

    def _targets_of(self, message: Any) -> Dict[str, Mapping]:
        targets = {}
        for signal in message.signals:
            mapped = self._mapping.get(f"{message.name}.{signal.name}") or self._mapping.get(signal.name)
            if mapped:
                targets[signal.name] = mapped
            elif self._unmapped:
                targets[signal.name] = Mapping(f"can.{_word(message.name)}.{_word(signal.name)}")
        return targets


def _plausible(message: Any, name: str, value: float) -> bool:
    """Within the range that the DBC gives, where it gives one: what lies outside stands for "no value"."""
    signal = message.get_signal_by_name(name)
    low, high = signal.minimum, signal.maximum
    if low is None or high is None or low >= high:
        return True
    return bool(low <= value <= high)


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
