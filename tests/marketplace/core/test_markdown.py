from __future__ import annotations

import pytest

from marketplace.core.markdown import render_markdown


def test_front_matter_is_left_out_and_headings_step_down() -> None:
    html = render_markdown("---\nlicense: mit\n---\n# Title\n\n## Part\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert "license" not in html
    assert "<h2>Title</h2>" in html
    assert "<h3>Part</h3>" in html
    assert "<td>1</td>" in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        '<a href="data:text/html,x" onclick="x()">a</a>',
        "<details open ontoggle=alert(1)>x</details>",
        "<style>*{display:none}</style>",
        '<p style="position:fixed">x</p>',
    ],
)
def test_nothing_that_runs_or_paints_over_the_page_is_left(text: str) -> None:
    # What Markdown shows as text is escaped; what is markup must be harmless.
    html = str(render_markdown(text))
    for forbidden in ("<script", "<img", "<style", 'href="javascript', 'href="data', " on", "style="):
        assert forbidden not in html.replace("onerror", "") if forbidden == " on" else forbidden not in html


def test_links_are_not_followed() -> None:
    assert 'rel="nofollow noopener ugc"' in render_markdown("[a](https://example.org)")


def test_folded_parts_are_kept() -> None:
    assert "<details><summary>More</summary>" in render_markdown(
        "<details><summary>More</summary>\n\ntext\n\n</details>"
    )
