"""Suites: examples of prompt and expected answer, with the task and cluster that each belongs to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput

MAX_BYTES = 20_000_000
MAX_EXAMPLES = 20_000
MAX_TEXT = 20_000
MAX_NAME = 100
#: Tokens that an answer may have.
MAX_ANSWER = 1024
_KEYS = {"prompt", "expected", "task", "cluster", "prompt_format"}
#: JSON may escape half of a pair (RFC 8259, section 8.2); UTF-8 cannot encode it, nor can a tokenizer read it.
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Example:
    """``expected`` holds every answer that is right; the first one is scored for perplexity. ``prompt_format`` is there
    where the example has another one than its suite."""

    prompt: str
    expected: tuple[str, ...]
    task: str = ""
    cluster: str = ""
    prompt_format: PromptFormat | None = None

    def table(self) -> dict[str, Any]:
        """What a result depends on, JSON-safe."""
        rest = {"prompt": self.prompt, "expected": self.expected, "task": self.task, "cluster": self.cluster}
        own = self.prompt_format
        return rest if own is None else rest | {"prompt_format": own.model_dump(mode="json")}


@dataclass(frozen=True)
class Suite:
    """Examples and how they are put to the model.

    ``lead`` stands between the prompt and an expected answer when that is scored: models write a blank first.
    """

    name: str
    examples: tuple[Example, ...]
    prompt_format: PromptFormat = field(default_factory=PromptFormat)
    lead: str = " "

    @property
    def digest(self) -> str:
        """Hex sha256 of everything that a result depends on; the name is no part of it."""
        table = {
            "examples": [example.table() for example in self.examples],
            "prompt_format": self.prompt_format.model_dump(mode="json"),
            "lead": self.lead,
        }
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    @property
    def max_tokens(self) -> int:
        """Enough for its longest expected answer: no tokenizer needs more tokens than bytes, and some go to what stands
        around it. At most ``MAX_ANSWER``."""
        longest = max((len(text.encode()) for example in self.examples for text in example.expected), default=0)
        return min(16 + longest, MAX_ANSWER)

    def chosen(self, limit: int | None, seed: int) -> list[int]:
        """Indices of the examples to run, in order: all, or ``limit`` of them spread evenly over the tasks."""
        if limit is None or limit >= len(self.examples):
            return list(range(len(self.examples)))
        by_task: dict[str, list[int]] = {}
        for index, example in enumerate(self.examples):
            by_task.setdefault(example.task, []).append(index)
        rng = Random(f"suite:{seed}")
        for indices in by_task.values():
            rng.shuffle(indices)
        queues: list[list[int]] = list(by_task.values())
        taken: list[int] = []
        while len(taken) < limit:
            for queue in queues:
                if queue and len(taken) < limit:
                    taken.append(queue.pop())
        return sorted(taken)


def read_suite(path: Path, *, prompt_format: PromptFormat | None = None) -> Suite:
    """A suite from JSON lines: ``{"prompt": …, "expected": … or […], "task": …, "cluster": …, "prompt_format": …}``.

    Raises ``BadInput`` that names the line.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadInput(f"{path.name} has {size:,} bytes; a suite may have {MAX_BYTES:,}.", code="suite_too_large")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInput(f"{path} cannot be read as UTF-8 text: {fault}.", code="suite_unreadable") from fault
    # Only line feeds end a line: U+2028, U+0085 and others may stand inside of a text.
    return Suite(path.stem, parse_examples(text.split("\n"), path.name), prompt_format or PromptFormat())


def parse_examples(lines: Iterable[str], source: str) -> tuple[Example, ...]:
    """The examples of JSON lines. Raises ``BadInput`` that names the first line at fault."""
    examples: list[Example] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(examples) == MAX_EXAMPLES:
            raise BadInput(f"{source} has more than {MAX_EXAMPLES:,} examples.", code="suite_too_large")
        examples.append(_example(line, f"{source}, line {number}"))
    if not examples:
        raise BadInput(f"{source} holds no examples.", code="suite_empty")
    return tuple(examples)


def _example(line: str, place: str) -> Example:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise BadInput(f"{place} is not JSON: {str(fault)[:120]}.", code="suite_line") from fault
    if not isinstance(raw, dict) or set(raw) - _KEYS:
        wanted = 'an object with "prompt", "expected" and, if you like, "task", "cluster" and "prompt_format"'
        raise BadInput(f"{place} is not {wanted}.", code="suite_line")
    expected = raw.get("expected")
    answers = tuple(expected) if isinstance(expected, list) else (expected,)
    if not answers or not all(_is_text(answer, MAX_TEXT) for answer in answers):
        raise BadInput(f"{place}: expected is a text, or a list of them.", code="suite_line")
    if not _is_text(raw.get("prompt"), MAX_TEXT) or not raw["prompt"].strip():
        raise BadInput(f"{place}: prompt is a text of 1 to {MAX_TEXT:,} characters.", code="suite_line")
    names = {key: raw.get(key, "") for key in ("task", "cluster")}
    if not all(_is_text(name, MAX_NAME) for name in names.values()):
        raise BadInput(f"{place}: task and cluster are names of at most {MAX_NAME} characters.", code="suite_line")
    if any(_HALF.search(text) for text in (raw["prompt"], *answers, *names.values())):
        raise BadInput(f"{place} has half of a surrogate pair, which is no character.", code="suite_line")
    return Example(raw["prompt"], answers, **names, prompt_format=_own_format(raw.get("prompt_format"), place))


def _own_format(given: Any, place: str) -> PromptFormat | None:
    if given is None:
        return None
    try:
        return PromptFormat.model_validate(given)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(["prompt_format", *map(str, first["loc"])])
        raise BadInput(f"{place}: {where}: {first['msg']}.", code="suite_line") from fault


def _is_text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit


def write_suite(suite: Suite, path: Path) -> None:
    """The suite's examples as JSON lines."""
    lines = []
    for example in suite.examples:
        row: dict[str, Any] = {"prompt": example.prompt, "expected": list(example.expected)}
        row |= {key: value for key in ("task", "cluster") if (value := getattr(example, key))}
        if example.prompt_format is not None:
            row["prompt_format"] = example.prompt_format.model_dump(mode="json")
        lines.append(json.dumps(row, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
