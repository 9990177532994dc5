"""Findings about an upload before any worker looked at it."""

from __future__ import annotations

from inference_worker.contracts.common import Problem

CONVERT = (
    "Load the file where you trust it with torch.load(path, weights_only=True), write the tensors with "
    "safetensors.torch.save_file(tensors, 'adapter_model.safetensors') and upload that file."
)


class UploadFault(Exception):
    """An archive is so wrong that nothing in it is looked at. Carries the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def error(code: str, place: str, message: str, remedy: str) -> Problem:
    return Problem(code=code, severity="error", place=place[:200], message=message, remedy=remedy)


def warning(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return Problem(code=code, severity="warning", place=place[:200], message=message, remedy=remedy)


def note(code: str, place: str, message: str, remedy: str = "") -> Problem:
    return Problem(code=code, severity="info", place=place[:200], message=message, remedy=remedy)


def pickle_refused(place: str) -> Problem:
    return error(
        "pickle_refused",
        place,
        "This is a Python pickle (or an archive that torch.save wrote). Pickles can run code when they are loaded, so "
        "they are refused.",
        CONVERT,
    )
