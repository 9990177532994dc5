"""How an answer is scored against the expected one."""

from __future__ import annotations

from collections import Counter


def exact_match(answer: str, expected: str) -> bool:
    """Whether the words agree, in order; blanks at the ends and between words do not count."""
    return answer.split() == expected.split()


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall of the answer's words, as in SQuAD (Rajpurkar et al., 2016); 0 to 1.

    Two empty answers agree; an empty one and another do not.
    """
    given, wanted = Counter(answer.split()), Counter(expected.split())
    if not given or not wanted:
        return float(given == wanted)
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total())
