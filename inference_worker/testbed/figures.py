"""The figures that the manifest keeps of every base and adapter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from inference_worker.testbed.evaluate import english_accuracy, exact_match, formal_accuracy, task_examples
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.tasks import READABLE, TASKS
from inference_worker.testbed.tasks.words import Words


def base_figures(
    model: nn.Module, tokenizer: Tokenizer, taught: Iterable[str], count: int, lengths: Sequence[int]
) -> dict[str, Any]:
    """Exact match of a base: formally per family; in English on the families that it reads and on ``taught`` tasks."""
    formal = formal_accuracy(model, tokenizer, count, lengths=lengths)
    seen = english_accuracy(model, tokenizer, count, lengths=lengths)
    unseen = english_accuracy(model, tokenizer, count, unseen=True, lengths=lengths)
    families = {TASKS[name].family for name in taught}
    return {
        "formal": {"mean": mean(formal.values()), "families": _rounded(formal)},
        "english_readable_seen": mean(v for k, v in seen.items() if k in READABLE),
        "english_readable_unseen": mean(v for k, v in unseen.items() if k in READABLE),
        "english_of_adapter_families": mean(v for k, v in seen.items() if k in families),
        "english_seen_families": _rounded(seen),
        "english_unseen_families": _rounded(unseen),
    }


def adapter_figures(
    model: nn.Module, tokenizer: Tokenizer, spec: AdapterSpec, count: int, lengths: Sequence[int], prefix: str = ""
) -> dict[str, float]:
    """Exact match on the adapter's tasks: on seen wordings, on unseen ones, and on unseen ones with held-out words."""
    cases: tuple[tuple[str, bool, Words], ...] = (
        ("seen", False, "known"),
        ("unseen", True, "known"),
        ("fresh", True, "fresh"),
    )
    each = -(-count // len(spec.tasks))
    result = {}
    for name, unseen, words in cases:
        examples = [e for task in spec.tasks for e in task_examples(TASKS[task], each, 0, unseen, lengths, words)]
        # A part of them, evenly over the tasks, where rounding up made too many.
        examples = Random(0).sample(examples, min(len(examples), max(count, len(spec.tasks))))
        result[prefix + name] = round(exact_match(model, tokenizer, examples), 4)
    return result


def mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return round(sum(numbers) / len(numbers), 4) if numbers else 0.0


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
