"""How a base is named in settings, and base shapes: its config read on the meta device, without weights.

Marketplace and workers read the same setting ``DEFAULT_BASE``; only where both make the same name and source of it does
a request find the worker that has the base in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inference_worker.contracts.common import BaseFiles, Contract

#: Bases that come with this repository: name → directory.
_SHIPPED = Path(__file__).resolve().parents[1] / "testbed" / "shipped"
SHIPPED_BASES = {
    "wordsmith-v1": _SHIPPED / "base",
    # Trained on from the first one.
    "wordsmith-v2": _SHIPPED / "bases" / "wordsmith-v2",
}


def is_directory(setting: str) -> bool:
    """Whether a setting means a directory; everything else is a shipped base's name or a hub's id."""
    return setting in (".", "..") or setting.startswith(("/", "./", "../", "~"))


def base_name(setting: str) -> str:
    """A base's name from a setting: directories count by their last part."""
    return Path(setting).expanduser().resolve().name if is_directory(setting) else setting


def base_source(setting: str) -> str:
    """Where a base is found: the shipped directory, the absolute path of a directory, or the hub's id as it is."""
    if setting in SHIPPED_BASES:
        return str(SHIPPED_BASES[setting])
    return str(Path(setting).expanduser().resolve()) if is_directory(setting) else setting


def base_files(setting: str, revision: str = "") -> BaseFiles:
    """The base that a setting names; a revision pins a hub's repository and says nothing of a directory."""
    source = base_source(setting)
    return BaseFiles(
        name=base_name(setting), source=source, revision=None if is_directory(source) else revision or None
    )


#: The task of models that fill in masked words; PEFT has no name for it.
MASKED_LM = "MASKED_LM"
#: The key of names that count whatever the adapter's task is.
ANY_TASK = "*"


class BaseShapesRequest(Contract):
    base: BaseFiles


class BaseShapesResult(Contract):
    """``shapes`` maps every adaptable module's dotted name to (d_out, d_in), as the class of ``task`` names it; an
    embedding has (width, tokens). ``variants`` holds per other task, and under ``ANY_TASK``, the modules that have
    another name or shape there. ``fingerprint`` is the sha256 of the sorted shapes, ``tokenizer_hash`` of the
    tokenizer's canonical JSON."""

    config: dict[str, Any]
    shapes: dict[str, tuple[int, int]]
    fingerprint: str
    #: PEFT's task type of the class that the checkpoint was saved as, or ``MASKED_LM``.
    task: str = "CAUSAL_LM"
    variants: dict[str, dict[str, tuple[int, int]]] = {}
    tokenizer_hash: str = ""
    chat_template: str = ""
    parameters: int = 0
    #: Sentences about what the base is not good for.
    notes: tuple[str, ...] = ()
