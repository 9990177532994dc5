"""A card's Markdown as safe HTML. Cards are written by strangers."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

# HTML is let through here because ``nh3`` decides afterwards what stays.
_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "a", "ul", "ol", "li", "strong", "em", "s", "code", "pre", "blockquote"),
    *("hr", "br", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "sub", "sup", "kbd"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
#: Longer cards are cut; the file itself stays complete.
MAX_LENGTH = 200_000


def without_front_matter(text: str) -> str:
    """The card without the YAML block at its head."""
    return _FRONT_MATTER.sub("", text, count=1)


@lru_cache(maxsize=64)
def render_markdown(text: str) -> SafeString:
    """CommonMark with tables and a little harmless HTML, without scripts, styles and images; links are nofollow."""
    tokens = _PARSER.parse(without_front_matter(text.replace("\r\n", "\n"))[:MAX_LENGTH])
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            # The page has the only first heading.
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    cleaned = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener ugc",
    )
    return mark_safe(cleaned)  # noqa: S308
