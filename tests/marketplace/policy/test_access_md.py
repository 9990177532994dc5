"""docs/access.md shows the rules as they are."""

from __future__ import annotations

from pathlib import Path

from marketplace.policy import Action
from marketplace.policy.table import LETTERS, table

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "access.md"


def test_the_table_is_the_rules() -> None:
    assert table() in DOCUMENT.read_text(), f"Put this table into docs/access.md:\n{table()}"


def test_every_action_has_a_letter_that_is_explained() -> None:
    text = DOCUMENT.read_text()
    assert set(LETTERS) == set(Action)
    for letter in LETTERS.values():
        assert f"**{letter}** " in text, letter
