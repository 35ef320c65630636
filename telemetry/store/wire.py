"""PostgreSQL's binary format of arrays, straight from and to numpy.

Format: PostgreSQL source, ``src/backend/utils/adt/arrayfuncs.c`` (array_send). All integers are big-endian; times
are microseconds since 2000.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from telemetry.readings import Ids, Times, Values

EPOCH_2000 = 946_684_800_000_000
INT4, INT8, FLOAT8, TEXT, TIMESTAMPTZ, JSONB = 23, 20, 701, 25, 1184, 3802
INT4_ARRAY, INT8_ARRAY, FLOAT8_ARRAY, TEXT_ARRAY, TIMESTAMPTZ_ARRAY = 1007, 1016, 1022, 1009, 1185


_HEADER = struct.Struct(">iiiii")
_LENGTH = struct.Struct(">i")


class _Array(bytes):
    """An array parameter that is already in PostgreSQL's binary form."""


class Int4Array(_Array):
    pass


class Int8Array(_Array):
    pass


class Float8Array(_Array):
    pass


class TextArray(_Array):
    pass


class TimestampArray(_Array):
    pass


class Timestamp(bytes):
    """One timestamptz parameter in binary form."""


def timestamp(time: int) -> Timestamp:
    """Timestamptz from microseconds since 1970, exactly."""
    return Timestamp(struct.pack(">q", time - EPOCH_2000))


def int4_array(ids: Ids) -> Int4Array:
    """int4[] from ids."""
    return Int4Array(_fixed(ids, INT4, ">i4"))


def int8_array(numbers: Any) -> Int8Array:
    """int8[] from integers."""
    return Int8Array(_fixed(np.asarray(numbers, np.int64), INT8, ">i8"))


def timestamp_array(times: Times) -> TimestampArray:
    """timestamptz[] from microseconds since 1970."""
    return TimestampArray(_fixed(times - EPOCH_2000, TIMESTAMPTZ, ">i8"))


def float8_array(values: Values) -> Float8Array:
    """float8[] from numbers; NaN becomes NULL."""
    missing = np.isnan(values)
    if not missing.any():
        return Float8Array(_fixed(values, FLOAT8, ">f8"))
    parts = [_HEADER.pack(1, 1, FLOAT8, len(values), 1)]
    null = _LENGTH.pack(-1)
    parts += [null if value != value else struct.pack(">id", 8, value) for value in values.tolist()]
    return Float8Array(b"".join(parts))


def text_array(texts: list[str | None]) -> TextArray:
    """text[] from strings; None becomes NULL."""
    if not texts:
        return TextArray(struct.pack(">iii", 0, 0, TEXT))
    parts = [_HEADER.pack(1, 1, TEXT, len(texts), 1)]
    for text in texts:
        if text is None:
            parts.append(_LENGTH.pack(-1))
        else:
            data = text.encode()
            parts += (_LENGTH.pack(len(data)), data)
    return TextArray(b"".join(parts))


def _fixed(values: NDArray[Any], oid: int, kind: str) -> bytes:
    count = len(values)
    if not count:
        return struct.pack(">iii", 0, 0, oid)
    width = np.dtype(kind).itemsize
    body = np.empty(count, [("length", ">i4"), ("value", kind)])
    body["length"] = width
    body["value"] = values
    return _HEADER.pack(1, 0, oid, count, 1) + body.tobytes()


def _dumper(of: int) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = of

        def dump(self, obj: Any) -> Buffer:
            return bytes(obj)

    return ArrayDumper


def _loader(kind: str, missing: float) -> type[Loader]:
    width = np.dtype(kind).itemsize
    network, native = np.dtype(kind), np.dtype(kind[1:])

    class ArrayLoader(Loader):
        format = Format.BINARY

        def load(self, data: Buffer) -> Any:
            if len(data) <= 12:
                return np.empty(0, native)
            _, nulls, _, size, _ = _HEADER.unpack_from(data)
            if not nulls:
                # A view of every element behind its length, in one step.
                return np.ndarray(size, network, data, 24, (width + 4,)).astype(native)
            values = np.full(size, missing, kind[1:])
            place = 20
            for index in range(size):
                (length,) = _LENGTH.unpack_from(data, place)
                place += 4
                if length >= 0:
                    values[index] = np.frombuffer(data, kind, 1, place)[0]
                    place += length
            return values

    return ArrayLoader


class _TimestampArrayLoader(_loader(">i8", 0)):  # type: ignore[misc]
    """timestamptz[] as microseconds since 1970."""

    def load(self, data: Buffer) -> Any:
        return super().load(data) + EPOCH_2000


class _TimestampLoader(Loader):
    """timestamptz as microseconds since 1970."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int.from_bytes(data, "big", signed=True) + EPOCH_2000


_DUMPERS = {
    Int4Array: _dumper(INT4_ARRAY),
    Int8Array: _dumper(INT8_ARRAY),
    Float8Array: _dumper(FLOAT8_ARRAY),
    TextArray: _dumper(TEXT_ARRAY),
    TimestampArray: _dumper(TIMESTAMPTZ_ARRAY),
    Timestamp: _dumper(TIMESTAMPTZ),
}
_LOADERS = {
    INT4_ARRAY: _loader(">i4", 0),
    INT8_ARRAY: _loader(">i8", 0),
    FLOAT8_ARRAY: _loader(">f8", float("nan")),
    TIMESTAMPTZ_ARRAY: _TimestampArrayLoader,
    TIMESTAMPTZ: _TimestampLoader,
}


def adapt(target: Connection[Any] | Cursor[Any]) -> None:
    """Teach a connection or cursor the arrays above, and times as microseconds since 1970 (binary results only)."""
    for kind, dumper in _DUMPERS.items():
        target.adapters.register_dumper(kind, dumper)
    for oid, loader in _LOADERS.items():
        target.adapters.register_loader(oid, loader)
