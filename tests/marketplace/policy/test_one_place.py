"""Rights are compared in ``marketplace/policy`` alone: nobody else asks who owns what, who is staff, what is public."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: Attributes of people and things that answer a question of rights when they are compared or tested.
_TELLING = {
    *("owner_id", "sender_id", "receiver_id", "author_id", "visibility"),
    *("is_staff", "is_superuser", "is_moderator", "has_perm", "is_active"),
}
#: What else compares these, and why that is no question of rights. Function names count, not lines.
_OTHER_QUESTIONS = {
    "marketplace/accounts/authentication.py:authenticate": "whether a token still works at all",
    "marketplace/adapters/services/renaming.py:locked_with_owner": "whether it changed hands just now",
    "marketplace/adapters/access_mails.py:_write": "whether somebody can be written to",
}
_STATE_KEEPERS = {
    "marketplace/adapters/services/visibility.py": "keeps what visibility may become",
    "marketplace/adapters/services/publishing.py": "checks what visibility is asked for",
    "marketplace/adapters/services/deleting.py": "what visibility a restored adapter comes back with",
    "marketplace/adapters/services/renaming.py": "whether it changed hands just now",
    "marketplace/adapters/services/transfers.py": "whether an offer is to oneself",
    "marketplace/adapters/services/naming.py": "which names were an owner's",
    "marketplace/adapters/imports/bulk.py": "what visibility a list of imports asks for",
    "marketplace/adapters/services/editing.py": "whether a visibility is a change",
}


def _sources() -> list[Path]:
    found = (ROOT / "marketplace").rglob("*.py")
    return [path for path in found if "/policy/" not in str(path) and "/migrations/" not in str(path)]


def _comparisons(path: Path) -> Iterator[tuple[str, int, str]]:
    """(function, line, attribute) of every comparison, negation and truth test on a telling attribute."""
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            parts: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
            elif isinstance(node, ast.BoolOp):
                parts = node.values
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                parts = [node.operand]
            elif isinstance(node, ast.If | ast.IfExp | ast.While):
                parts = [node.test]
            elif isinstance(node, ast.Call):
                parts = [node.func] if isinstance(node.func, ast.Attribute) and node.func.attr == "has_perm" else []
            for part in parts:
                if isinstance(part, ast.Attribute) and part.attr in _TELLING:
                    yield function.name, node.lineno, part.attr


def test_no_source_compares_rights_by_itself() -> None:
    found = []
    for path in _sources():
        name = str(path.relative_to(ROOT))
        if name in _STATE_KEEPERS:
            continue
        for function, line, attribute in _comparisons(path):
            if f"{name}:{function}" not in _OTHER_QUESTIONS:
                found.append(f"{name}:{line} {function} looks at {attribute}")
    assert sorted(set(found)) == [], "ask marketplace.policy instead"


@pytest.mark.parametrize("folder", ["templates", "marketplace"])
def test_no_template_compares_rights_by_itself(folder: str) -> None:
    asked = re.compile(r"\{%-?\s*(?:if|elif)[^%]*\b(?:is_staff|is_superuser|is_moderator|owner_id|owner ==|== user\b)")
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in (ROOT / folder).rglob("*.html")
        for match in asked.finditer(path.read_text())
    ]
    assert found == []
