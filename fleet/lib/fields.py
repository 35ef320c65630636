"""Fields for names (one Unicode form, one line, something to see) and for public ids; serializers that mean types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django import forms
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fleet.lib.api import NO_TIME, rfc3339, time_of
from fleet.lib.ids import clean_name
from fleet.lib.public_ids import Kind, number_of, public_id

BREAKS = "A name is one line: take the line breaks out."
NOTHING = "A name needs a visible character."


def _problem(text: str) -> str:
    if any(c in text.strip() for c in "\r\n\x00\u2028\u2029"):
        return BREAKS
    return NOTHING if text.strip() and not clean_name(text) else ""


class NameField(forms.CharField):
    """A form's field for a name."""

    def to_python(self, value: Any) -> str:
        """The name as it is stored."""
        text = str(super().to_python(value) or "")
        problem = _problem(text)
        if problem:
            raise forms.ValidationError(problem)
        return clean_name(text)


class Name(serializers.CharField):
    """The API's field for a name."""

    def to_internal_value(self, data: Any) -> str:
        """The name as it is stored."""
        text = super().to_internal_value(data)
        if self.max_length is not None and len(text) > int(self.max_length):
            self.fail("max_length", max_length=self.max_length)
        problem = _problem(text)
        if problem:
            raise serializers.ValidationError(problem)
        return clean_name(text)


@extend_schema_field(OpenApiTypes.STR)
class PublicId(serializers.Field[Any, Any, Any, Any]):
    """The API's field for a row of some kind: a public id outside, its number inside.

    In a `ModelSerializer` the row's own id is ``PublicId(Kind.RULE, source="pk", read_only=True)``, another row's
    ``PublicId(Kind.VEHICLE, source="vehicle_id", read_only=True)``.
    """

    def __init__(self, kind: Kind, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._kind = kind

    def to_internal_value(self, data: Any) -> int:
        """The number, 0 where the text names no row."""
        if not isinstance(data, str):
            raise serializers.ValidationError(f"An ID is a text such as {self._kind}_….")
        return number_of(self._kind, data)

    def to_representation(self, value: int) -> str | None:
        """The public id; None for 0, which stands for no row."""
        return public_id(self._kind, value) if value else None


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "number"}]})
class Moment(serializers.Field[Any, Any, Any, Any]):
    """A time: RFC 3339, or seconds since 1970."""

    def to_internal_value(self, data: Any) -> datetime:
        """The time; raises `ValidationError`."""
        if not _is_plain(data, (str, int, float)):
            raise serializers.ValidationError(NO_TIME)
        try:
            return time_of(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: datetime) -> str | None:
        """RFC 3339."""
        return rfc3339(value)


def own_id(kind: Kind) -> PublicId:
    """The field of a row's own id."""
    return PublicId(kind, source="pk", read_only=True)


class StrictSerializer(serializers.Serializer[Any]):
    """Takes JSON's types as they are: no number for a text, no text for a number or a boolean."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values; raises `ValidationError`."""
        if isinstance(data, Mapping):
            wrong = {name: [_TYPE_WORDS[kind]] for name, kind in _wrong_types(self.fields, data)}
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


_TYPES: dict[type, tuple[type, ...]] = {
    serializers.CharField: (str,), serializers.BooleanField: (bool,), serializers.IntegerField: (int,),
    serializers.FloatField: (int, float),
}  # fmt: skip
_TYPE_WORDS = {
    serializers.CharField: "Give a text.", serializers.BooleanField: "Give true or false.",
    serializers.IntegerField: "Give a whole number.", serializers.FloatField: "Give a number.",
}  # fmt: skip


def _wrong_types(fields: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[tuple[str, type]]:
    for name, field in fields.items():
        value = data.get(name)
        values, child = _parts(field, value)
        kind = next((kind for kind in _TYPES if isinstance(child, kind)), None)
        if kind is None or not isinstance(values, list):
            continue
        for each in values:
            is_right = isinstance(each, bool) if kind is serializers.BooleanField else _is_plain(each, _TYPES[kind])
            if each is not None and not is_right:
                yield name, kind


def _parts(field: Any, value: Any) -> tuple[Any, Any]:
    """The values of a field that are looked at, and the field of each."""
    if isinstance(field, serializers.DictField) and isinstance(value, dict):
        return list(value.values()), field.child
    return (value, field.child) if isinstance(field, serializers.ListField) else ([value], field)


def _is_plain(value: Any, types: tuple[type, ...]) -> bool:
    """Whether a value has one of the types; a boolean is no number here."""
    return isinstance(value, types) and not isinstance(value, bool)
