"""The task suite: families of list transformations over the lexicon, in a formal syntax and in English."""

from inference_worker.testbed.tasks.registry import FAMILIES, READABLE, TASKS
from inference_worker.testbed.tasks.task import Example, Task

__all__ = ["FAMILIES", "READABLE", "TASKS", "Example", "Task"]
