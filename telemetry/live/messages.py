"""What travels between processes: committed blocks, their arrays as raw bytes, which cost nobody who does not look."""

from __future__ import annotations

import msgspec
import numpy as np
from django.conf import settings
from redis.connection import parse_url

from telemetry import directory
from telemetry.readings import Block, Times, Values

_DATABASE = parse_url(settings.REDIS_URL).get("db", 0)  # type: ignore[no-untyped-call]
TOPIC = f"motorpool:live:{_DATABASE}:"
"""Redis' channels are the same in all its databases: the number keeps two portals on one server apart."""


class Frames(msgspec.Struct, array_like=True, tag="frames"):
    """One committed block; ``times`` are int64 microseconds, ``values`` float64 frames x signals."""

    vehicle_id: int
    source: str
    version: int
    signals: list[str]
    times: bytes
    values: bytes
    text_signals: list[str] = []
    texts: list[list[str | None]] = []


class State(msgspec.Struct, array_like=True, tag="state"):
    """A vehicle's new state."""

    vehicle_id: int
    state: str
    since: float


class Alert(msgspec.Struct, array_like=True, tag="alert"):
    """An alert as it is now; ``body`` is its JSON."""

    vehicle_id: int
    alert_id: int
    body: str


class Gap(msgspec.Struct, array_like=True, tag="gap"):
    """Something may have been lost: resynchronise."""


Message = Frames | State | Alert | Gap
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)  # type: ignore[arg-type]


def topic(organization_id: int) -> str:
    """The Redis channel of an organization."""
    return f"{TOPIC}{organization_id}"


def of_block(block: Block, version: int) -> bytes:
    """A block as a message; may ask the database for a name that this process has not met."""
    names = directory.signals([*block.signals.tolist(), *block.text_signals.tolist()])
    return encode(
        Frames(
            block.vehicle_id,
            directory.source(block.source_id),
            version,
            [names[signal].name for signal in block.signals.tolist()],
            block.times.tobytes(),
            np.ascontiguousarray(block.values).tobytes(),
            [names[signal].name for signal in block.text_signals.tolist()],
            [] if block.texts is None else block.texts.tolist(),
        )
    )


def encode(message: Message) -> bytes:
    """A message as it travels."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """A message that travelled."""
    return _decoder.decode(data)


def arrays(message: Frames) -> tuple[Times, Values]:
    """Times and values of a message, without copying."""
    times = np.frombuffer(message.times, np.int64)
    return times, np.frombuffer(message.values, float).reshape(len(times), len(message.signals))
