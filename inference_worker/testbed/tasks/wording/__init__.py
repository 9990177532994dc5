"""How people ask for the tasks: templates in English, split into those that training sees and those it never sees."""

from inference_worker.testbed.tasks.wording.families import WORDINGS, Wording
from inference_worker.testbed.tasks.wording.templates import expansions, fill

__all__ = ["WORDINGS", "Wording", "expansions", "fill"]
