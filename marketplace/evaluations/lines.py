"""Suites as JSON lines: what people upload, with its faults named by line.

The worker reads the same form (``inference_worker.evaluation.suite``); what is written here it accepts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from marketplace.core.errors import Invalid
from marketplace.core.plain_text import storable

#: Characters of a prompt or an answer, and of a task's or cluster's name.
MAX_TEXT, MAX_NAME = 20_000, 100
#: Accepted answers of one prompt.
MAX_ANSWERS = 20
#: As many faults are named; who has more has one cause for all.
MAX_FAULTS = 20
_NAMES = ("task", "cluster")
_KEYS = {"prompt", "expected", *_NAMES}
_FORM = 'Write {"prompt": "…", "expected": "…"}, and "task" if you like'


@dataclass(frozen=True)
class Line:
    """One example; every answer of ``expected`` is right."""

    prompt: str
    expected: tuple[str, ...]
    task: str = ""
    cluster: str = ""

    def dumped(self) -> str:
        row: dict[str, Any] = {"prompt": self.prompt, "expected": list(self.expected)}
        row |= {name: value for name in _NAMES if (value := getattr(self, name))}
        # Escaped, so that no character inside of a text ends a line for whoever reads it.
        return json.dumps(row)


def read_lines(text: str, *, most: int) -> list[Line]:
    """The examples in ``text``. Raises ``Invalid`` that names every line at fault, the first ``MAX_FAULTS`` of them."""
    found: list[Line] = []
    faults: list[str] = []
    # Only line feeds end a line: JSON may hold other characters that Python takes for ends of lines.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_read(line))
        except ValueError as fault:
            faults.append(f"Line {number}: {fault}")
        if len(found) > most:
            faults.insert(0, f"A suite may have {most:,} examples.")
        if len(faults) >= MAX_FAULTS or len(found) > most:
            break
    if not found and not faults:
        faults.append("There are no examples. Give one JSON object per line.")
    if faults:
        raise Invalid(f"The examples have faults. {' '.join(faults)}", extra={"fields": {"lines": faults}})
    return found


def _read(line: str) -> Line:
    """Raises ``ValueError`` in words."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"It is not JSON. {_FORM}.") from None
    if not isinstance(row, dict):
        raise ValueError(f"It is not an object. {_FORM}.")
    if unknown := sorted(set(row) - _KEYS):
        raise ValueError(f"“{unknown[0][:40]}” is not known here. {_FORM}.")
    expected = row.get("expected")
    answers = expected if isinstance(expected, list) else [expected]
    if not 1 <= len(answers) <= MAX_ANSWERS:
        raise ValueError(f"“expected” is an answer, or a list of 1 to {MAX_ANSWERS} that are all right.")
    return Line(
        _text(row, "prompt", row.get("prompt"), 1, MAX_TEXT),
        tuple(_text(row, "expected", answer, 1, MAX_TEXT) for answer in answers),
        *(_text(row, name, row.get(name, ""), 0, MAX_NAME) for name in _NAMES),
    )


def _text(row: dict[str, Any], name: str, value: Any, least: int, most: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"“{name}” is {'missing' if name not in row else 'not a text'}.")
    if not least <= len(value.strip()) or len(value) > most:
        raise ValueError(f"“{name}” has {len(value.strip()):,} characters; {least} to {most:,} are possible.")
    text: str = storable(value)
    return text
