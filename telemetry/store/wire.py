"""PostgreSQL's binary formats for arrays and for COPY, straight from and to numpy.

Formats: PostgreSQL source, ``src/backend/utils/adt/arrayfuncs.c`` (array_send) and the manual's "Binary Format"
of COPY. All integers are big-endian; times are microseconds since 2000.
"""

from __future__ import annotations

import functools
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

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
FRAME_COLUMNS = 'organization_id, vehicle_id, time, source_id, signal_set_id, "values", texts'

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


def frame_rows(
    organization_id: int,
    vehicle_id: int,
    source_id: int,
    signal_set_id: int,
    times: Times,
    values: Values,
    texts: list[bytes | None] | None,
) -> bytes:
    """COPY rows of `FRAME_COLUMNS` for frames of one signal set.

    Args:
        times: n, microseconds since 1970.
        values: n x k; NaN becomes a NULL element.
        texts: n JSON objects, or None for none at all.
    """
    missing = np.isnan(values)
    if not missing.any():
        masks = [(slice(None), None)]
    else:
        # Rows with the same missing elements have the same width, so each such group is one array operation.
        packed = np.packbits(missing, axis=1)
        _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        inverse = inverse.ravel()
        masks = [(np.flatnonzero(inverse == group), missing[index]) for group, index in enumerate(first)]  # type: ignore[misc]
    parts = []
    for rows, mask in masks:
        chosen = None if texts is None else ([texts[i] for i in rows] if mask is not None else texts)
        parts.append(
            _rows_of_one_mask(
                organization_id, vehicle_id, source_id, signal_set_id, times[rows], values[rows], mask, chosen
            )
        )
    return b"".join(parts)


@functools.lru_cache(1_000)
def _row_layout(width: int, packed_mask: bytes | None, without_texts: bool) -> tuple[np.dtype[Any], int]:
    """The layout of a COPY row, and the bytes of its array; making one costs more than filling a row."""
    mask = None if packed_mask is None else np.frombuffer(packed_mask, bool)
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in (("organization", ">i4"), ("vehicle", ">i4"), ("time", ">i8"), ("source", ">i4"), ("set", ">i4")):
        fields += [(f"{name}_length", ">i4"), (name, kind)]
    given = width if mask is None else width - int(mask.sum())
    array_bytes = 12 if width == 0 else 20 + 4 * width + 8 * given
    fields += [("array_length", ">i4"), ("dimensions", ">i4"), ("nulls", ">i4"), ("element", ">i4")]
    if width:
        fields += [("size", ">i4"), ("lower", ">i4")]
        if mask is None:
            fields.append(("elements", [("length", ">i4"), ("value", ">f8")], (width,)))  # type: ignore[arg-type]
        else:
            for index in range(width):
                fields.append((f"l{index}", ">i4"))
                if not mask[index]:
                    fields.append((f"v{index}", ">f8"))
    if without_texts:
        fields.append(("texts_length", ">i4"))
    return np.dtype(fields), array_bytes


def _rows_of_one_mask(
    organization_id: int,
    vehicle_id: int,
    source_id: int,
    signal_set_id: int,
    times: Times,
    values: Values,
    mask: NDArray[np.bool_] | None,
    texts: list[bytes | None] | None,
) -> bytes:
    width = values.shape[1]
    layout, array_bytes = _row_layout(width, None if mask is None else mask.tobytes(), texts is None)
    rows = np.empty(len(times), layout)
    rows["fields"] = 7
    for name, value, size in (
        ("organization", organization_id, 4), ("vehicle", vehicle_id, 4), ("time", times - EPOCH_2000, 8),
        ("source", source_id, 4), ("set", signal_set_id, 4),
    ):  # fmt: skip
        rows[f"{name}_length"] = size
        rows[name] = value
    rows["array_length"] = array_bytes
    rows["dimensions"] = 1 if width else 0
    rows["nulls"] = 0 if mask is None else 1
    rows["element"] = FLOAT8
    if width:
        rows["size"] = width
        rows["lower"] = 1
        if mask is None:
            rows["elements"]["length"] = 8
            rows["elements"]["value"] = values
        else:
            for index in range(width):
                rows[f"l{index}"] = -1 if mask[index] else 8
                if not mask[index]:
                    rows[f"v{index}"] = values[:, index]
    if texts is None:
        rows["texts_length"] = -1
        return rows.tobytes()
    size = rows.dtype.itemsize
    data = rows.tobytes()
    parts = []
    for index, text in enumerate(texts):
        parts.append(data[index * size : (index + 1) * size])
        # jsonb's binary form is a version byte, 1, and the text.
        parts.append(_LENGTH.pack(-1) if text is None else _LENGTH.pack(len(text) + 1) + b"\x01" + text)
    return b"".join(parts)
