"""Secrets at rest: AES-256-GCM (NIST SP 800-38D), each bound to the row and column that it belongs to.

Sealed text is ``v1:<key id>:<base64 of nonce and ciphertext>``. `FIELD_ENCRYPTION_KEYS` lists the keys, newest first:
the first one seals, any of them opens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from fleet.lib.errors import MotorpoolError

VERSION = "v1"
_NONCE = 12


class Unreadable(MotorpoolError):
    """A sealed value that no key opens: the key is gone, or the value was moved or changed."""

    status = 500
    code = "unreadable_secret"


def seal(secret: str, place: str) -> str:
    """Encrypt a secret.

    Args:
        place: names the row and the column, such as ``smartcar.account:7:refresh_token``; opening needs the same.

    Raises:
        MotorpoolError: there is no key.
    """
    key = _keys()[0]
    nonce = os.urandom(_NONCE)
    sealed = nonce + AESGCM(key).encrypt(nonce, secret.encode(), place.encode())
    return f"{VERSION}:{key_id(key)}:{base64.urlsafe_b64encode(sealed).decode()}"


def unseal(sealed: str, place: str) -> str:
    """The secret; raises `Unreadable`."""
    version, _, rest = sealed.partition(":")
    identifier, _, body = rest.partition(":")
    key = next((key for key in _keys() if key_id(key) == identifier), None)
    if version != VERSION or key is None:
        raise Unreadable("A stored secret was sealed with a key that FIELD_ENCRYPTION_KEYS does not hold.")
    try:
        data = base64.urlsafe_b64decode(body)
        return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], place.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise Unreadable("A stored secret does not belong where it was found, or is damaged.") from None


def sealed_with_newest(sealed: str) -> bool:
    """Whether the newest key sealed it."""
    return sealed.startswith(f"{VERSION}:{key_id(_keys()[0])}:")


def key_id(key: bytes) -> str:
    """A key's name: the beginning of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


def _keys() -> list[bytes]:
    keys: list[bytes] = settings.FIELD_ENCRYPTION_KEYS
    if not keys:
        raise MotorpoolError("FIELD_ENCRYPTION_KEYS is not set; see .env.example.", status=500, code="no_key")
    return keys
