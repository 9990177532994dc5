"""Recipes: how a merge was made, read, made again, and made from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.merge import MergeResult
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent, parse_recipe
from inference_worker.errors import BadInput
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Lineage, Version
from marketplace.adapters.selectors import recipe_of, visible_adapters
from marketplace.compositions.members import Choice
from marketplace.compositions.output_fields import write_ranks, write_rule
from marketplace.compositions.planning import MergePlan, plan_merge
from marketplace.compositions.services import check_name, enqueue_merge
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job

#: The files whose bytes a replay is compared by.
COMPARED = ("adapter_config.json", "adapter_model.safetensors")


def read_recipe(data: bytes | str | Mapping[str, Any]) -> MergeRecipe:
    """Raises ``Invalid`` (``bad_recipe``) that says what is wrong with it."""
    try:
        return parse_recipe(data)
    except BadInput as error:
        raise Invalid(error.message, code=error.code, extra={"fields": {"recipe": [error.message]}}) from error


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe for people: ``settings`` are names and values of what is not as it would be by default."""

    method: str
    settings: list[tuple[str, str]]
    parents: list[dict[str, Any]]


def shown_recipe(table: Mapping[str, Any] | None) -> ShownRecipe | None:
    """A version's recipe as ``selectors.recipe_of`` gives it to the reader; None for what is no merge's."""
    if not table:
        return None
    try:
        recipe = parse_recipe(table)
    except BadInput:
        return None
    info, output = METHODS.get(recipe.method), recipe.output
    defaults = info.options().model_dump(mode="json") if info else {}
    settings = [(name, value) for name, value in recipe.options.items() if defaults.get(name) != value]
    written = {
        "rank": write_rule(output.rank),
        "ranks": write_ranks(output.ranks).replace("\n", "; "),
        "number format": "" if output.dtype == "same" else output.dtype,
        "rotated": "yes" if output.rotate else "",
        "only": " ".join(output.include),
        "without": " ".join(output.exclude),
        "seed": str(recipe.seed) if recipe.seed else "",
    }
    shown = [(name.replace("_", " "), str(value)) for name, value in [*settings, *written.items()] if value != ""]
    parents = [
        {"label": parent.label or "a private adapter", "weight": parent.weight, "weights": parent.weights}
        for parent in recipe.parents
    ]
    return ShownRecipe(info.title if info else recipe.method, shown, parents)


def replay_merge(*, user: User, adapter: Adapter, idempotency_key: str | None = None) -> Job:
    """Make a merge again from the versions that its recipe names. Where every byte comes out the same, the job says so
    and nothing new is made; otherwise the result becomes a private adapter of ``user``.

    Raises ``Conflict`` for what is no merge, and what using a parent raises.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to merge adapters.")
    policy.require(user, policy.Action.USE, adapter)
    version = adapter.current
    if version is None or not version.recipe or version.recipe.get("kind", "merge") != "merge":
        raise Conflict(f"{adapter.full_name} was not made by a merge, so there is nothing to repeat.", code="no_recipe")
    # Without the names of parents that this reader may not see: a refusal repeats what the recipe says.
    recipe = read_recipe(recipe_of(user=user, adapter=adapter) or {})
    versions = [
        edge.parent
        for edge in Lineage.objects.filter(child=version).select_related("parent__adapter__owner", "parent__artifact")
    ]
    plan = plan_recipe(user=user, recipe=recipe, versions=versions)
    name = f"{adapter.name[:88]}-again"
    # By its name and bytes of now: both may be gone, or somebody else's secret, when the job ends.
    files = dict(zip(COMPARED, _digests(version), strict=True))
    before = {"of": adapter.full_name, "commit": version.commit, "files": files}
    subject = {"name": name, "title": "", "replay": version.pk, "repeats": before}
    return enqueue_merge(user=user, plan=plan, name=name, subject=subject, idempotency_key=idempotency_key)


def create_merge_from_recipe(
    *, user: User, name: str, recipe: MergeRecipe, title: str = "", idempotency_key: str | None = None
) -> Job:
    """A merge as a recipe says. Its parents are found by the digests of their files among what ``user`` may use.

    Raises ``NotFound`` naming the parents that are not there for them.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to merge adapters.")
    plan = plan_recipe(user=user, recipe=recipe, versions=[])
    return create_planned_merge(user=user, plan=plan, name=name, title=title, idempotency_key=idempotency_key)


def create_planned_merge(
    *, user: User, plan: MergePlan, name: str, title: str = "", idempotency_key: str | None = None
) -> Job:
    """Enqueue what a file described."""
    if known := jobs.known_job(user, "merge", idempotency_key):
        # Its name is taken by now, by its own result.
        return known
    check_name(user, name)
    subject = {"name": name, "title": title}
    return enqueue_merge(user=user, plan=plan, name=name, subject=subject, idempotency_key=idempotency_key)


def plan_recipe(*, user: User, recipe: MergeRecipe, versions: Sequence[Version]) -> MergePlan:
    """The plan of a recipe: of ``versions`` where they have the named bytes, else of what has them. Who has the weight
    0 in it, as in recipes of before such were left out, is not looked for."""
    if any(parent.weight for parent in recipe.parents):
        recipe = recipe.model_copy(update={"parents": tuple(parent for parent in recipe.parents if parent.weight)})
    known = {_digests(version): version for version in versions}
    found = [_choose(user, parent, known.get((parent.config, parent.weights))) for parent in recipe.parents]
    missing = [
        parent.label or f"the adapter with weights {parent.weights[:12]}…"
        for parent, version in zip(recipe.parents, found, strict=True)
        if version is None
    ]
    if missing:
        raise NotFound(f"Not here, or not yours to use: {', '.join(missing)}. The recipe cannot be followed without.")
    members = [
        Choice(version.adapter, parent.weight, version)
        for parent, version in zip(recipe.parents, found, strict=True)
        if version is not None
    ]
    return plan_merge(
        user=user,
        members=members,
        method=recipe.method,
        output=recipe.output.model_dump(mode="json"),
        options=recipe.options,
        seed=recipe.seed,
        layer_weights=[[group.model_dump() for group in parent.layer_weights] for parent in recipe.parents],
        # The recipe has the weights that were found.
        learn=False,
    )


def _digests(version: Version) -> tuple[str, str]:
    return version.artifact.config_blob_id, version.artifact.weights_blob_id


def _choose(user: User, parent: RecipeParent, known: Version | None) -> Version | None:
    """``known`` where ``user`` may use it, else what has the same bytes. What they may see and not use is kept, so that
    planning says why; what they may not see is as if it were not there."""
    if known is not None and policy.may(user, policy.Action.USE, known.adapter, version=known):
        return known
    seen = known is not None and policy.may(user, policy.Action.VIEW, known.adapter, version=known)
    return _find(user, parent) or (known if seen else None)


def _find(user: User, parent: RecipeParent) -> Version | None:
    """A version with these bytes that ``user`` may use, the oldest first."""
    named = Version.objects.filter(
        artifact__config_blob=parent.config,
        artifact__weights_blob=parent.weights,
        adapter__in=visible_adapters(user).values("pk"),
    )
    for version in named.select_related("adapter__owner", "artifact").order_by("pk")[:20]:
        if policy.may(user, policy.Action.USE, version.adapter, version=version):
            return version
    return None


def compare_replay(job: Job, merged: MergeResult) -> dict[str, Any]:
    """What a replay came to: the adapter that it repeats, as it was called when the replay was asked for; whether
    config and weights have the same digests; and whether it is no longer there for the job's owner (``gone``)."""
    version = Version.objects.select_related("adapter__owner", "artifact").filter(pk=job.subject["replay"]).first()
    here = version is not None and policy.may(job.owner, policy.Action.USE, version.adapter, version=version)
    before = job.subject["repeats"]
    written = {file.path: file.sha256 for file in merged.files}
    differs = [path for path in COMPARED if written.get(path) != before["files"][path]]
    return {
        "of": before["of"],
        "commit": before["commit"],
        "identical": not differs,
        "gone": not here,
        "differs": differs,
        "weights": written.get(COMPARED[1], ""),
    }
