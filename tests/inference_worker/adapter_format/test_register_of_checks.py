"""Every code that the engine reports, produced by a file; the table explains each."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.check_samples import SAMPLES, SHAPES, sample

from inference_worker.adapter_format import inspect_adapter
from inference_worker.contracts.common import Problem
from inference_worker.contracts.upload_checks import CHECKS, Stage

#: Reported by the marketplace alone; ``tests/marketplace/adapters/test_every_check.py`` has their samples.
ELSEWHERE = {"base_unknown", "check_failed"}
HERE = {"missing_file", "empty_file", "lfs_pointer", "pickle_refused", "not_safetensors"}


def problems(folder: Path) -> list[Problem]:
    result = inspect_adapter(folder / "adapter_config.json", folder / "adapter_model.safetensors", SHAPES)
    return list(result.problems)


def test_every_code_of_the_engine_has_a_sample() -> None:
    stages = {Stage.CONFIG, Stage.HEADER, Stage.TENSORS, Stage.BASE, Stage.VALUES, Stage.VERDICT}
    reported = {check.code for check in CHECKS.checks if check.stage in stages} - ELSEWHERE | HERE
    assert set(SAMPLES) | {"check_crashed"} == reported


@pytest.mark.parametrize("code", sorted(SAMPLES))
def test_the_sample_is_answered_with_its_code(code: str, tmp_path: Path) -> None:
    found = [problem for problem in problems(SAMPLES[code](tmp_path)) if problem.code == code]
    assert found
    check = CHECKS[code]
    for problem in found:
        assert problem.severity in check.severities
        assert problem.message
        assert problem.place
        assert problem.remedy or check.severity == "info"


def test_a_plain_adapter_has_no_problem(tmp_path: Path) -> None:
    assert problems(sample()(tmp_path)) == []


def test_a_code_that_is_not_registered_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So an unknown code can reject an upload, and never pass unexplained."""

    def report(*_: object) -> None:
        CHECKS.problem("invented", "info", "x", "y")

    monkeypatch.setattr("inference_worker.adapter_format.inspect.build_layout", report)
    (problem,) = problems(sample()(tmp_path))
    assert (problem.code, problem.severity) == ("check_crashed", "error")
    assert "UnregisteredProblem" in problem.message
