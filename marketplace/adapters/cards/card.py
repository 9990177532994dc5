"""Model cards: README.md with YAML front matter, as the model hubs write it.

The card is the truth of a version's title, description, licence, tags and prompt format; ``Adapter``'s columns are a
cache of it. Front matter is untrusted: it is parsed without tags and aliases, and with bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inference_worker.contracts.common import PromptFormat
from marketplace.adapters.cards.front_matter import FENCE, CardFault, join, split
from marketplace.adapters.cards.loading import base_lines

#: What a generated card says where nobody said anything.
NO_DESCRIPTION = "No description yet."
_HEADING = re.compile(r"^#[ \t]+(?P<title>.+?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True)
class CardFields:
    """What the marketplace knows of a card. ``base_model`` is as the config says it."""

    title: str = ""
    description: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    base_model: str = ""
    prompt_format: PromptFormat = field(default_factory=PromptFormat)
    #: As the config says it (``CAUSAL_LM``), empty where it is not known.
    task_type: str = ""

    def replaced(self, **changes: Any) -> CardFields:
        return replace(self, **changes)


@dataclass(frozen=True)
class Origin:
    """How a version was made, for the card: the method's name and the parents with their weights."""

    operation: str
    parents: Sequence[tuple[str, float]]
    recipe: Mapping[str, Any]


def suggested(text: str) -> dict[str, Any]:
    """What a form may be filled with from an uploaded card; only what is there and has the right type."""
    front, body = split(text)
    heading = _HEADING.search(body)
    paragraphs = [
        " ".join(part.split())
        for part in re.split(r"\n\s*\n", body)
        if part.strip() and not part.lstrip().startswith(("#", "<", "!", "|", "```", "---", "- ", "* ", "["))
    ]
    title = _text(front.get("title")) or (heading["title"].strip() if heading else "")
    found: dict[str, Any] = {
        "title": title[:120],
        "description": (_text(front.get("description")) or (paragraphs[0] if paragraphs else ""))[:20_000],
        "license": _text(front.get("license"))[:60].lower(),
        "tags": [tag.strip().lower()[:40] for tag in _texts(front.get("tags")) if tag.strip()][:20],
        "base_model": next(iter(_texts(front.get("base_model"))), "")[:300],
        "prompt_format": front.get("prompt_format") if isinstance(front.get("prompt_format"), dict) else None,
        "base_models": [name.strip()[:300] for name in _texts(front.get("base_model")) if name.strip()][:5],
    }
    return {key: value for key, value in found.items() if value}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def write(fields: CardFields, *, full_name: str, origin: Origin | None = None) -> str:
    """A whole card, generated."""
    return join(_front_matter({}, fields), body_of(fields, full_name=full_name, origin=origin))


def rewrite(text: str, fields: CardFields, *, full_name: str, before: CardFields | None = None) -> str:
    """An existing card with new fields: its own front matter keys and body stay.

    A body that was generated from ``before`` is generated anew; unreadable front matter is replaced.
    """
    try:
        front, body = split(text)
    except CardFault:
        match = FENCE.match(text)
        front, body = {}, text[match.end() :] if match else text
    if before is not None and body.strip().startswith(lead_of(before, full_name=full_name).strip()):
        old, new = lead_of(before, full_name=full_name).strip(), lead_of(fields, full_name=full_name)
        body = "\n" + new.rstrip("\n") + body.strip()[len(old) :] + "\n"
    return join(_front_matter(front, fields), body)


#: PEFT's task types as the Hub calls the tasks, and the class of transformers that loads such a base.
TASKS = {
    "CAUSAL_LM": ("text-generation", "AutoModelForCausalLM"),
    "SEQ_2_SEQ_LM": ("text2text-generation", "AutoModelForSeq2SeqLM"),
    "SEQ_CLS": ("text-classification", "AutoModelForSequenceClassification"),
    "TOKEN_CLS": ("token-classification", "AutoModelForTokenClassification"),
    "QUESTION_ANS": ("question-answering", "AutoModelForQuestionAnswering"),
    "FEATURE_EXTRACTION": ("feature-extraction", "AutoModel"),
}


def model_class(task_type: str) -> str:
    """The class of transformers that loads the base of such an adapter; most that name no task write text."""
    return TASKS.get(task_type, TASKS["CAUSAL_LM"])[1]


def _front_matter(front: Mapping[str, Any], fields: CardFields) -> dict[str, Any]:
    """``fields`` over the author's ``front``. What is theirs to say beyond our fields stays: several base models of
    which ours is one, another library, the task."""
    base_models = _texts(front.get("base_model"))
    ours = {
        "title": fields.title,
        "description": fields.description,
        "license": fields.license,
        "base_model": front["base_model"] if fields.base_model in base_models else fields.base_model,
        "library_name": front.get("library_name") or "peft",
        "pipeline_tag": front.get("pipeline_tag") or TASKS.get(fields.task_type, ("",))[0],
        "tags": list(fields.tags),
        "prompt_format": fields.prompt_format.model_dump(mode="json"),
    }
    kept = {key: value for key, value in front.items() if key not in ours or (key == "base_model" and not ours[key])}
    return {key: value for key, value in ours.items() if value} | kept


def lead_of(fields: CardFields, *, full_name: str) -> str:
    """The generated card's heading and description."""
    return f"# {fields.title or full_name.partition('/')[2]}\n\n{fields.description.strip() or NO_DESCRIPTION}\n"


def body_of(fields: CardFields, *, full_name: str, origin: Origin | None = None) -> str:
    """The generated card's Markdown."""
    parts = [lead_of(fields, full_name=full_name)]
    if origin is not None:
        rows = "\n".join(f"| {name} | {weight:g} |" for name, weight in origin.parents)
        recipe = json.dumps(origin.recipe, indent=2, sort_keys=True, ensure_ascii=False)
        parts.append(
            f"## How it was made\n\nBy `{origin.operation}` from:\n\n| parent | weight |\n| --- | --- |\n{rows}\n"
        )
        parts.append(f"<details><summary>Recipe</summary>\n\n```json\n{recipe}\n```\n\n</details>\n")
    if fields.base_model:
        loader = model_class(fields.task_type)
        parts.append(
            f"## Use\n\n```python\nfrom peft import PeftModel\nfrom transformers import {loader}\n\n"
            f"{base_lines(fields.base_model, loader)}\n"
            'model = PeftModel.from_pretrained(base, "path/to/this/folder")\n```\n'
        )
    return "\n".join(parts)
