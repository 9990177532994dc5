"""The figures that the manifest keeps of every base and adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from inference_worker.testbed.evaluate import english_accuracy, exact_match, formal_accuracy, task_examples
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.tasks import READABLE, TASKS, Example, Task
from inference_worker.testbed.tasks.clean import clean_words


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
) -> dict[str, float | None]:
    """Exact match on the adapter's tasks: on seen wordings, on unseen ones (``unseen``), and on unseen ones about clean
    words alone (``fresh``; None where its tasks have too few)."""
    tasks = [TASKS[name] for name in spec.tasks]
    clean = [task for task in tasks if clean_words(task)]
    cases = {
        "seen": _spread(tasks, count, lambda task, each: task_examples(task, each, 0, False, lengths)),
        "unseen": _spread(tasks, count, lambda task, each: task_examples(task, each, 0, True, lengths)),
        "fresh": _spread(
            clean, count, lambda task, each: task_examples(task, each, 0, True, lengths, clean_words(task))
        ),
    }
    return {
        prefix + name: round(exact_match(model, tokenizer, examples), 4) if examples else None
        for name, examples in cases.items()
    }


def fresh_words(spec: AdapterSpec) -> int:
    """How many clean words the figure ``fresh`` is about."""
    return len(frozenset().union(*(clean_words(TASKS[name]) for name in spec.tasks)))


def _spread(tasks: Sequence[Task], count: int, draw: Callable[[Task, int], list[Example]]) -> list[Example]:
    """``count`` examples, evenly over the tasks; a part of what is drawn where rounding up made too many."""
    if not tasks:
        return []
    each = -(-count // len(tasks))
    examples = [example for task in tasks for example in draw(task, each)]
    return Random(0).sample(examples, min(len(examples), max(count, len(tasks))))


def mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return round(sum(numbers) / len(numbers), 4) if numbers else 0.0


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
