"""The testbed's tasks as suites: ``testbed:NAME`` and ``testbed:NAME:unseen``.

``NAME`` is a task, a cluster, ``named`` (the tasks with an adapter of their own), ``readable`` (those that the base
reads in English: what an adapter should not forget) or ``compositions`` (two tasks in one instruction).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.testbed.tasks import COMPOSITIONS, NAMED, TASKS
from inference_worker.testbed.tasks.task import Example as TaskExample
from inference_worker.testbed.tasks.words import Words

PREFIX = "testbed:"
PROMPT_FORMAT = PromptFormat(template="{prompt}\nOutput:", stop=("\n",))
#: Words per list, as the adapters are trained.
LENGTH = 4


class _Asked(Protocol):
    """A task, or two of them in one instruction."""

    @property
    def name(self) -> str: ...

    def natural_example(
        self, rng: Random, length: int, unseen: bool = False, words: Words = "known"
    ) -> TaskExample: ...


def builtin_suite(name: str, *, count: int = 64, seed: int = 0) -> Suite:
    """The suite of that name with ``count`` examples of each task. Raises ``BadInput`` for a name that is none.

    Examples of unseen wording hold words that no training example holds, too.
    """
    what, _, wording = name.removeprefix(PREFIX).partition(":")
    if wording not in ("", "seen", "unseen"):
        raise BadInput(f"{name}: write :seen or :unseen behind the name.", code="suite_unknown")
    unseen = wording == "unseen"
    asked = _asked(what)
    examples = [
        Example(example.prompt, (example.answer,), task=task.name, cluster=cluster)
        for task, cluster in asked
        for example in _draw(task, count, seed, unseen)
    ]
    return Suite(name, tuple(examples), PROMPT_FORMAT)


def _asked(what: str) -> Sequence[tuple[_Asked, str]]:
    if what == "compositions":
        return [(task, f"{task.first.cluster}+{task.second.cluster}") for task in COMPOSITIONS.values()]
    tasks = [task for task in TASKS.values() if task.name == what or task.cluster == what]
    if what == "named":
        tasks = list(NAMED)
    if what == "readable":
        tasks = [task for task in TASKS.values() if task.readable and not task.held_out]
    if not tasks:
        clusters = ", ".join(sorted({task.cluster for task in TASKS.values()}))
        raise BadInput(
            f"There is no task “{what}”. Give a task, a cluster ({clusters}), named, readable or compositions.",
            code="suite_unknown",
        )
    return [(task, task.cluster) for task in tasks]


def _draw(task: _Asked, count: int, seed: int, unseen: bool) -> list[TaskExample]:
    """The seed is apart from every training seed."""
    rng = Random(f"suite:{task.name}:{seed}:{unseen}")
    return [task.natural_example(rng, LENGTH, unseen, "fresh" if unseen else "known") for _ in range(count)]
