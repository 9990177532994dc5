"""The recipe of a merge: all that is needed to make it again, byte for byte. Free of torch.

``recipe.json`` has the number of its form under ``format``. Form 2 is ``MergeRecipe`` as it stands here. Form 1, of
versions before ranks by module, holds ``rank``, ``dtype`` and ``options`` under ``parameters``; it is read as form 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from inference_worker.contracts.common import AdapterFiles, Contract, Sha256
from inference_worker.contracts.faults import faults_in_words
from inference_worker.contracts.merge import MAX_ADAPTERS, MergeRequest
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_methods.lego import with_earlier_start
from inference_worker.contracts.merge_methods.trimming import with_earlier_trim
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput, Weight
from inference_worker.errors import BadInput

FORMAT: Literal[2] = 2
#: A recipe of 64 adapters with a weight for every layer stays below this.
MOST_BYTES = 8 << 20


class RecipeParent(Contract):
    """A parent, its weight, its factors by group of layers, and the sha256 of its two files. ``label`` is for people;
    the site leaves it empty for who may not see that parent."""

    label: str = ""
    weight: Weight
    layer_weights: MemberWeights = ()
    config: Sha256
    weights: Sha256

    @property
    def files(self) -> AdapterFiles:
        return AdapterFiles(label=self.label, config=self.config, weights=self.weights)


class MergeRecipe(Contract):
    """How a merge was made. ``versions`` names what computed it; with others the last bits may differ."""

    format: Literal[2] = FORMAT
    kind: Literal["merge"] = "merge"
    method: str
    options: dict[str, Any] = {}
    output: MergeOutput = MergeOutput()
    seed: int = 0
    parents: tuple[RecipeParent, ...] = Field(min_length=1, max_length=MAX_ADAPTERS)
    versions: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_made(cls, data: Any) -> Any:
        """A merge keeps all its options, so one without ``trim`` or ``start`` is from before there was that choice."""
        info = METHODS.get(data["method"]) if isinstance(data, dict) and isinstance(data.get("method"), str) else None
        options = data.get("options", {}) if info else None
        if info is None or not isinstance(options, Mapping):
            return data
        options = with_earlier_trim(options, info.options.model_fields)
        return {**data, "options": with_earlier_start(options) if info.name == "lego" else options}

    def to_request(self) -> MergeRequest:
        """The closed plan of the same merge. Whoever runs it first makes sure that its owner may use every parent: a
        recipe may have been written by anybody and may name any digest."""
        grouped = any(parent.layer_weights for parent in self.parents)
        return MergeRequest(
            adapters=tuple(parent.files for parent in self.parents),
            weights=tuple(parent.weight for parent in self.parents),
            layer_weights=tuple(parent.layer_weights for parent in self.parents) if grouped else (),
            method=self.method,
            output=self.output,
            seed=self.seed,
            options=self.options,
        )

    def differences(self, versions: Mapping[str, str]) -> list[str]:
        """A sentence for everything whose version is another than when the merge was made."""
        return [
            f"This merge was made with {name} {made}, and this is {versions[name]}: the bytes may differ."
            for name, made in self.versions.items()
            if name in versions and versions[name] != made
        ]


def parse_recipe(data: bytes | str | Mapping[str, Any]) -> MergeRecipe:
    """Read ``recipe.json`` of any form. Raises ``BadInput`` (``bad_recipe``) that says what is wrong with it."""
    table = dict(data) if isinstance(data, Mapping) else _load(data)
    number = table.get("format")
    if table.get("kind") != "merge" or number not in (1, FORMAT):
        raise _bad(
            f"it is of kind {table.get('kind')!r} and format {number!r}; a merge's recipe of format 1 or 2 is expected"
        )
    try:
        return MergeRecipe.model_validate(_from_first_form(table) if number == 1 else table)
    except ValidationError as fault:
        raise _bad("; ".join(faults_in_words(fault)[:5])) from fault


def _load(data: bytes | str) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise _bad(f"it has {len(data):,} bytes, and {MOST_BYTES:,} are the most")
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise _bad(f"it is not JSON ({fault})") from fault
    if not isinstance(table, dict):
        raise _bad("it is not a JSON object")
    return table


def _from_first_form(table: Mapping[str, Any]) -> dict[str, Any]:
    """Form 1 kept rank, type and options under ``parameters``."""
    rest = {key: value for key, value in table.items() if key != "parameters"}
    parameters = table.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters.keys() <= {"rank", "dtype", "options"}:
        raise _bad("parameters: rank, dtype and options are expected")
    output = {key: parameters[key] for key in ("rank", "dtype") if key in parameters}
    made = table.get("versions")
    if isinstance(made, Mapping) and "brickyard" in made:
        # Versions did not count yet, and LoRA-LEGO has learned to find better clusters since.
        rest["versions"] = {**made, "brickyard": f"{made['brickyard']} (form 1)"}
    return rest | {"format": FORMAT, "output": output, "options": parameters.get("options", {})}


def _bad(reason: str) -> BadInput:
    return BadInput(f"The recipe cannot be read: {reason}.", code="bad_recipe")


def check_parents(recipe: MergeRecipe, found: Sequence[AdapterFiles]) -> None:
    """Raise ``BadInput`` (``other_parent``) naming the first of ``found``, in the recipe's order, that is not the
    adapter which the recipe names."""
    if len(found) != len(recipe.parents):
        names = ", ".join(parent.label or parent.weights[:12] for parent in recipe.parents)
        message = f"The recipe has {len(recipe.parents)} parents ({names}), and {len(found)} adapters are given."
        raise BadInput(message, code="other_parent")
    for position, (parent, files) in enumerate(zip(recipe.parents, found, strict=True), start=1):
        other = [name for name in ("config", "weights") if getattr(parent, name) != getattr(files, name)]
        if other:
            words = " and ".join(
                f"{name} {getattr(files, name)[:12]}… instead of {getattr(parent, name)[:12]}…" for name in other
            )
            name = parent.label or "without a name"
            message = f"Parent {position} of the recipe, {name}, is not {files.label}: {words}."
            raise BadInput(message, code="other_parent", extra={"adapter": files.label, "differs": other})
