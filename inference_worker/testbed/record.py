"""What trained a part of the testbed, kept beside it, so that no build mixes seeds and recipes unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference_worker.errors import BadInput
from inference_worker.testbed.adapters import AdapterRecipe
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.pretrain import Recipe

#: As JSON has it. What a record does not say counts as unknown, and agrees with everything.
Record = dict[str, Any]

#: What training reads of an adapter's specification; the rest is for people.
TRAINED_BY = (
    *("name", "tasks", "targets", "rank", "effort", "breadth", "rate", "rslora", "dora"),
    *("rank_pattern", "modules_to_save", "base"),
)


def weights_digest(folder: Path) -> str:
    """SHA-256 of a written base's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def base_record(recipe: Recipe, parent: Path | None) -> Record:
    """Seed and recipe of a base, with the digest of the weights that it starts from."""
    return _plain({"recipe": asdict(recipe), "parent": weights_digest(parent) if parent else ""})


def adapter_record(spec: AdapterSpec, recipe: AdapterRecipe, base: Path) -> Record:
    """Seed, recipe and specification of an adapter, with the digest of the base's weights."""
    chosen = {name: getattr(spec, name) for name in TRAINED_BY}
    chosen["rank_pattern"] = dict(spec.rank_pattern)
    return _plain({"recipe": asdict(recipe), "spec": chosen, "base": weights_digest(base)})


def _plain(record: Record) -> Record:
    plain: Record = json.loads(json.dumps(record))
    return plain


def differences(made: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What ``made`` says otherwise than ``asked``, in words."""
    for key in asked:
        if key not in made or made[key] == asked[key]:
            continue
        name = prefix + key
        if isinstance(made[key], Mapping) and isinstance(asked[key], Mapping):
            yield from differences(made[key], asked[key], f"{name}.")
        elif isinstance(asked[key], str | int | float):
            yield f"{name} is {_short(made[key])} and not {_short(asked[key])}"
        else:
            yield f"{name} is another"


def _short(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 40 else str(value)


def require_same(what: str, made: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> None:
    """Raises BadInput that names what differs, where ``what`` was not made as it is asked for now."""
    found = list(differences(made or {}, asked))
    if found:
        raise BadInput(
            f"{what} was made otherwise: {'; '.join(found)}. Build into another folder, or build it anew with --force "
            "and --only."
        )
