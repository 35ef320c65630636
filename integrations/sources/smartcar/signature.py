"""Who a webhook is from: Smartcar's signature, and the guard around the challenge that it shares a key with.

A delivery is signed ``hex(HMAC-SHA256(management token, raw body))`` in ``SC-Signature``; a challenge is answered with
the HMAC of the challenge under the same key (Smartcar documentation, webhooks). Whoever could have any challenge
answered could have any body signed: so only what can never be a body is answered.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

CHALLENGE = re.compile(r"[A-Za-z0-9._~+/=-]{8,256}", re.ASCII)
"""No brace, quote or space: no JSON object can be written with it."""


def sign(token: str, message: bytes) -> str:
    """The signature of a message, lower-case hex."""
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def verified(tokens: Iterable[str], body: bytes, signature: bytes) -> bool:
    """Whether one of the tokens signed exactly these bytes; takes the same time whatever differs."""
    found = False
    for token in tokens:
        found |= hmac.compare_digest(sign(token, body).encode(), signature)
    return found


def answerable(challenge: object) -> bool:
    """Whether a challenge may be answered: it cannot be taken for a body."""
    return isinstance(challenge, str) and CHALLENGE.fullmatch(challenge) is not None
