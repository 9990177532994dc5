"""What lies beside an adapter's weights: the card (README.md) and ``meta.json`` with examples and figures."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from inference_worker.contracts.common import PromptFormat
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.record import Record
from inference_worker.testbed.tasks import TASKS, Example

EXAMPLES = 16

#: A person types the instruction and the input; the template adds the line that the model continues.
PROMPT_FORMAT = PromptFormat(kind="plain", template="{prompt}\nOutput:", system="", stop=("\n",))


def card_examples(spec: AdapterSpec, lengths: tuple[int, ...], count: int = EXAMPLES) -> list[Example]:
    """``count`` distinct prompts, alternately in wordings that training saw and did not see."""
    rng = Random(f"card:{spec.name}")
    examples: dict[str, Example] = {}
    while len(examples) < count:
        task = TASKS[rng.choice(spec.tasks)]
        example = task.natural_example(rng, rng.choice(lengths), unseen=bool(len(examples) % 2))
        examples.setdefault(example.prompt, example)
    return list(examples.values())


def write_card(
    spec: AdapterSpec, directory: Path, figures: dict[str, Any], lengths: tuple[int, ...], made: Record | None
) -> None:
    """Write README.md and meta.json into the adapter's folder. ``made`` tells what trained it, where that is known."""
    examples = card_examples(spec, lengths)
    meta = {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "tags": list(spec.tags),
        "license": spec.license,
        "owner": spec.owner,
        "base": spec.base,
        "task": spec.tasks[0] if len(spec.tasks) == 1 else "",
        "tasks": list(spec.tasks),
        "prompt_format": PROMPT_FORMAT.model_dump(mode="json"),
        "examples": [{"prompt": example.prompt, "expected": example.answer} for example in examples],
        "figures": figures,
        "made": made,
    }
    text = json.dumps(meta, indent=2, ensure_ascii=False)
    (directory / "meta.json").write_text(text + "\n", encoding="utf-8")
    (directory / "README.md").write_text(_card(spec, examples, figures), encoding="utf-8")


def _card(spec: AdapterSpec, examples: list[Example], figures: dict[str, Any]) -> str:
    front = [
        "---",
        f"base_model: {spec.repository}",
        "library_name: peft",
        f"license: {spec.license}",
        "language:",
        "- en",
        "pipeline_tag: text-generation",
        "tags:",
        "- lora",
        *(f"- {tag}" for tag in spec.tags),
        "---",
    ]
    shown = "\n\n".join(f"```text\n{e.text} {e.answer}\n```" for e in examples[:3])
    return (
        "\n".join(front)
        + f"""

# {spec.title}

{spec.description}

A LoRA adapter of rank {spec.rank} on {", ".join(spec.targets)} for `{spec.repository}`.

## Prompt

An instruction, an input, and a line `Output:` that the model continues until the end of the line:

{shown}

## Figures

Exact match over generated examples. Unseen wordings occur in no training. {_about_words(figures)}

| | seen wordings | unseen wordings | unseen wordings, held-out words |
| --- | --- | --- | --- |
| base alone | {_row(figures, "base_")} |
| with this adapter | {_row(figures, "")} |
"""
    )


def _about_words(figures: dict[str, Any]) -> str:
    if not figures["fresh_words"]:
        return "Too few words of this task are held out of every English example to measure it on them."
    return (
        f"Held-out words are {figures['fresh_words']} words of this task that no English example of any training "
        "shows, in no form."
    )


def _row(figures: dict[str, Any], prefix: str) -> str:
    values = [figures[prefix + name] for name in ("seen", "unseen", "fresh")]
    return " | ".join("–" if value is None else f"{value:.2f}" for value in values)
