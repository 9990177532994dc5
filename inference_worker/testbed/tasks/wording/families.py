"""Reads the tables of wordings and fills each family's slots into the templates of its kind."""

from __future__ import annotations

from dataclasses import dataclass

from inference_worker.testbed.tasks.wording.choices import CHOICES
from inference_worker.testbed.tasks.wording.grammar import GRAMMAR
from inference_worker.testbed.tasks.wording.insertions import INSERTIONS
from inference_worker.testbed.tasks.wording.kinds import KINDS
from inference_worker.testbed.tasks.wording.knowledge import KNOWLEDGE
from inference_worker.testbed.tasks.wording.positions import POSITIONS


@dataclass(frozen=True)
class Wording:
    """Templates of one family; ``{p}`` stands for the parameter. ``topic`` is a noun phrase for descriptions."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    topic: str


def _blocks(text: str) -> dict[str, list[str]]:
    """Name -> lines, of blocks that begin with ``# name``."""
    blocks: dict[str, list[str]] = {}
    for block in text.strip().split("# ")[1:]:
        name, *lines = block.strip().splitlines()
        blocks[name] = lines
    return blocks


def _halves(lines: list[str]) -> tuple[list[str], list[str]]:
    cut = lines.index("--") if "--" in lines else len(lines)
    return lines[:cut], lines[cut + 1 :]


_KINDS = {name: _halves(lines) for name, lines in _blocks(KINDS).items()}


def _wording(lines: list[str]) -> Wording:
    slots = dict(line.split(": ", 1) for line in lines if line.partition(": ")[0] in _SLOTS)
    seen, unseen = _halves([line for line in lines if line.partition(": ")[0] not in _SLOTS])
    if "kind" in slots:
        shared = _KINDS[slots["kind"]]
        seen, unseen = shared[0] + seen, shared[1] + unseen
    if "I" in slots and "Is" not in slots:
        slots["Is"] = "|".join(f"{item}s" for item in slots["I"].split("|"))
    return Wording(
        tuple(_filled(line, slots) for line in seen), tuple(_filled(line, slots) for line in unseen), slots["topic"]
    )


_SLOTS = frozenset(("kind", "topic", "N", "I", "Is", "O", "S", "L", "X", "A", "M"))


def _filled(template: str, slots: dict[str, str]) -> str:
    for name, value in slots.items():
        template = template.replace("{" + name + "}", f"[{value}]" if "|" in value else value)
    return template


#: Family -> its wordings.
WORDINGS: dict[str, Wording] = {
    name: _wording(lines)
    for text in (GRAMMAR, KNOWLEDGE, POSITIONS, INSERTIONS, CHOICES)
    for name, lines in _blocks(text).items()
}
