"""The register of upload checks: what each problem code stands for, and the only way to report one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from inference_worker.contracts.common import Problem, Severity

_MOST_IN_PLACE = 300


class Stage(StrEnum):
    """Where a check runs, in the order in which an upload passes them."""

    FILES = "files"
    ZIP = "zip archive"
    CARD = "card"
    CONFIG = "config"
    HEADER = "weights header"
    TENSORS = "tensor names and shapes"
    BASE = "base"
    VALUES = "values"
    VERDICT = "verdict"


@dataclass(frozen=True)
class Check:
    """One code. ``meaning`` says in general what is wrong, ``remedy`` what helps; a problem may say both closer.

    ``also`` is a second severity, for what an upload forgives and an edit on the page does not.
    """

    code: str
    severity: Severity
    stage: Stage
    meaning: str
    remedy: str = ""
    also: Severity | None = None

    @property
    def severities(self) -> tuple[Severity, ...]:
        return (self.severity,) if self.also is None else (self.severity, self.also)


class UnregisteredProblem(LookupError):
    """A check reported a code, or a severity, that the register does not have. That is a bug of the check."""


class Register:
    def __init__(self, checks: Iterable[Check]) -> None:
        self.checks = tuple(checks)
        self._by_code = {check.code: check for check in self.checks}
        if len(self._by_code) != len(self.checks):
            raise ValueError("a code is registered twice")

    def __contains__(self, code: str) -> bool:
        return code in self._by_code

    def __getitem__(self, code: str) -> Check:
        return self._by_code[code]

    def problem(self, code: str, severity: Severity, place: str, message: str, remedy: str = "") -> Problem:
        """The problem to report. Raises ``UnregisteredProblem`` for what the table of checks would not explain."""
        check = self._by_code.get(code)
        if check is None or severity not in check.severities:
            known = "unknown" if check is None else f"registered as {' or '.join(check.severities)}, not {severity}"
            raise UnregisteredProblem(f"{code} is {known}: see inference_worker/contracts/upload_checks")
        place = place[:_MOST_IN_PLACE]
        return Problem(code=code, severity=severity, place=place, message=message, remedy=remedy or check.remedy)
