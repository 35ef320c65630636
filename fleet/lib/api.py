"""What every API view shares: strict parsing, fast rendering, one error body, paging, conversion of times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from fleet.lib import strict_json
from fleet.lib.errors import MotorpoolError

_encoder = msgspec.json.Encoder()


NO_STORE = {"Cache-Control": "no-store"}
"""For answers that show a secret."""


class NotFound(exceptions.NotFound):
    """404, also for whatever belongs to another organization."""

    default_detail = "There is no such thing here."


class StrictJSONParser(BaseParser):
    """JSON bodies through `strict_json`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The decoded body; raises `NotStrictJSON`."""
        return strict_json.loads(stream.read())


class FastJSONRenderer(BaseRenderer):
    """JSON through msgspec: about ten times as fast as the standard encoder on long lists of numbers."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """``data`` as UTF-8 JSON; dates in RFC 3339 with ``Z``."""
        return b"" if data is None else _encoder.encode(data)


class BoundedPages:
    """``?page_size=`` is a positive integer, at most `max_page_size`."""

    page_size_query_param: Any = "page_size"
    page_size: Any = 100
    max_page_size: Any = 500

    def get_page_size(self, request: Any) -> int:
        """What the client asks for, or the default."""
        asked = request.query_params.getlist("page_size")[-1:]
        if not asked:
            return int(self.page_size)
        if not (asked[0].isascii() and asked[0].isdecimal() and len(asked[0]) <= 9 and int(asked[0]) > 0):
            raise exceptions.ValidationError({"page_size": ["Give a positive whole number."]})
        return min(int(asked[0]), int(self.max_page_size))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The query parameters, with their bounds."""
        listed: list[dict[str, Any]] = super().get_schema_operation_parameters(view)  # type: ignore[misc]
        for parameter in listed:
            if parameter["schema"].get("type") == "integer":
                parameter["schema"]["minimum"] = 1
        return listed


class PageNumbers(BoundedPages, PageNumberPagination):
    """``?page=`` and ``?page_size=`` (100, at most 500)."""

    def get_page_number(self, request: Any, paginator: Any) -> Any:
        """The page that the client asks for; an empty text is none."""
        if request.query_params.get(self.page_query_param) == "":
            raise NotFound("Invalid page.")
        return super().get_page_number(request, paginator)


class NewestFirst(BoundedPages, CursorPagination):
    """Rows by descending id, behind a cursor."""

    ordering = "-id"

    def decode_cursor(self, request: Any) -> Any:
        """The cursor, where its position is an id; 404 like any other cursor that is none."""
        cursor = super().decode_cursor(request)
        position: Any = cursor.position if cursor else None
        if position is not None and not (position.isascii() and position.isdecimal() and len(position) < 19):
            raise NotFound("Invalid cursor")
        return cursor


class Unavailable(exceptions.APIException):
    """503 with ``Retry-After``."""

    status_code = 503
    default_detail = "The database does not answer; try again shortly."
    default_code = "unavailable"
    wait: ClassVar[int] = 2


def error_response(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Every refusal as ``{"detail", "code", "errors"?}``."""
    match error:
        case MotorpoolError():
            return Response({"detail": error.detail, "code": error.code}, status=error.status)
        case Http404():
            error = NotFound()
        case PermissionDenied():
            error = exceptions.PermissionDenied()
        case OperationalError() | InterfaceError():
            error = Unavailable()
    if not isinstance(error, exceptions.APIException):
        return None
    body: dict[str, Any]
    if isinstance(error, exceptions.ValidationError):
        errors = error.detail if isinstance(error.detail, dict) else {"body": error.detail}
        body = {"detail": _first_words(errors), "code": "invalid", "errors": _as_lists(errors)}
    else:
        detail: Any = error.detail
        code = error.get_codes()
        body = {"detail": str(detail), "code": code if isinstance(code, str) else "error"}
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(int(error.wait) or 1)  # type: ignore[attr-defined]
    return Response(body, status=error.status_code, headers=headers)


def choice_of(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    """The value of a query parameter that takes certain words, empty where it is missing.

    Raises:
        ValidationError: it is another word.
    """
    value = query.get(name, "")
    if value and value not in allowed:
        raise exceptions.ValidationError({name: [f"Give one of {', '.join(allowed)}."]})
    return value


NO_TIME = "Give a time such as 2026-01-31T08:00:00Z, or seconds since 1970."


def time_of(words: str | int | float) -> datetime:
    """A time from RFC 3339 or epoch seconds; raises ValueError with words for people."""
    try:
        try:
            return datetime.fromtimestamp(float(words), UTC)
        except ValueError:
            value = datetime.fromisoformat(str(words).replace(" ", "+"))
            value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
            return value.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(NO_TIME) from None


def parse_time(words: str | int | float, name: str) -> datetime:
    """The same of a query parameter; raises `ValidationError` with its name."""
    try:
        return time_of(words)
    except ValueError as error:
        raise exceptions.ValidationError({name: [str(error)]}) from None


def rfc3339(time: datetime | None) -> str | None:
    """A time as the API writes it."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_of(time_us: int) -> datetime:
    """A time from microseconds since 1970, exactly."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC) + timedelta(microseconds=time_us % 1_000_000)


def written(time_us: int) -> str:
    """The same as the API writes it."""
    return rfc3339(moment_of(time_us)) or ""


def _as_lists(errors: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: list(_flat(value)) for name, value in errors.items()}


def _flat(value: Any) -> Iterator[str]:
    """Words of nested errors, whatever lists and mappings they lie in."""
    if isinstance(value, Mapping):
        for place, part in value.items():
            yield from (f"{place}: {words}" for words in _flat(part))
    elif isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield str(value)


def _first_words(errors: Mapping[str, Any]) -> str:
    for name, words in _as_lists(errors).items():
        if words:
            return words[0] if name in ("body", "non_field_errors") else f"{name}: {words[0]}"
    return "The request is not valid."
