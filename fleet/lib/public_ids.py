"""Public ids: the names of rows in addresses, in the API and on devices.

A public id is the kind of the row, an underscore and 26 characters: ``veh_q3x7…``. The characters are the kind and the
row's number, encrypted as one block of AES-128 with a key that belongs to the database. So the id of one row says
nothing about another, an id of one kind is never read as one of another kind, and neither a column nor a query is
needed to go from one to the other. The key is made by a migration and travels with backups; it never changes, because
devices and other programs keep the ids.
"""

from __future__ import annotations

import functools
import re
from base64 import b32decode, b32encode
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from django.db import connection
from django.urls import register_converter

_LENGTH, _PADDING = 26, "======"
_FORM = re.compile(rf"[a-z]{{2,8}}_[a-z2-7]{{{_LENGTH}}}")
_LARGEST = 2**63


class Kind(StrEnum):
    """What an id names; the value is its prefix."""

    ALERT = "alert"
    ALERT_EVENT = "aevt"
    AUDIT_EVENT = "audit"
    CHANNEL = "chan"
    CONNECTION = "conn"
    DEVICE = "dev"
    GEOFENCE = "geo"
    INVITATION = "inv"
    MEMBER = "mem"
    ORGANIZATION = "org"
    REJECTED = "rej"
    RULE = "rule"
    TOKEN = "tok"  # noqa: S105 - a prefix
    TROUBLE_CODE = "dtc"
    USER = "user"
    VEHICLE = "veh"
    WEBHOOK_EVENT = "evt"


class HasPublicId:
    """For models whose rows have a public id."""

    ID_KIND: ClassVar[Kind]
    pk: int

    @property
    def public_id(self) -> str:
        """The row's name outside the portal."""
        return public_id(self.ID_KIND, self.pk)


@functools.lru_cache(maxsize=32_768)
def public_id(kind: Kind, number: int) -> str:
    """The public id of a row's number, which is 0 or more."""
    encryptor = _cipher().encryptor()
    block = encryptor.update(kind.encode().ljust(8, b"\0") + number.to_bytes(8, "big")) + encryptor.finalize()
    return f"{kind}_{b32encode(block).decode()[:_LENGTH].lower()}"


def number_of(kind: Kind, text: str) -> int:
    """The number of the row that a public id of that kind names; 0, which no row has, for any other text."""
    prefix, _, rest = text.partition("_")
    if prefix != kind or not looks_like_id(text):
        return 0
    decryptor = _cipher().decryptor()
    block = decryptor.update(b32decode(rest.upper() + _PADDING)) + decryptor.finalize()
    number = int.from_bytes(block[8:], "big")
    if block[:8].rstrip(b"\0").decode("ascii", "replace") != kind or number >= _LARGEST:
        return 0
    # The last character has two bits to spare: only the way in which ids are written counts.
    return number if public_id(kind, number) == text else 0


def looks_like_id(text: str) -> bool:
    """Whether a text has the form of a public id, which no other name of a vehicle may have."""
    return _FORM.fullmatch(text) is not None


@functools.cache
def _cipher() -> Cipher[ECB]:
    # ECB is one block at a time, and an id is one block. In a thread of its own, since event loops ask too.
    with ThreadPoolExecutor(1) as threads:
        return Cipher(AES128(threads.submit(_read_key).result()), ECB())  # noqa: S305 - see above


def _read_key() -> bytes:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT key FROM public_id_key")
            return bytes(cursor.fetchone()[0])
    finally:
        connection.close()


def _register(kind: Kind) -> None:
    class Converter:
        """An id in an address; one that names nothing becomes 0, so that the view answers as for any unknown row."""

        regex = "[^/]+"

        def to_python(self, value: str) -> int:
            return number_of(kind, value)

        def to_url(self, value: int) -> str:
            return public_id(kind, value)

    register_converter(Converter, f"{kind}_id")


class _VehicleConverter:
    """A vehicle in an address: by any of its names on the way in, by its id on the way out."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: int | str) -> str:
        return public_id(Kind.VEHICLE, value) if isinstance(value, int) else value


for _kind in Kind:
    _register(_kind)
register_converter(_VehicleConverter, "vehicle")
