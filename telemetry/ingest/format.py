"""The native ingest format: from bytes to typed parts. See docs/api.md, "Sending telemetry".

Three decoders, each tried where the one before gave up: numbers only (the usual body, and the fastest), numbers
with texts and booleans, and last the slow strict one, which finds the words for what is wrong.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from fleet.lib import strict_json
from fleet.lib.errors import MotorpoolError

MOST_FRAMES = 10_000
MOST_SIGNALS = 1_024
MOST_SETS = 500
"""Different sets of signals in one request: each is kept."""
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.ASCII)


class BadFormat(MotorpoolError):
    """Strict JSON, but not the ingest format (422)."""

    status = 422
    code = "invalid_format"


class TooLarge(MotorpoolError):
    """Over one of the limits (413)."""

    status = 413
    code = "too_large"


class Block(msgspec.Struct, forbid_unknown_fields=True):
    """Frames of one vehicle and source: each a time and one value per signal."""

    signals: list[str]
    frames: list[list[Any]]
    vehicle: str | int | None = None
    source: str = "api"
    session: str | int | float | None = None


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One instant, its values by name."""

    time: Any
    values: dict[str, Any]
    vehicle: str | int | None = None
    source: str = "api"
    session: str | int | float | None = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A whole request."""

    blocks: list[Block] = []
    rows: list[Row] = []
    boot: str | None = None
    seq: int | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    numeric: bool = False
    """Set by the decoder: every cell is a number or null."""
    ignored: list[str] = []
    """Set by the decoder: members of the body that have no meaning here."""


class _NumericBlock(Block, forbid_unknown_fields=True):
    frames: list[list[float | None]]


class _NumericRow(Row, forbid_unknown_fields=True):
    time: float
    values: dict[str, float | None]


class _NumericBody(Body, forbid_unknown_fields=True):
    blocks: list[_NumericBlock] = []  # type: ignore[assignment]
    rows: list[_NumericRow] = []  # type: ignore[assignment]


class _MixedBlock(Block, forbid_unknown_fields=True):
    frames: list[list[float | bool | str | None]]


class _MixedRow(Row, forbid_unknown_fields=True):
    time: float | str
    values: dict[str, float | bool | str | None]


class _MixedBody(Body, forbid_unknown_fields=True):
    blocks: list[_MixedBlock] = []  # type: ignore[assignment]
    rows: list[_MixedRow] = []  # type: ignore[assignment]


_numeric = msgspec.json.Decoder(_NumericBody)
_mixed = msgspec.json.Decoder(_MixedBody)


def parse(body: bytes | bytearray) -> Body:
    """The body's parts.

    Raises:
        NotStrictJSON: 400, with the reason.
        BadFormat: 422, naming the place.
        TooLarge: 413, more frames or signals than one request may hold.
    """
    parsed: Body | None = None
    if b"\\u0000" not in body or not _NUL.search(body):
        try:
            parsed = _numeric.decode(body)
            parsed.numeric = True
        except (msgspec.DecodeError, ValueError, RecursionError):
            try:
                parsed = _mixed.decode(body)
                parsed.numeric = False
            except (msgspec.DecodeError, ValueError, RecursionError):
                parsed = None
    if parsed is None or parsed.ignored or not (parsed.blocks or parsed.rows):
        parsed = _parse_slowly(bytes(body))
    _check(parsed)
    return parsed


_KNOWN = {
    "body": set(Body.__struct_fields__) - {"numeric", "ignored"},
    "blocks": set(Block.__struct_fields__),
    "rows": set(Row.__struct_fields__),
}


def _parse_slowly(body: bytes) -> Body:
    """Anything odd: unknown members are ignored, wrong types become words."""
    value = strict_json.loads(body)
    if not isinstance(value, dict):
        raise BadFormat('The body must be an object such as {"blocks": [...]} or {"rows": [...]}.')
    ignored = sorted(value.keys() - _KNOWN["body"])
    if "blocks" not in value and "rows" not in value:
        unknown = (
            f" It has {', '.join(repr(name[:40]) for name in ignored[:5])}, which has no meaning here."
            if ignored
            else ""
        )
        raise BadFormat(f"The body has neither blocks nor rows, so there is nothing to store.{unknown}")
    known = {name: part for name, part in value.items() if name in _KNOWN["body"]}
    for name in ("blocks", "rows"):
        if isinstance(known.get(name), list):
            known[name] = [
                {k: v for k, v in part.items() if k in _KNOWN[name]} if isinstance(part, dict) else part
                for part in known[name]
            ]
    try:
        found = msgspec.convert(known, Body)
        found.ignored = [name[:40] for name in ignored[:20]]
        return found
    except msgspec.ValidationError as error:
        raise BadFormat(f"{error}.") from None


def _check(body: Body) -> None:
    frames = len(body.rows)
    if body.boot is not None and not 1 <= len(body.boot) <= 64:
        raise BadFormat("boot must have 1 to 64 characters - at `$.boot`.")
    if body.seq is not None and not 0 <= body.seq < 2**63:
        raise BadFormat("seq must be an integer from 0 on - at `$.seq`.")
    for index, block in enumerate(body.blocks):
        frames += len(block.frames)
        if len(block.signals) > MOST_SIGNALS:
            raise TooLarge(f"A block may name {MOST_SIGNALS} signals; block {index} names {len(block.signals)}.")
        if len(set(block.signals)) != len(block.signals):
            raise BadFormat(f"A signal is named twice - at `$.blocks[{index}].signals`.")
        _check_source(block.source, f"$.blocks[{index}]")
    for index, row in enumerate(body.rows):
        if len(row.values) > MOST_SIGNALS:
            raise TooLarge(f"A row may name {MOST_SIGNALS} signals; row {index} names {len(row.values)}.")
        _check_source(row.source, f"$.rows[{index}]")
    sets = len({tuple(block.signals) for block in body.blocks} | {tuple(row.values) for row in body.rows})
    if sets > MOST_SETS:
        raise TooLarge(
            f"A request may hold {MOST_SETS} different sets of signals; this one holds {sets}. Send null for what a "
            "frame does not have."
        )
    if frames > MOST_FRAMES:
        raise TooLarge(f"A request may hold {MOST_FRAMES} frames; this one holds {frames}. Send several.")


def _check_source(source: str, place: str) -> None:
    if source != "api" and not _SOURCE.fullmatch(source):
        raise BadFormat(f"source must be 1 to 64 letters, digits or _ . : - - at `{place}.source`.")
