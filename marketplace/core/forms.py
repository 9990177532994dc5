"""What every page's form needs: the API's words next to the field that they are about."""

from __future__ import annotations

from typing import Any

from django import forms

from marketplace.core.errors import AppError


def show_fault(form: forms.BaseForm, error: AppError, **renamed: str) -> None:
    """Put ``error``'s sentences next to their fields, what has no field here above the form.

    ``renamed`` maps names of the API to names of the form. Call after ``form.is_valid()``.
    """
    fields = error.extra.get("fields")
    if not isinstance(fields, dict) or not fields:
        form.add_error(None, error.message)
        return
    for name, sentences in fields.items():
        field = renamed.get(name, name)
        known = field in form.fields
        words = [str(sentence) for sentence in sentences]
        form.add_error(field if known else None, words if known else [f"{name}: {word}" for word in words])


class PlainForm(forms.Form):
    """Ids without prefixes of their own, no colon behind labels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
