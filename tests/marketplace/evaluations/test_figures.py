"""Shares and points in words."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

from marketplace.evaluations.figures import gain, percent, percents, points
from marketplace.evaluations.reports import Line


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


def test_parts_say_how_many_examples_and_their_gain() -> None:
    """Without an interval of it: nobody judged so few."""
    base, value = ({"exact_match": {"value": share, "low": 0.0, "high": 1.0, "n": 4}} for share in (0.25, 0.75))
    row = Line("cluster", base, value).row("exact_match")
    assert (row["gain"], row["difference"], row["value"]["n"]) == (0.5, None, 4)
    page = render_to_string("evaluations/table.html", {"result": {"where": "A suite", "rows": [row]}})
    assert '<td class="num">4</td>' in page
    assert '<td class="num">+50</td>' in page
    assert "not judged" in page
