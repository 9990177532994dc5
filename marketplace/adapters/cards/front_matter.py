"""The YAML block at a card's head. It is untrusted: parsed without tags and aliases, and with bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from marketplace.core.plain_text import storable

MAX_FRONT_MATTER = 64_000
FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(?P<front>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


class CardFault(ValueError):
    """The front matter cannot be read; the message is the end of a sentence."""


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise CardFault("uses YAML aliases")
        return super().compose_node(parent, index)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def split(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, body) of a card. Raises ``CardFault`` for front matter that is no bounded plain YAML mapping."""
    match = FENCE.match(text)
    if match is None:
        return {}, text.removeprefix("\ufeff")
    if len(match["front"]) > MAX_FRONT_MATTER:
        raise CardFault(f"is longer than {MAX_FRONT_MATTER} characters")
    try:
        loaded = yaml.load(match["front"], Loader=_PlainLoader)  # noqa: S506 (a SafeLoader)
    # Beside its own errors, PyYAML lets those of its constructors through: ``!!timestamp x`` is an AttributeError.
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
    ) as fault:
        if isinstance(fault, CardFault):
            raise
        raise CardFault(f"is not valid YAML ({str(fault).splitlines()[0][:120]})") from fault
    if loaded is None:
        return {}, text[match.end() :]
    if not isinstance(loaded, dict):
        raise CardFault("is not a mapping")
    # YAML's escapes write characters that the text itself cannot hold.
    return storable({str(key): value for key, value in loaded.items()}), text[match.end() :]


def join(front: Mapping[str, Any], body: str) -> str:
    text = yaml.dump(dict(front), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{text}---\n{body if body.startswith(chr(10)) else chr(10) + body}"
