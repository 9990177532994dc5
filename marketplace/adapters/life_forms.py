"""Forms of an adapter's settings, and of its versions. They parse; the services check."""

from __future__ import annotations

from typing import Any

from django import forms

from marketplace.adapters.services.retiring import MAX_REASON
from marketplace.core.forms import PlainForm


class RenameForm(PlainForm):
    name = forms.CharField(label="New name", max_length=96, help_text="Letters, digits, dots, hyphens, underscores.")


class OfferForm(PlainForm):
    receiver = forms.CharField(label="User name of the new owner", max_length=60)


class AcceptForm(PlainForm):
    """Only asked for where the receiver has, or had, an adapter of the same name."""

    name = forms.CharField(label="Take it over as", max_length=96, required=False)


class YankForm(PlainForm):
    reason = forms.CharField(
        max_length=MAX_REASON, help_text="Whoever has this version built in reads it when they load it."
    )
    same_weights = forms.BooleanField(label="Also every other version with the same weights", required=False)

    def __init__(self, *args: Any, alone: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if alone:
            del self.fields["same_weights"]


class DeprecateForm(PlainForm):
    message = forms.CharField(label="What people should know", max_length=MAX_REASON, required=False)
    superseded_by = forms.CharField(
        label="Superseded by",
        max_length=200,
        required=False,
        help_text="A commit of this adapter, owner/name, or owner/name@commit.",
    )
