"""Formulas over the data bytes of an answer, as the apps that people copy them from write them."""

from __future__ import annotations

import ast
import math
import operator
import re
from typing import Any, Callable, Dict, List

from motorpool_collector.driver import CollectorError

LONGEST = 200
MOST_NAMES = 26 + 26 * 26
LARGEST = 2.0**128
_OPERATORS: Dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.USub: operator.neg, ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}  # fmt: skip
WORDS = (
    "A formula has numbers, A to ZZ for the data bytes, + - * / // % & | << >> ^ (power), brackets, {A:3} for a bit, "
    "and the functions SIGNED, INT8 to INT32, BIT, ABS, MIN, MAX, ROUND, SQRT, LOG, LOG10, EXP and POW."
)


def formula_value(formula: str, data: bytes) -> float:
    """What a formula gives for an answer's data bytes, named A to Z, AA, AB and so on.

    ``SIGNED(A)`` is two's complement over as many bytes as the argument names, ``INT16(A:B)`` or ``INT16(A, B)`` over
    two; ``{A:3}`` and ``BIT(A, 3)`` are a bit, the lowest being 0; ``^`` and ``**`` are powers.

    Raises:
        CollectorError: it is not such a formula, names a byte that is not there, or has no finite value.
    """
    if len(formula) > LONGEST:
        raise CollectorError(f"A formula has at most {LONGEST} characters.")
    names = {_column(i): byte for i, byte in enumerate(data[:MOST_NAMES])}
    text = re.sub(r"\{\s*([A-Z]{1,2})\s*:\s*([0-7])\s*\}", r"BIT(\1,\2)", formula.strip().upper())
    text = re.sub(r"(?<=[A-Z])\s*:\s*(?=[A-Z])", ",", text).replace("^", "**")
    try:
        value = float(_value(ast.parse(text, mode="eval").body, names))
    except CollectorError:
        raise
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise CollectorError(f"The formula {formula!r} cannot be computed: {error}") from None
    if not math.isfinite(value):
        raise CollectorError(f"The formula {formula!r} has no finite value.")
    return value


def _column(index: int) -> str:
    """0 is A, 25 is Z, 26 is AA, 27 is AB."""
    return (chr(64 + index // 26) if index >= 26 else "") + chr(65 + index % 26)


def _value(node: ast.AST, names: Dict[str, int]) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise CollectorError(f"The answer has no byte {node.id}: it has {len(names)}.")
        return names[node.id]
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _OPERATORS:
            if isinstance(node.op, (ast.LShift, ast.RShift)) and not 0 <= right <= 64:
                raise CollectorError("A shift is by 0 to 64.")
            return _bounded(_OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, node.args, names)
    raise CollectorError(WORDS)


def _call(name: str, arguments: List[ast.expr], names: Dict[str, int]) -> Any:
    values = [_value(argument, names) for argument in arguments]
    if name == "SIGNED" and len(values) == 1:
        # As wide as the bytes that it is made of.
        used = {n.id for n in ast.walk(arguments[0]) if isinstance(n, ast.Name) and n.id in names}
        return _signed(int(values[0]), 8 * max(1, len(used)))
    if name == "SIGNED" and len(values) == 2:
        return _signed(int(values[0]), int(values[1]))
    if name in ("INT8", "INT16", "INT24", "INT32") and len(values) * 8 == int(name[3:]):
        return _signed(int.from_bytes(bytes(int(value) for value in values), "big"), int(name[3:]))
    if name == "BIT" and len(values) == 2 and 0 <= values[1] < 64:
        return int(values[0]) >> int(values[1]) & 1
    if name in ("POW", "POWER") and len(values) == 2:
        return _power(*values)
    functions: Dict[str, Callable[..., Any]] = {
        "ABS": abs, "MIN": min, "MAX": max, "ROUND": _round, "INT": int, "SQRT": math.sqrt, "LOG": math.log,
        "LOG10": math.log10, "EXP": math.exp,
    }  # fmt: skip
    if name not in functions or not values:
        raise CollectorError(WORDS)
    try:
        return functions[name](*values)
    except TypeError:
        raise CollectorError(f"{name} does not take {len(values)} values.") from None


def _round(value: Any, digits: Any = 0) -> Any:
    if not -15 <= digits <= 15:
        raise CollectorError("ROUND takes -15 to 15 digits.")
    return round(value, int(digits)) if digits else round(value)


def _signed(value: int, bits: int) -> int:
    if not 1 <= bits <= 64:
        raise CollectorError("SIGNED takes 1 to 64 bits.")
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _power(base: Any, exponent: Any) -> float:
    return float(_bounded(math.pow(base, exponent)))


def _bounded(value: Any) -> Any:
    if abs(value) > LARGEST:
        raise CollectorError("The formula's value is too large.")
    return value
