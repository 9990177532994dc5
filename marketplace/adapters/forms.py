"""Forms of the adapter pages. They parse; the services check."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import escape

from marketplace.adapters import licences
from marketplace.adapters.fields import MAX_DESCRIPTION, MAX_TITLE
from marketplace.adapters.models import Adapter
from marketplace.adapters.uploads.selection import MAX_CARD
from marketplace.bases.answers import Question
from marketplace.core.forms import PlainForm
from marketplace.moderation.models import Report

ARROW = "=>"


def write_examples(examples: list[tuple[str, str]]) -> str:
    """(prompt, expected) pairs as the text that ``read_examples`` reads; line breaks inside become ``\\n``."""
    return "\n".join(
        f"{_escaped(prompt)} {ARROW} {_escaped(expected)}" if expected else _escaped(prompt)
        for prompt, expected in examples
    )


def read_examples(text: str) -> list[tuple[str, str]]:
    """One example per line, the expected answer behind ``=>``."""
    pairs = []
    for line in text.splitlines():
        if line.strip():
            prompt, _, expected = line.partition(ARROW)
            pairs.append((_plain(prompt), _plain(expected)))
    return pairs


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _plain(text: str) -> str:
    return "\\".join(part.replace("\\n", "\n") for part in text.strip().split("\\\\"))


class CardForm(PlainForm):
    """What a person says about an adapter."""

    title = forms.CharField(required=False, max_length=MAX_TITLE, help_text="One line, for lists.")
    description = forms.CharField(
        required=False,
        max_length=MAX_DESCRIPTION,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What goes in and what comes out. Search by meaning reads this.",
    )
    license = forms.ChoiceField(label="Licence", required=False)
    tags = forms.CharField(required=False, help_text="Separated by commas: ordering, lists, english.")
    prompt_kind = forms.ChoiceField(
        label="Prompts reach the model as",
        choices=[("plain", "plain text"), ("chat", "a chat message, by the base's template")],
        required=False,
    )
    template = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="Plain text alone: write {prompt} where the prompt belongs.",
    )
    system = forms.CharField(
        label="System prompt", required=False, strip=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    stop = forms.CharField(
        label="Stop strings",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono"}),
        help_text="One per line; \\n stands for a line break.",
    )
    examples = forms.CharField(
        label="Example prompts",
        required=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono"}),
        help_text="One per line, the expected answer behind =>. Ten to twenty help most. \\n stands for a line break.",
    )
    examples_public = forms.BooleanField(label="Everybody may read the examples", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "Not stated"), *licences.choices()]
        current = str(self.initial.get("license", ""))
        if current and current not in dict(choices):
            choices.insert(1, (current, current))
        self.fields["license"].choices = choices  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        """The services' arguments."""
        data = self.cleaned_data
        public = data["examples_public"]
        return {
            "title": data["title"],
            "description": data["description"],
            "license": data["license"],
            "tags": data["tags"].split(","),
            "prompt_format": {
                "kind": data["prompt_kind"] or "plain",
                "template": data["template"].replace("\r\n", "\n") or "{prompt}",
                "system": data["system"].replace("\r\n", "\n"),
                "stop": [_plain_stop(line) for line in data["stop"].splitlines() if line],
            },
            "examples": [
                {"prompt": prompt, "expected": expected, "public": public}
                for prompt, expected in read_examples(data["examples"])
            ],
        }


def _plain_stop(line: str) -> str:
    return "\\".join(part.replace("\\n", "\n") for part in line.split("\\\\"))


def card_initial(adapter: Adapter) -> dict[str, Any]:
    """``CardForm``'s initial values of a published adapter."""
    prompt_format = adapter.current.prompt_format if adapter.current else {}
    examples = list(adapter.examples.all())
    return {
        "title": adapter.title,
        "description": adapter.description,
        "license": adapter.license,
        "tags": ", ".join(adapter.tags),
        "prompt_kind": prompt_format.get("kind", "plain"),
        "template": prompt_format.get("template", "{prompt}"),
        "system": prompt_format.get("system", ""),
        "stop": "\n".join(_escaped(stop) for stop in prompt_format.get("stop", [])),
        "examples": write_examples([(example.prompt, example.expected) for example in examples]),
        "examples_public": any(example.public for example in examples),
        "visibility": adapter.visibility,
    }


class PublishForm(CardForm):
    name = forms.CharField(max_length=96, help_text="Letters, digits, dots, hyphens, underscores.")
    visibility = forms.ChoiceField(choices=Adapter.Visibility.choices, initial=Adapter.Visibility.PUBLIC)
    base = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, question: Question | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if question is None:
            del self.fields["base"]
        else:
            self.fields["base"].choices = question.choices  # type: ignore[attr-defined]
            self.fields["base"].help_text = escape(question.note)
            self.initial.setdefault("base", question.initial)


class EditForm(CardForm):
    visibility = forms.ChoiceField(choices=Adapter.Visibility.choices)
    message = forms.CharField(
        label="What changed", required=False, max_length=300, help_text="Kept with the new version of the card."
    )

    def __init__(
        self,
        *args: Any,
        private_reason: str = "",
        relicense: bool = True,
        administers: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not administers:
            del self.fields["visibility"]
        if not relicense:
            self.fields["license"].disabled = True
            self.fields["license"].help_text = "Follows from what it was merged from."
        elif private_reason:
            self.fields["visibility"].disabled = True
            self.fields["visibility"].help_text = f"Stays private. {private_reason}"


class CardTextForm(PlainForm):
    """README.md as one text."""

    text = forms.CharField(
        label="README.md",
        required=False,
        strip=False,
        max_length=MAX_CARD,
        widget=forms.Textarea(attrs={"rows": 28, "class": "mono", "spellcheck": "true"}),
        help_text="Front matter between two lines of ---, then Markdown, as on the Hugging Face Hub.",
    )
    message = forms.CharField(
        label="What changed", required=False, max_length=300, help_text="Kept with the new version of the card."
    )
    parent = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)


class ReportForm(PlainForm):
    reason = forms.ChoiceField(choices=Report.Reason.choices, widget=forms.RadioSelect)
    text = forms.CharField(
        label="What is wrong", required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 4})
    )
