"""Settings from files: a recipe, or a mergekit file whose adapters are named ``owner/name``; and mergekit's back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_recipe import MOST_BYTES, MergeRecipe
from inference_worker.contracts.mergekit import adapters_of, read_mergekit, to_mergekit, translate
from inference_worker.errors import BadInput
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.adapters.selectors import recipe_of
from marketplace.compositions.lab.recipes import plan_recipe, read_recipe
from marketplace.compositions.members import Choice, find_adapter, resolve_members, shapes_of
from marketplace.compositions.planning import MergePlan, plan_merge
from marketplace.core.errors import Conflict, Invalid, NotFound


@dataclass(frozen=True)
class FilePlan:
    """A merge as a file describes it, with sentences about where it differs from what made the file."""

    plan: MergePlan
    notes: list[str]


def plan_file(*, user: User, data: bytes) -> FilePlan:
    """The merge that a file describes: JSON is a recipe, all else is read as mergekit's YAML.

    Raises ``Invalid`` for what cannot be read or has no counterpart, and what planning a merge raises.
    """
    if not data.strip():
        raise Invalid("Paste a recipe.json or a mergekit file.")
    if len(data) > MOST_BYTES:
        raise Invalid(f"The file has {len(data):,} bytes; at most {MOST_BYTES:,} are read.")
    if data.lstrip()[:1] == b"{":
        return FilePlan(plan_recipe(user=user, recipe=read_recipe(data), versions=[]), [])
    return plan_mergekit(user=user, text=data)


def plan_mergekit(*, user: User, text: bytes | str) -> FilePlan:
    """The merge of a mergekit file whose models are ``base+owner/name``."""
    try:
        config = read_mergekit(text)
        adapters = [find_adapter(user=user, full_name=entry.model.adapter) for entry in adapters_of(config)]
        members = resolve_members(user=user, members=[(adapter, 1.0) for adapter in adapters])
        merge = translate(config, [list(shapes_of(member)) for member in members])
    except BadInput as error:
        raise Invalid(error.message, code=error.code, extra={"fields": {"file": [error.message]}}) from error
    plan = plan_merge(
        user=user,
        members=[Choice(adapter, weight) for adapter, weight in zip(adapters, merge.weights, strict=True)],
        method=merge.method,
        output=merge.output.model_dump(mode="json"),
        options=merge.options,
        layer_weights=[[group.model_dump() for group in groups] for groups in merge.layer_weights],
    )
    return FilePlan(plan, [f"{note[0].upper()}{note[1:]}." for note in merge.notes])


def changes_of(plan: MergePlan) -> list[str]:
    """In what a merge of the form's settings would differ from ``plan``, in sentences: the form takes current versions
    and lets methods that learn learn again."""
    newer = [m.adapter.full_name for m in plan.members if m.adapter.current_id != m.version.pk]
    found = []
    if newer:
        found.append(
            f"Of {', '.join(newer)} the file means an earlier version, and the form takes the current one. “Make this "
            "merge again” takes the file's."
        )
    info = METHODS[plan.request.method]
    if info.examples and plan.request.fit is None:
        found.append(
            f"From the form, {info.title} finds its weights again. “Make this merge again” takes those of the file."
        )
    return found


def mergekit_of(*, user: policy.Person, adapter: Adapter) -> str:
    """A merge's recipe as a mergekit file with the parents' names here.

    Raises ``NotFound`` for what has no recipe and ``Conflict`` naming what mergekit cannot do.
    """
    table: dict[str, Any] | None = recipe_of(user=user, adapter=adapter)
    if not table:
        raise NotFound(f"{adapter.full_name} has no recipe; it was not made by a merge.")
    recipe: MergeRecipe = read_recipe(table)
    if not all(parent.label for parent in recipe.parents):
        raise Conflict(
            "A parent of this merge is private, so mergekit cannot be told where it is.", code="hidden_parent"
        )
    base = adapter.base.name if adapter.base else adapter.base_name
    try:
        return to_mergekit(recipe, base)
    except BadInput as error:
        raise Conflict(error.message, code=error.code) from error
