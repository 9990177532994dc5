from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from marketplace.core.glyph import brick_svg, hue_of, notches_of, studs_of


@pytest.mark.parametrize(
    ("rank", "studs"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (8, 4), (16, 5), (64, 7), (128, 8), (4096, 8)]
)
def test_studs_grow_with_the_logarithm_of_the_rank(rank: int, studs: int) -> None:
    assert studs_of(rank) == studs


def test_hue_is_stable_and_ignores_capitals() -> None:
    assert hue_of("wordsmith-v1") == 30
    assert hue_of("Wordsmith-V1") == hue_of("wordsmith-v1")
    assert hue_of("wordsmith-v2") != hue_of("wordsmith-v1")
    assert hue_of("") is None


def test_relatives_have_like_notches() -> None:
    signature = [0.01 * (i % 7 - 3) for i in range(256)]
    near = [value * 1.01 for value in signature]
    assert max(abs(a - b) for a, b in zip(notches_of(signature), notches_of(near), strict=True)) < 0.01
    assert all(0.1 <= height <= 1.0 for height in notches_of([5.0, -5.0] * 128))
    assert notches_of(None) == []


def test_a_merge_is_drawn_as_courses() -> None:
    def bodies(courses: int) -> int:
        root = ET.fromstring(brick_svg(family="b", rank=4, courses=courses))
        return sum(1 for rect in root if float(rect.get("width", 0)) == 46.0 and float(rect.get("height", 0)) > 3)

    assert [bodies(courses) for courses in (1, 2, 3, 9)] == [1, 2, 3, 3]


def test_the_label_is_escaped_and_decoration_is_hidden() -> None:
    assert "&lt;b&gt;&quot;" in brick_svg(family="", rank=1, label='<b>"')
    assert 'aria-hidden="true"' in brick_svg(family="", rank=1)
