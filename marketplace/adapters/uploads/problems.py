"""Findings about an upload before any worker looked at it. Their codes come from the register of upload checks."""

from __future__ import annotations

from inference_worker.contracts.common import Problem
from inference_worker.contracts.conversion import conversion_remedy
from inference_worker.contracts.upload_checks import CHECKS


class UploadFault(Exception):
    """An archive is so wrong that nothing in it is looked at. Carries the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def error(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "error", place, message, remedy)


def warning(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "warning", place, message, remedy)


def note(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return CHECKS.problem(code, "info", place, message, remedy)


def pickle_refused(place: str) -> Problem:
    return error(
        "pickle_refused",
        place,
        "This is a Python pickle (or an archive that torch.save wrote). Pickles can run code when they are loaded, so "
        "they are refused.",
        conversion_remedy(place),
    )
