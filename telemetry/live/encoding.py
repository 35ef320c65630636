"""Messages to the sockets, as JSON text: made once per subscription shape."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from fleet.lib.public_ids import Kind, public_id
from telemetry.live import messages
from telemetry.readings import Times, Values

_json = msgspec.json.Encoder()


def frames_text(
    message: messages.Frames, times: Times, values: Values, wanted: frozenset[str] | None, previous: int | None
) -> str:
    """A ``frames`` message, empty where the subscription wants none of its signals."""
    names, text_names = message.signals, message.text_signals
    columns = [i for i, name in enumerate(names) if wanted is None or name in wanted]
    text_columns = [i for i, name in enumerate(text_names) if wanted is None or name in wanted]
    if not columns and not text_columns:
        return ""
    table = values if len(columns) == len(names) else values[:, columns]
    rows = np.column_stack((times / 1e6, table)).tolist()
    if text_columns:
        for row, texts in zip(rows, message.texts, strict=True):
            row += [texts[i] for i in text_columns]
    signals = [names[i] for i in columns] + [text_names[i] for i in text_columns]
    return text_of(message.vehicle_id, message.source, message.version, previous, signals, rows)


def newest_texts(message: messages.Frames) -> dict[str, str]:
    """The newest text of each text signal in a message."""
    newest: dict[str, str] = {}
    for row in message.texts:
        newest.update((s, t) for s, t in zip(message.text_signals, row, strict=True) if t is not None)
    return newest


def text_of(
    vehicle_id: int, source: str, version: int, previous: int | None, signals: list[str], frames: list[list[Any]]
) -> str:
    """A ``frames`` message from its parts."""
    return _json.encode(
        {
            "type": "frames",
            "vehicle": public_id(Kind.VEHICLE, vehicle_id),
            "source": source,
            "seq": version,
            "prev": previous,
            "signals": signals,
            "frames": frames,
        }
    ).decode()
