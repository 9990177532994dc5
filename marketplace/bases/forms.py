"""Forms of the bases' pages. They parse; the services check."""

from __future__ import annotations

from typing import Any

from django import forms

from marketplace.bases.models import Base
from marketplace.core.forms import PlainForm


class RegisterForm(PlainForm):
    name = forms.CharField(
        max_length=160, help_text="The hub's id, such as meta-llama/Llama-3.2-1B, or a name of your own."
    )
    source = forms.CharField(
        required=False,
        max_length=500,
        help_text="A hub's id, or a directory that every worker sees. Left empty, the name is the hub's id.",
        widget=forms.TextInput(attrs={"class": "mono"}),
    )
    revision = forms.CharField(
        required=False, max_length=100, help_text="Branch, tag or commit of the hub's repository."
    )
    license = forms.CharField(
        label="Licence", required=False, max_length=40, help_text="For example apache-2.0, llama3.2."
    )
    parent = forms.ModelChoiceField(
        queryset=Base.objects.none(),
        to_field_name="name",
        required=False,
        empty_label="None, or as is well known",
        help_text="The base that it was trained further from.",
    )
    aliases = forms.CharField(
        label="Other names",
        required=False,
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="One per line: re-uploads, quantised copies, former names.",
    )
    served = forms.BooleanField(label="Adapters are tried on it", required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["parent"].queryset = Base.objects.order_by("name").only("name")  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        """The service's arguments."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "source": data["source"],
            "revision": data["revision"],
            "license": data["license"],
            "parent": data["parent"],
            "aliases": data["aliases"].splitlines(),
            "served": data["served"],
        }


class ChangeForm(PlainForm):
    license = forms.CharField(label="Licence", required=False, max_length=40)
    parent = forms.ModelChoiceField(
        queryset=Base.objects.none(), to_field_name="name", required=False, empty_label="None",
        help_text="The base that it was trained further from.",
    )  # fmt: skip
    served = forms.BooleanField(label="Adapters are tried on it", required=False)

    def __init__(self, *args: Any, base: Base, **kwargs: Any) -> None:
        initial = {"license": base.license, "parent": base.parent and base.parent.name, "served": base.served}
        super().__init__(*args, initial=initial, auto_id="change_%s", **kwargs)
        others = Base.objects.exclude(pk=base.pk).order_by("name").only("name")
        self.fields["parent"].queryset = others  # type: ignore[attr-defined]


class AliasForm(PlainForm):
    alias = forms.CharField(
        label="Another name", max_length=200, help_text="As configs write it: unsloth/Llama-3.2-1B-bnb-4bit."
    )
