"""Documents name what exists: functions, files, commands, addresses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from inference_worker.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md")]
_REFERENCE = re.compile(r"`((?:marketplace|inference_worker|scripts|tests)/[\w/]+\.py):(\w+)`")


def references() -> list[tuple[str, str]]:
    found = {match for document in DOCUMENTS for match in _REFERENCE.findall(document.read_text(encoding="utf-8"))}
    return sorted(found)


def definitions(path: Path) -> set[str]:
    """Functions and classes at the top of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "name"), references(), ids=lambda part: str(part).rsplit("/", 1)[-1])
def test_every_named_function_exists(file: str, name: str) -> None:
    assert (ROOT / file).is_file()
    assert name in definitions(ROOT / file)


def test_the_four_paths_are_walked() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for title in ("## One upload", "## One search", "## One merge", "## One generation"):
        section = text.split(f"{title}\n")[1].split("\n## ")[0]
        assert len(_REFERENCE.findall(section)) >= 4, title


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:marketplace|inference_worker|scripts|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_and_commands_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    managed = {path.stem for path in (ROOT / "marketplace").glob("*/management/commands/*.py")} | {
        "createsuperuser",
        "migrate",
    }
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= managed
    for names in re.findall(r"python -m inference_worker ([a-z|]+)", text):
        assert set(names.split("|")) <= set(COMMANDS)
