"""Forms of the access page. They parse; the services check."""

from __future__ import annotations

from typing import Any

from django import forms

from marketplace.adapters.models import Adapter, Collaborator
from marketplace.core.forms import PlainForm

_WORDS = {
    Adapter.Visibility.PUBLIC: "Public: everybody sees it and loads it",
    Adapter.Visibility.GATED: "Gated: everybody sees it; who wants its files or answers asks you",
    Adapter.Visibility.PRIVATE: "Private: only you and its collaborators see it",
}


class RequestForm(PlainForm):
    message = forms.CharField(
        label="What do you want it for?",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="The owner reads this, and sees your user name.",
    )
    agree = forms.BooleanField(label="I have read the terms and keep to them", required=False)

    def __init__(self, *args: Any, terms: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not terms:
            del self.fields["agree"]


class OpennessForm(PlainForm):
    visibility = forms.ChoiceField(
        label="Who may have it", choices=[(value, _WORDS[value]) for value in _WORDS], widget=forms.RadioSelect
    )
    terms = forms.CharField(
        label="Terms for a gated adapter",
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="People read and agree to this before they ask. Markdown.",
    )

    def __init__(self, *args: Any, adapter: Adapter, **kwargs: Any) -> None:
        kwargs["initial"] = {"visibility": adapter.visibility, "terms": adapter.gate_terms}
        super().__init__(*args, **kwargs)
        if adapter.private_reason:
            self.fields["visibility"].disabled = True
            self.fields["visibility"].help_text = f"Stays private. {adapter.private_reason}"


class CollaboratorForm(PlainForm):
    username = forms.CharField(label="User name", max_length=39)
    role = forms.ChoiceField(label="They", choices=Collaborator.Role.choices)
