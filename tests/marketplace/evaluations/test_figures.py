"""Shares and points in words."""

from __future__ import annotations

import pytest

from marketplace.evaluations.figures import gain, percent, percents, points


@pytest.mark.parametrize(
    ("share", "words"), [(0.85, "85 %"), (29 / 32, "90.6 %"), (1.0, "100 %"), (-1e-17, "0 %"), (0.0004, "0 %")]
)
def test_shares(share: float, words: str) -> None:
    assert percent(share) == words


def test_points_have_their_sign() -> None:
    assert [points(value) for value in (0.75, -1 / 32, 0.0, -0.0004)] == ["+75", "−3.1", "0", "0"]
    assert points(0.6, plus="") == "60"
    assert percents(0.6, 0.955) == "60 to 95.5 %"


def test_what_is_shown_adds_up() -> None:
    for n in (8, 17, 32, 54, 100):
        for right in range(n + 1):
            base, value = right / n, max(right - 1, 0) / n
            shown = [float(percent(share).removesuffix(" %")) for share in (base, value)]
            said = float(points(gain(base, value)).replace("−", "-"))
            assert said == pytest.approx(shown[1] - shown[0])
