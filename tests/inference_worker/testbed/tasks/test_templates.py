"""Alternatives in templates."""

from __future__ import annotations

from random import Random

import pytest

from inference_worker.testbed.tasks.wording import WORDINGS, expansions, fill


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("no choice", {"no choice"}),
        ("[write|give] it", {"write it", "give it"}),
        ("a [b|c [d|e]] f", {"a b f", "a c d f", "a c e f"}),
        ("put [any|] one", {"put any one", "put one"}),
    ],
)
def test_expansions_are_all_that_fill_can_give(template: str, texts: set[str]) -> None:
    assert set(expansions(template)) == texts
    rng = Random(0)
    assert {fill(template, rng) for _ in range(60)} == texts


def test_every_slot_of_every_family_is_filled() -> None:
    for family, wording in WORDINGS.items():
        for template in (*wording.seen, *wording.unseen, wording.topic):
            assert not set(template.replace("{p}", "")) & set("{}"), family
            assert template.count("[") == template.count("]"), family
