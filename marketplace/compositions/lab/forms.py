"""The combine page's further forms: prompts of a preview, the grid of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from inference_worker.contracts.merge_preview import MAX_PROMPTS
from marketplace.adapters import selectors as adapters
from marketplace.bases.models import Base
from marketplace.compositions.forms import CombineForm
from marketplace.compositions.lab.sweeps import PARENTS, Asked, Axes
from marketplace.compositions.output_fields import read_rule, read_weight
from marketplace.core.errors import Invalid
from marketplace.evaluations.selectors import suites_for

OWN = "own"
#: What stands between a prompt and its expected answer in the field of own examples.
ARROW = "=>"


@dataclass(frozen=True)
class LabForm:
    """As written. ``opened`` names the part of the page that was sent, so that it stands open with its faults."""

    prompts: list[str]
    weights: str
    methods: list[str]
    ranks: str
    suite: str
    count: str
    examples: str
    opened: str = ""


def read_lab(data: QueryDict, opened: str = "") -> LabForm:
    return LabForm(
        prompts=[prompt for prompt in data.getlist("prompt") if prompt.strip()],
        weights=data.get("sweep_weights", ""),
        methods=data.getlist("sweep_methods"),
        ranks=data.get("sweep_ranks", ""),
        suite=data.get("suite", PARENTS),
        count=data.get("count", "8"),
        examples=data.get("examples", ""),
        opened=opened,
    )


def sweep_arguments(form: CombineForm, lab: LabForm) -> dict[str, Any]:
    """``axes`` and ``asked`` of ``sweeps.create_sweep``. Raises ``Invalid`` for what cannot be read at all."""
    axes = Axes(
        weights=form.read("sweep_weights", lab.weights, _weights, []),
        methods=lab.methods,
        ranks=form.read("sweep_ranks", lab.ranks, lambda text: [read_rule(part) for part in _parts(text, ",;\n")], []),
    )
    own = form.read("examples", lab.examples, _examples, []) if lab.suite == OWN else []
    if lab.suite == OWN and not own and "examples" not in form.faults:
        form.say("examples", f"Write at least one example, as prompt {ARROW} answer.")
    count = form.read("count", lab.count, int, 8) if lab.count.strip().isdigit() else 8
    if form.faults:
        raise Invalid("The form has faults.", extra={"fields": {}})
    return {"axes": axes, "asked": Asked(suite=lab.suite, count=min(max(count, 1), 64), examples=own)}


def _parts(text: str, separators: str) -> list[str]:
    for separator in separators[1:]:
        text = text.replace(separator, separators[0])
    return [part.strip() for part in text.split(separators[0]) if part.strip()]


def _weights(text: str) -> list[list[float]]:
    """One list per line, numbers between commas or blanks."""
    return [
        [read_weight(part) for part in line.replace(",", " ").split()] for line in text.splitlines() if line.strip()
    ]


def _examples(text: str) -> list[dict[str, str]]:
    """One example per line, ``prompt => answer``; ``\\n`` in a prompt is a line break."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        prompt, arrow, answer = line.rpartition(ARROW)
        if not arrow or not prompt.strip() or not answer.strip():
            raise ValueError(f"“{line.strip()[:60]}” is no example. Write prompt {ARROW} answer, one per line.")
        found.append({"prompt": prompt.strip().replace("\\n", "\n"), "expected": answer.strip()})
    return found


def suggested_prompts(user: Any, form: CombineForm) -> list[str]:
    """Prompts to begin with: the first examples of each member, as far as the user may see them."""
    found = [
        [example.prompt for example in adapters.examples_of(user=user, adapter=member.adapter)[:2]]
        for member in form.members[:MAX_PROMPTS]
    ]
    return [prompt for rows in _turns(found) for prompt in rows][:MAX_PROMPTS]


def _turns(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """The first of each, then the second of each."""
    return [[row[place] for row in lists if place < len(row)] for place in range(max(map(len, lists), default=0))]


def suite_choices(user: Any, base: Base | None) -> list[tuple[str, str]]:
    """What a sweep can be measured on: value and words."""
    found = [(PARENTS, "the adapters' own examples with answers"), (OWN, "examples written here")]
    if base is not None:
        found += [(str(suite.pk), f"suite: {suite.name}") for suite in suites_for(user, base)]
    return found
