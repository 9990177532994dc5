"""How checks report what they find: a fault stops reading, a problem is listed.

Codes come from the register (``contracts/upload_checks``), which also has the remedy where the check gives none.
"""

from __future__ import annotations

from inference_worker.contracts.common import Problem
from inference_worker.contracts.upload_checks import CHECKS
from inference_worker.errors import BadInput


def error(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "error", place, message, remedy)


def warning(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "warning", place, message, remedy)


def note(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "info", place, message, remedy)


class Unreadable(Exception):
    """A file is so wrong that nothing after it can be checked. Carries the one problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def raise_for_errors(label: str, problems: list[Problem]) -> None:
    """Raise ``BadInput`` that lists every error among ``problems``; warnings pass."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    lines = " ".join(f"{problem.place}: {problem.message} {problem.remedy}".strip() for problem in errors[:5])
    raise BadInput(
        f"{label} cannot be read: {lines}",
        code=errors[0].code,
        extra={"adapter": label, "problems": [problem.model_dump() for problem in errors]},
    )
