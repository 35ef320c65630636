"""Frames as rows of PostgreSQL's binary COPY (the manual's "Binary Format" of COPY), whole blocks at a time."""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry.readings import Times, Values
from telemetry.store import wire

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
FRAME_COLUMNS = 'organization_id, vehicle_id, time, source_id, signal_set_id, "values", texts'
LENGTH = struct.Struct(">i")


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
        ("organization", organization_id, 4), ("vehicle", vehicle_id, 4), ("time", times - wire.EPOCH_2000, 8),
        ("source", source_id, 4), ("set", signal_set_id, 4),
    ):  # fmt: skip
        rows[f"{name}_length"] = size
        rows[name] = value
    rows["array_length"] = array_bytes
    rows["dimensions"] = 1 if width else 0
    rows["nulls"] = 0 if mask is None else 1
    rows["element"] = wire.FLOAT8
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
        parts.append(LENGTH.pack(-1) if text is None else LENGTH.pack(len(text) + 1) + b"\x01" + text)
    return b"".join(parts)
