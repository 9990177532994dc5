"""From a recipe to a mergekit file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import GroupWeight
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from inference_worker.contracts.mergekit.methods import FULL_RANK, OTHER_CHANCE, WHOLE_WEIGHTS
from inference_worker.errors import BadInput

#: Modules that stand outside everything else.
_TOP = ("lm_head", "embed_out", "score", "classifier")


def to_mergekit(recipe: MergeRecipe, base: str, adapters: Sequence[str] = ()) -> str:
    """The YAML that makes the same merge on whole models. ``adapters`` are the parents' places, by default their names.

    Raises ``BadInput`` (``bad_mergekit``) naming what mergekit cannot do.
    """
    names = adapters or [parent.label for parent in recipe.parents]
    if len(names) != len(recipe.parents) or not all(names) or not base:
        raise _fault("every parent and the base need a name or folder")
    if recipe.output.include or recipe.output.exclude:
        raise _fault("mergekit merges all modules; this recipe leaves some out")
    options = METHODS[recipe.method].options.model_validate(recipe.options).model_dump() if _known(recipe) else {}
    notes: list[str] = []
    head, shared, own = _describe(recipe, options, notes)
    weights = _weights(recipe, options)
    if recipe.method != "cat" or recipe.output.rank is not None or recipe.output.ranks:
        notes.append(FULL_RANK)
    models = []
    for weight, name in zip(weights, names, strict=True):
        entry: dict[str, Any] = {"model": f"{base}+{name}"}
        settings = ({} if weight is None else {"weight": weight}) | own
        models.append(entry | ({"parameters": settings} if settings else {}))
    document: dict[str, Any] = {"merge_method": head}
    document |= {} if head == "karcher" else {"base_model": base}
    document |= {"models": models} | ({"parameters": shared} if shared else {})
    document |= {} if recipe.output.dtype == "same" else {"out_dtype": recipe.output.dtype}
    comments = "".join(f"# {note[0].upper()}{note[1:]}.\n" for note in dict.fromkeys(notes))
    return comments + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _known(recipe: MergeRecipe) -> bool:
    if recipe.method not in METHODS:
        raise _fault(f"there is no method {recipe.method} here")
    return True


def _fault(reason: str) -> BadInput:
    return BadInput(f"mergekit cannot make this merge: {reason}.", code="bad_mergekit")


def _describe(
    recipe: MergeRecipe, options: dict[str, Any], notes: list[str]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """mergekit's method, the settings for all models, and those that stand with each."""
    method = recipe.method
    if method in ("cat", "svd", "task_arithmetic"):
        return "task_arithmetic", _scaled(options), {}
    if method == "karcher":
        _check_plain(recipe)
        notes.append(WHOLE_WEIGHTS.format(name=method))
        return "karcher", {"max_iter": options["iterations"]}, {}
    if method == "slerp":
        return _slerp(recipe, options)
    if options.get("space") != "dense":
        raise _fault(f"it has no {method} of factors or cores" if "space" in options else f"it has no {method}")
    if method == "sce":
        _check_plain(recipe)
        if options["scaling"] != 1.0:
            raise _fault("sce has no factor on its result")
        return "sce", {"select_topk": options["select"]}, {}
    return _elementwise(recipe, options, notes)


def _elementwise(
    recipe: MergeRecipe, options: dict[str, Any], notes: list[str]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    method, own = recipe.method, {"density": options["density"]}
    shared = _scaled(options)
    if options.get("trim") == "model" and options["density"] < 1.0:
        raise _fault("it trims every tensor by itself (trim=module), not whole adapters")
    signs = options.get("elect_signs", method in ("ties", "dare_ties"))
    if signs:
        shared = _averaged(recipe, options)
    if "rescale" in options:
        if options["rescale"] != "l1" and options["density"] < 1.0:
            raise _fault("it brings dropped entries back by their former sum of sizes only (rescale=l1)")
        notes.append(OTHER_CHANCE)
    if method == "magnitude_prune":
        return "breadcrumbs", shared, own | {"gamma": 0.0}
    if method == "della":
        return ("della" if signs else "della_linear"), shared, own | {"epsilon": options["epsilon"] / 2}
    if method == "breadcrumbs":
        return ("breadcrumbs_ties" if signs else "breadcrumbs"), shared, own | {"gamma": options["gamma"]}
    return method, shared, own


def _averaged(recipe: MergeRecipe, options: dict[str, Any]) -> dict[str, Any]:
    """How signs are elected and averaged. Dividing by the number of adapters is dividing by their weights where all
    have one and the same, up to that weight."""
    if options["majority"] != "total":
        raise _fault("it elects signs by their total, not by the number of adapters (majority)")
    if options["average"] == "sum":
        return {"normalize": False, **_scaled(options)}
    weights = {parent.weight * group.factor for parent in recipe.parents for group in parent.layer_weights}
    weights |= {parent.weight for parent in recipe.parents}
    if any(weight < 0.0 for weight in weights):
        raise _fault("it divides by the sum of signed weights, which differs with negative ones")
    factor = options["scaling"]
    if options["average"] == "count":
        if len(weights) > 1:
            raise _fault("it divides by the adapters' weights, not by their number (average)")
        factor *= next(iter(weights))
    return {"normalize": True, **_scaled({"scaling": factor})}


def _slerp(recipe: MergeRecipe, options: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    _check_plain(recipe)
    if options["norms"] != "mergekit":
        raise _fault("nuslerp does not move sizes in a straight line (norms)")
    return "nuslerp", {}, {}


def _check_plain(recipe: MergeRecipe) -> None:
    if any(parent.weight != 1.0 or parent.layer_weights for parent in recipe.parents):
        raise _fault(f"{recipe.method} there knows no weights")


def _scaled(options: dict[str, Any]) -> dict[str, Any]:
    scaling = options.get("scaling", 1.0)
    return {} if scaling == 1.0 else {"lambda": scaling}


def _weights(recipe: MergeRecipe, options: dict[str, Any]) -> list[Any]:
    """What stands as weight with each model; None where the method has none."""
    if recipe.method in ("sce", "karcher"):
        return [None] * len(recipe.parents)
    if recipe.method == "slerp":
        return [1.0 - options["t"], options["t"]]
    return [_weight(parent) for parent in recipe.parents]


def _weight(parent: RecipeParent) -> Any:
    """A number, or values by parts of tensors' names, of which the first that fits counts in both."""
    if not parent.layer_weights:
        return parent.weight
    conditions = []
    for group in parent.layer_weights:
        value = parent.weight * group.factor
        conditions += [{"filter": name, "value": value} for name in _filters(group)]
    return [*conditions, {"value": parent.weight}]


def _filters(group: GroupWeight) -> list[str]:
    """Parts of names for a selector: ``.3.`` for layer 3, ``.q_proj.`` for a name."""
    selector = group.modules
    if selector == "*":
        return ["*"]
    if "/" in selector or "*" in selector or "?" in selector:
        raise _fault(f"the group {selector} is more than a part of a name")
    if selector.replace("-", "").isdecimal():
        first, _, last = selector.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if len(numbers) > 1000:
            raise _fault(f"the group {selector} has more than 1,000 layers")
        return [f"layers.{number}." for number in numbers]
    # At the top of a model nothing stands before the name.
    return [f"{selector}." if "." in selector or selector in _TOP else f".{selector}."]
