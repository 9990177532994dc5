"""Which owner names nobody may take.

``/{owner}/{name}`` shares its first segment with every page of the site, so an owner named like a page could not be
reached (or would take the page's place). These names follow from the URLconf instead of being remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern

#: Segments of protocols and servers in front of the site that no URLconf of ours shows.
_RESERVED = (
    "mix auto static media models datasets spaces api v1 cas resolve raw blob tree login logout signup settings "
    "new search catalogue map upload combine generate port playground jobs account accounts moderation admin "
    "healthz readyz metrics robots.txt favicon.ico well-known docs schema assets health about terms privacy help "
    "organizations users me collections base bases adapter adapters index none null undefined"
)
RESERVED_WORDS = frozenset(_RESERVED.split())

#: Names that people would take for the site's own staff or for a known publisher of models.
_PROTECTED = (
    "administrator root superuser sysadmin moderator moderators staff official support security abuse postmaster "
    "webmaster hostmaster noreply brickyard system operator anonymous everyone "
    "meta meta-llama facebook google deepmind openai anthropic microsoft nvidia apple amazon ibm-granite "
    "huggingface hugging-face huggingfaceh4 huggingfacetb hf transformers mistral mistralai qwen alibaba deepseek "
    "deepseek-ai eleutherai allenai bigscience bigcode stabilityai stability-ai databricks cohere tiiuae "
    "01-ai zai-org xai xai-org moonshotai unsloth nousresearch predibase lorax peft"
)
PROTECTED_NAMES = frozenset(_PROTECTED.split())

_LITERAL = re.compile(r"^\^?([A-Za-z0-9._-]+)")


def canonical(name: str) -> str:
    """Names that look alike are the same name: case, hyphens and underscores do not count."""
    return re.sub(r"[-_]", "", name.casefold())


def first_segments(patterns: Iterable[URLPattern | URLResolver] | None = None) -> frozenset[str]:
    """The literal first path segments of every address in the URLconf, in lower case."""
    found: set[str] = set()
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        route = _route(entry)
        if route:
            found.add(route.lower())
        elif isinstance(entry, URLResolver) and not str(entry.pattern):
            found |= first_segments(entry.url_patterns)
    return frozenset(found)


def _route(entry: URLPattern | URLResolver) -> str:
    """The first segment of one pattern; empty when it begins with a variable or is empty."""
    pattern = entry.pattern
    if isinstance(pattern, RoutePattern):
        segment = str(pattern).partition("/")[0]
        return "" if "<" in segment else segment
    if isinstance(pattern, RegexPattern):
        match = _LITERAL.match(str(pattern).replace("\\", ""))
        return match.group(1) if match else ""
    return ""


@lru_cache(maxsize=1)
def reserved_names() -> frozenset[str]:
    """Every owner name that the site itself needs, in lower case."""
    return first_segments() | RESERVED_WORDS


def is_reserved(name: str) -> bool:
    """Whether the site needs this name as an address. Nobody may have it, however the account is made."""
    return name.lower() in reserved_names() or canonical(name) in {canonical(word) for word in reserved_names()}


def is_protected(name: str) -> bool:
    """Whether the name would pass for the site's staff or a known publisher. An operator may give it out."""
    return canonical(name) in {canonical(word) for word in PROTECTED_NAMES}
