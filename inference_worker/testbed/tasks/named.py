"""The named tasks: those that have an adapter of their own. All belong to families that the base does not read."""

from __future__ import annotations

from inference_worker.testbed.tasks.registry import TASKS
from inference_worker.testbed.tasks.task import Task

_NAMES = """
plural past third-person superlative adverb opposite category young capital currency last-letter length previous-letter
next-month previous-day number-name units twice add-3 add-5 add-7 largest
reverse rotate-right swap-first repeat second last second-last take-three skip-two drop-last
append-stop append-gold append-river after-each-star after-each-bell insert-second-moon insert-second-snow wrap-stone
wrap-flag replace-last-fire replace-last-rain
keep-animal keep-fruit keep-vehicle keep-job find-animal find-tool find-plant
"""

NAMED: tuple[Task, ...] = tuple(TASKS[name] for name in _NAMES.split())
