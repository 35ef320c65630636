"""What every socket asks of a client's message."""

from __future__ import annotations

from typing import Any

from fleet.lib import strict_json
from fleet.lib.errors import MotorpoolError

LONGEST_MESSAGE = 65_536


def decode(text: str | None) -> dict[str, Any]:
    """The object of a text message.

    Raises:
        MotorpoolError: it is binary, too long, not strict JSON, or no object.
    """
    if text is None or len(text) > LONGEST_MESSAGE:
        raise MotorpoolError("Send text messages of up to 64 kB.")
    message = strict_json.loads(text.encode())
    if not isinstance(message, dict):
        raise MotorpoolError('A message is an object such as {"type": "ping"}.')
    return message
