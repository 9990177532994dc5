"""The exact sign test: whether wins and losses differ by more than chance."""

from __future__ import annotations

import math

#: Differences that chance makes more often than this are said to be none of anybody's doing.
LEVEL = 0.05


def sign_test(wins: int, losses: int) -> float:
    """Two-sided: the chance of a split at least so uneven when wins and losses are equally likely."""
    count, fewer = wins + losses, min(wins, losses)
    if wins == losses:
        return 1.0
    tail = sum(math.comb(count, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)
