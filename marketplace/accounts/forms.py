"""Forms of the account page."""

from __future__ import annotations

import datetime

from django import forms
from django.utils import timezone

from marketplace.accounts.models import Token
from marketplace.core.forms import PlainForm

_LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "One year"), ("", "No expiry")]


class ProfileForm(PlainForm):
    display_name = forms.CharField(
        required=False, max_length=80, help_text="Shown beside your user name. Empty shows the user name alone."
    )


class TokenForm(PlainForm):
    name = forms.CharField(max_length=80, help_text="What it is for: laptop, nightly upload.")
    scope = forms.ChoiceField(choices=Token.Scope.choices, initial=Token.Scope.READ)
    lifetime = forms.ChoiceField(label="Expires after", choices=_LIFETIMES, required=False, initial="90")

    def expires_at(self) -> datetime.datetime | None:
        days = self.cleaned_data["lifetime"]
        return timezone.now() + datetime.timedelta(days=int(days)) if days else None


class CloseForm(PlainForm):
    """The end of an account, confirmed twice."""

    adapters = forms.ChoiceField(
        label="Your adapters",
        choices=[
            ("delete", "Delete all that I still have"),
            ("keep", "Stop if I still have any: I want to hand them over first"),
        ],
        initial="delete",
        widget=forms.RadioSelect,
    )
    username = forms.CharField(label="Your user name, to confirm", max_length=60)
    password = forms.CharField(
        label="Your password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
