"""Templates with alternatives: ``[write|give] the plural of [each|every] word`` stands for four sentences.

Alternatives nest. A template that ends in a question mark is a question; every other one is an imperative phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")


def fill(template: str, rng: Random) -> str:
    """One of the sentences that ``template`` stands for."""
    while match := _INNERMOST.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return tidy(template)


def expansions(template: str) -> Iterator[str]:
    """Every sentence that ``template`` stands for; some may come twice."""
    match = _INNERMOST.search(template)
    if match is None:
        yield tidy(template)
        return
    for choice in match[1].split("|"):
        yield from expansions(template[: match.start()] + choice + template[match.end() :])


def tidy(text: str) -> str:
    """Single blanks, as an empty alternative leaves two."""
    return " ".join(text.split())
