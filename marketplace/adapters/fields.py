"""Checking what people write about an adapter. Every fault is collected, so that a form shows all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inference_worker.contracts.common import PromptFormat
from marketplace.adapters import licences
from marketplace.adapters.models import ADAPTER_NAME
from marketplace.core.errors import Invalid
from marketplace.core.plain_text import has_impossible

MAX_TITLE = 120
MAX_DESCRIPTION = 20_000
MAX_TAGS = 20
MAX_EXAMPLES = 50
MAX_TEXT = 4000
_TAG = re.compile(r"[\w][\w .+/#:-]{0,39}")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*( AND [a-z0-9][a-z0-9.+-]*)*")
#: Names that stand for something else behind ``/{owner}/`` or would pass for files.
RESERVED_NAMES = frozenset(
    ["new", "edit", "settings", "adapters", "versions", "files", "resolve", "raw", "blob", "tree", "commits"]
)
_RESERVED_ENDINGS = (".git", ".zip", ".lock", ".atom")


@dataclass(frozen=True)
class Example:
    """A prompt, the answer that is expected (empty where unknown), and whether others may read it."""

    prompt: str
    expected: str = ""
    public: bool = False


class Checker:
    """Collects faults by field; ``finish`` raises them together as ``Invalid``."""

    def __init__(self) -> None:
        self.faults: dict[str, list[str]] = {}

    def fault(self, field: str, sentence: str) -> None:
        self.faults.setdefault(field, []).append(sentence)

    def finish(self) -> None:
        if self.faults:
            words = " ".join(sentence for sentences in self.faults.values() for sentence in sentences)
            raise Invalid(words, extra={"fields": self.faults})

    def name(self, name: str) -> str:
        name = name.strip()
        if not ADAPTER_NAME.regex.match(name):  # type: ignore[union-attr]
            self.fault("name", str(ADAPTER_NAME.message))
        elif name.lower() in RESERVED_NAMES or name.lower().endswith(_RESERVED_ENDINGS):
            self.fault("name", f"The name “{name}” is reserved. Choose another one.")
        return name

    def text(self, field: str, value: str, limit: int) -> str:
        value = value.replace("\r\n", "\n").strip()
        if len(value) > limit:
            self.fault(field, f"Use at most {limit:,} characters; this has {len(value):,}.")
        if has_impossible(value):
            self.fault(field, "Remove the characters that no text holds (NUL, halves of surrogate pairs).")
        return value

    def title(self, value: str) -> str:
        title = self.text("title", value, MAX_TITLE)
        if "\n" in title:
            self.fault("title", "Write the title in one line.")
        return title

    def license(self, value: str) -> str:
        license = licences.normalise(value)
        if len(license) > licences.MAX_LENGTH or (license and not _LICENCE.fullmatch(license)):
            self.fault("license", "Give an SPDX identifier such as apache-2.0, or other.")
        return license

    def tags(self, values: Iterable[str]) -> list[str]:
        tags = list(dict.fromkeys(" ".join(str(value).lower().split()) for value in values))
        tags = [tag for tag in tags if tag]
        if len(tags) > MAX_TAGS:
            self.fault("tags", f"Use at most {MAX_TAGS} tags.")
        for tag in tags[: MAX_TAGS + 1]:
            if not _TAG.fullmatch(tag):
                self.fault("tags", f"“{tag[:60]}” is no tag: use up to 40 letters, digits and simple punctuation.")
        return tags

    def prompt_format(self, value: PromptFormat | Mapping[str, Any] | None) -> PromptFormat:
        if isinstance(value, PromptFormat):
            return value
        try:
            checked = PromptFormat.model_validate(value or {})
        except ValidationError as error:
            for fault in error.errors():
                place = ".".join(str(part) for part in fault["loc"]) or "prompt_format"
                self.fault("prompt_format", f"{place}: {fault['msg']}.")
            return PromptFormat()
        if checked.kind == "plain" and "{prompt}" not in checked.template:
            self.fault("prompt_format", "template: write {prompt} where the prompt belongs.")
        if max(len(checked.template), len(checked.system)) > MAX_TEXT or len(checked.stop) > 16:
            self.fault("prompt_format", f"Use at most {MAX_TEXT} characters and 16 stop strings.")
        if any(has_impossible(text) for text in (checked.template, checked.system, *checked.stop)):
            self.fault("prompt_format", "Remove the characters that no text holds (NUL, halves of surrogate pairs).")
        if any(not stop or len(stop) > 100 for stop in checked.stop):
            self.fault("prompt_format", "stop: each stop string has 1 to 100 characters.")
        return checked

    def examples(self, values: Sequence[Any]) -> list[Example]:
        """``Example``s from ``Example``s, mappings or (prompt, expected) pairs."""
        if len(values) > MAX_EXAMPLES:
            self.fault("examples", f"Give at most {MAX_EXAMPLES} examples.")
        return [example for value in values[:MAX_EXAMPLES] if (example := self._example(value)) is not None]

    def _example(self, value: Any) -> Example | None:
        if isinstance(value, Mapping):
            value = Example(
                str(value.get("prompt", "")), str(value.get("expected") or ""), bool(value.get("public", False))
            )
        elif not isinstance(value, Example):
            prompt, expected = value if isinstance(value, tuple | list) else (value, "")
            value = Example(str(prompt), str(expected))
        prompt = self.text("examples", value.prompt, MAX_TEXT)
        expected = self.text("examples", value.expected, MAX_TEXT)
        if not prompt:
            if expected:
                self.fault("examples", "An expected answer has no prompt.")
            return None
        return Example(prompt, expected, value.public)
