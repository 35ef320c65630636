"""Pages of version 3 lists: ``page[number]``, ``page[size]``, and links around them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.smartcar_stub.messages import Call, Trouble

MOST = 100


def page(call: Call, url: str, items: list[dict[str, Any]], size: int, defaults: dict[str, str]) -> dict[str, Any]:
    """One page of the items; ``size`` and ``defaults`` are for what the caller leaves out."""
    number, size = _number(call, "page[number]", 1), _number(call, "page[size]", size)
    if size > MOST:
        raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", f"page[size] is more than {MOST}.")
    last = max(1, -(-len(items) // size))
    kept = {**defaults, **{name: value for name, value in call.query.items() if name.startswith("filter[")}}

    def link(to: int) -> str | None:
        if not 1 <= to <= last:
            return None
        return f"{url}?{urlencode({'page[number]': to, 'page[size]': size, **kept})}"

    return {
        "data": items[(number - 1) * size : number * size],
        "meta": {
            "pageNumber": number,
            "pageSize": size,
            "totalCount": len(items),
            "orderBy": "createdAt",
            "orderDirection": "DESC",
        },
        "links": {
            "self": link(number),
            "first": link(1),
            "last": link(last),
            "next": link(number + 1),
            "prev": link(number - 1),
        },
    }


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not int(text[:9]) >= 1:
        raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", f"{name} is not a whole number from 1.")
    return int(text[:9])
