"""Forms of the pages of suites and evaluations."""

from __future__ import annotations

from django import forms

from marketplace.bases.models import Base
from marketplace.core.forms import PlainForm
from marketplace.evaluations.models import EvaluationSuite

EXAMPLE = '{"prompt": "Write backwards: a b c", "expected": "c b a"}'


class SuiteForm(PlainForm):
    name = forms.CharField(max_length=100)
    lines = forms.CharField(
        label="Examples",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, "class": "mono", "spellcheck": "false", "placeholder": EXAMPLE}),
        help_text="JSON lines: one object per line with “prompt” and “expected”, which may be a list of answers that "
        "are all right. “task” groups examples.",
    )
    base = forms.ModelChoiceField(
        queryset=Base.objects.filter(state=Base.State.READY).only("name"),
        required=False,
        to_field_name="name",
        empty_label="Adapters of any base",
        label="For",
    )
    visibility = forms.ChoiceField(
        choices=[("private", "Private: only you see it and its results"), ("public", "Public: everybody does")],
        initial="private",
        widget=forms.RadioSelect,
    )


class SuiteEditForm(PlainForm):
    name = forms.CharField(max_length=100)
    visibility = forms.ChoiceField(choices=EvaluationSuite.Visibility.choices)


class RunForm(PlainForm):
    """Which suite to run on; without one, what every adapter is run on."""

    suite = forms.UUIDField(required=False)


class HideForm(PlainForm):
    """Of which suite the result is hidden, or shown again."""

    suite = forms.UUIDField()
    hidden = forms.BooleanField(required=False)
