"""JSON as RFC 8259 has it and PostgreSQL can keep it: no NaN, no infinity, no NUL, no lone surrogate, bounded depth.

Python's own decoder accepts all of these and fails with RecursionError on deep nesting, which would be a 500.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from fleet.lib.errors import MotorpoolError

DEEPEST = 16
LONGEST_INTEGER = 20
_ESCAPES = re.compile(rb"\\.", re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotStrictJSON(MotorpoolError):
    """The body is not strict JSON (400)."""

    status = 400
    code = "invalid_json"


def check(body: bytes) -> str:
    """The body as text, after the checks that no decoder makes for us: UTF-8, NUL, depth.

    Raises:
        NotStrictJSON: with the reason in words.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotStrictJSON(f"The body is not UTF-8 (byte {error.start}).") from None
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise NotStrictJSON("The body holds a NUL character, which cannot be stored.")
    if _depth(body) > DEEPEST:
        raise NotStrictJSON(f"The body is nested more than {DEEPEST} levels deep.")
    return text


def _depth(body: bytes) -> int:
    """How deep the body nests, in time linear in its length: brackets outside of strings, counted."""
    outside = b"".join(_ESCAPES.sub(b"", body).split(b'"')[::2])
    depth = deepest = 0
    for bracket in outside.translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def loads(body: bytes) -> Any:
    """Decode strict JSON; duplicate names in an object are refused too.

    Raises:
        NotStrictJSON: with the reason in words.
    """
    text = check(body)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short_integer,
            object_pairs_hook=_without_duplicates,
        )
    except NotStrictJSON:
        raise
    except (ValueError, RecursionError) as error:
        raise NotStrictJSON(f"The body is not JSON: {error}") from None
    if "\\u" in text and _has_lone_surrogate(value):
        raise NotStrictJSON("The body holds half of a surrogate pair, which is no character.")
    return value


def _refuse_constant(word: str) -> NoReturn:
    raise NotStrictJSON(f"{word} is not JSON: leave the reading out, or send null.")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise NotStrictJSON(f"{word[:20]} is too large for a number.")
    return value


def _short_integer(word: str) -> int:
    if len(word) > LONGEST_INTEGER:
        raise NotStrictJSON(f"An integer of {len(word)} digits is too long.")
    return int(word)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotStrictJSON("An object names the same key twice.")
    return value


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_SURROGATE.search(value))
    if isinstance(value, dict):
        return any(_has_lone_surrogate(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_lone_surrogate(part) for part in value)
    return False
