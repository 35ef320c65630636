"""Fields for names: one Unicode form, one line, something to see."""

from __future__ import annotations

from typing import Any

from django import forms
from rest_framework import serializers

from fleet.lib.ids import clean_name

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
