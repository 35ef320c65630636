"""Fields for names (one Unicode form, one line, something to see) and for public ids."""

from __future__ import annotations

from typing import Any

from django import forms
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

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


def own_id(kind: Kind) -> PublicId:
    """The field of a row's own id."""
    return PublicId(kind, source="pk", read_only=True)
