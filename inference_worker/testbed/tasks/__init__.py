"""The task suite: families of list transformations over the lexicon, in a formal syntax and in English."""

from inference_worker.testbed.tasks.compositions import COMPOSITIONS, Composition
from inference_worker.testbed.tasks.descriptions import descriptions
from inference_worker.testbed.tasks.named import NAMED
from inference_worker.testbed.tasks.registry import FAMILIES, READABLE, TASKS
from inference_worker.testbed.tasks.scorers import exact_match, token_f1
from inference_worker.testbed.tasks.task import Example, Task

__all__ = [
    "COMPOSITIONS",
    "FAMILIES",
    "NAMED",
    "READABLE",
    "TASKS",
    "Composition",
    "Example",
    "Task",
    "descriptions",
    "exact_match",
    "token_f1",
]
