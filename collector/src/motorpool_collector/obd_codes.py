"""What OBD answers mean, as pure functions: trouble codes, VIN, formulas. Services as in SAE J1979 and ISO 15031-5."""

from __future__ import annotations

import ast
import operator
import re
from typing import Any, Callable, Dict, List

from motorpool_collector.driver import CollectorError

SYSTEMS = "PCBU"
LONGEST_FORMULA = 200
_OPERATORS: Dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def trouble_codes(data: bytes) -> List[str]:
    """The codes of an answer to mode 03, 07 or 0A, without its first byte (43, 47 or 4A).

    On CAN a count stands before the two-byte codes, on older buses it does not: an odd length tells. 0000 is padding.
    """
    pairs = data[1:] if len(data) % 2 else data
    codes = [code_name(pairs[i], pairs[i + 1]) for i in range(0, len(pairs) - 1, 2) if pairs[i] or pairs[i + 1]]
    return list(dict.fromkeys(codes))


def code_name(high: int, low: int) -> str:
    """A code's letter and four digits, from its two bytes (ISO 15031-6, 5.2)."""
    return f"{SYSTEMS[high >> 6]}{high >> 4 & 3}{high & 15:X}{low:02X}"


def vin_of(data: bytes) -> str:
    """The VIN of an answer to mode 09 PID 02, from its bytes after 49 02: a count on CAN, padding zeros in front."""
    match = re.search(rb"[A-HJ-NPR-Z0-9]{17}$", data.rstrip(b"\x00\xaa\x55"))
    return match.group().decode() if match else ""


def formula_value(formula: str, data: bytes) -> float:
    """A formula over an answer's data bytes, named A, B, C …; + - * / // % & | << >> and brackets.

    Raises:
        CollectorError: it is not such a formula, names a byte that is not there, or divides by zero.
    """
    if len(formula) > LONGEST_FORMULA:
        raise CollectorError(f"A formula has at most {LONGEST_FORMULA} characters.")
    names = {chr(65 + i): byte for i, byte in enumerate(data[:26])}
    try:
        return float(_value(ast.parse(formula.strip().upper(), mode="eval").body, names))
    except CollectorError:
        raise
    except (SyntaxError, ValueError, TypeError, ZeroDivisionError, OverflowError, RecursionError, MemoryError) as error:
        raise CollectorError(f"The formula {formula!r} cannot be computed: {error}") from None


def _value(node: ast.AST, names: Dict[str, int]) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise CollectorError(f"The answer has no byte {node.id}: it has {len(names)}.")
        return names[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(node.op, (ast.LShift, ast.RShift)) and not 0 <= right <= 64:
            raise CollectorError("A shift is by 0 to 64.")
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, names))
    raise CollectorError("A formula has numbers, A to Z for the data bytes, + - * / // % & | << >> and brackets.")


def request_of(pid: Any) -> bytes:
    """A query as two to eight hex bytes, such as 010C; raises `CollectorError` for services that change the car."""
    words = str(pid).replace(" ", "").upper()
    if not re.fullmatch(r"([0-9A-F]{2}){2,8}", words):
        raise CollectorError(f"{str(pid)[:40]!r} is no query: write two to eight hex bytes, such as 010C or 221E1C.")
    if words[:2] not in ("01", "02", "05", "06", "09", "22", "21", "1A"):
        raise CollectorError(f"Mode {words[:2]} is not read-only: modes 01, 02, 05, 06, 09, 1A, 21 and 22 are allowed.")
    return words.encode()
