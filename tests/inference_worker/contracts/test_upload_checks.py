"""The register of upload checks: its table is up to date, and code and register name the same codes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_worker.contracts.upload_checks import CHECKS, Check, Register, Stage, UnregisteredProblem
from inference_worker.contracts.upload_checks.__main__ import table

ROOT = Path(__file__).parents[3]
#: Functions that make a problem out of a code, wherever they are defined.
REPORTERS = {"error", "warning", "note", "_fault", "_refuse", "problem"}
SOURCES = [ROOT / "inference_worker" / "adapter_format", ROOT / "marketplace"]


def _reported(path: Path) -> Iterator[str]:
    """Codes given to a reporter as a literal or as a constant of the module."""
    text = path.read_text()
    if "adapter_format.faults import" not in text and "uploads.problems import" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in REPORTERS:
            continue
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _constants() -> set[str]:
    """Every text in the code outside the register, for codes that reach a reporter by way of a name."""
    found: set[str] = set()
    for folder in SOURCES:
        for path in folder.rglob("*.py"):
            tree = ast.parse(path.read_text())
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str
            }
    return found


def test_the_table_is_up_to_date() -> None:
    assert (ROOT / "docs" / "upload-checks.md").read_text() == table(), (
        "run: python -m inference_worker.contracts.upload_checks > docs/upload-checks.md"
    )


def test_every_code_that_is_reported_is_registered() -> None:
    reported = {code for folder in SOURCES for path in folder.rglob("*.py") for code in _reported(path)}
    assert len(reported) > 50
    assert {code for code in reported if code not in CHECKS} == set()


def test_every_error_and_warning_has_a_remedy() -> None:
    assert [check.code for check in CHECKS.checks if check.severity != "info" and not check.remedy] == []
    assert all(check.meaning.endswith((".", "…")) for check in CHECKS.checks)


def test_unknown_codes_and_severities_cannot_be_reported() -> None:
    with pytest.raises(UnregisteredProblem, match="no_such_code is unknown"):
        CHECKS.problem("no_such_code", "error", "", "x")
    with pytest.raises(UnregisteredProblem, match="registered as error, not warning"):
        CHECKS.problem("truncated", "warning", "", "x")
    with pytest.raises(ValueError, match="twice"):
        Register([Check("a", "info", Stage.FILES, "A."), Check("a", "info", Stage.ZIP, "B.")])


def test_the_registers_remedy_stands_in() -> None:
    assert CHECKS.problem("truncated", "error", "x", "It ends.").remedy == CHECKS["truncated"].remedy
    assert CHECKS.problem("truncated", "error", "x" * 900, "It ends.", "Do this.").remedy == "Do this."


def test_every_registered_code_is_reported_somewhere() -> None:
    assert {check.code for check in CHECKS.checks} - _constants() == set()
