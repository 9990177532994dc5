"""A finished merge becomes a private adapter of its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_worker.contracts.merge import MergeRequest, MergeResult
from marketplace import policy
from marketplace.adapters import services as adapters
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.purging import register_emptier
from marketplace.adapters.services.naming import taken_names
from marketplace.adapters.services.parent_names import UNNAMED, is_open
from marketplace.adapters.services.versions import register_follower
from marketplace.compositions.halves import fitted_on_half
from marketplace.compositions.lab.job_examples import forget_examples_of, let_go, take_again
from marketplace.compositions.lab.previews import PREVIEW, SWEEP
from marketplace.compositions.lab.recipes import compare_replay
from marketplace.compositions.lab.sweeps import check_points
from marketplace.core.errors import Conflict, NotFound
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import limit_open, register, register_check, register_failure, register_retry

register_follower(forget_examples_of)
register_emptier(forget_examples_of)
limit_open("merge", "merges")
limit_open(PREVIEW, "previews")
limit_open(SWEEP, "sweeps")


def _free_name(job: Job, wanted: str) -> str:
    """``wanted``, or with a number behind it when it was taken while the merge ran: the work is not lost."""
    taken = taken_names(job.owner)
    for candidate in [wanted, *(f"{wanted[:90]}-{number}" for number in range(2, 1000))]:
        if candidate.lower() not in taken:
            return candidate
    raise Conflict(f"Every variant of the name {wanted} is taken.")


def _common_tags(versions: list[Version]) -> list[str]:
    """Every tag of a parent that all may see, in the parents' order, at most ten, and the mark of a merge."""
    tags = list(dict.fromkeys(tag for version in versions if is_open(version.adapter) for tag in version.adapter.tags))
    return [*[tag for tag in tags if tag != "merge"][:10], "merge"]


def _description(request: MergeRequest, versions: list[Version], *, fitted: bool) -> str:
    """What collaborators read, too: parents that are not everybody's to see stay unnamed and undescribed."""
    named = [version.adapter for version in versions if is_open(version.adapter)]
    unnamed = len(versions) - len(named)
    names = [adapter.full_name for adapter in named]
    names += [UNNAMED if unnamed == 1 else f"{unnamed} private adapters"] if unnamed else []
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    parts = [f"Merged from {listed} by {request.method}."]
    parts += [fitted_on_half(request.method)] if fitted else []
    parts += [f"{adapter.name}: {adapter.description}" for adapter in named]
    return "\n\n".join(parts)


def _planned_versions(job: Job) -> list[Version]:
    """The versions that the plan names, in its order. Raises ``NotFound`` where some were deleted for good."""
    wanted = [member["version"] for member in job.subject["members"]]
    found = Version.objects.select_related("adapter__owner", "artifact").in_bulk(wanted)
    if missing := len(set(wanted) - set(found)):
        raise NotFound(f"{missing} of the adapters that were to be merged are gone for good.")
    return [found[pk] for pk in wanted]


@register_check("merge")
@register_check(PREVIEW)
@register_check(SWEEP)
def check_merge(job: Job) -> None:
    """Every parent is still the owner's to use.

    The planned versions count, not the current ones: a parent whose newest version is being checked does not stop a
    merge of an older one. Raises what ``policy.require`` raises.
    """
    for label, version in zip(_labels(job), _planned_versions(job), strict=True):
        policy.require(job.owner, policy.Action.USE, version.adapter, version=version, label=label)


def _labels(job: Job) -> list[str]:
    """What the parents were called when the merge was planned."""
    merge = job.request["points"][0]["merge"] if job.kind == SWEEP else job.request.get("merge", job.request)
    return [files["label"] for files in merge["adapters"]]


@register_retry(SWEEP)
def check_room(job: Job) -> None:
    """A sweep that is tried again costs what a new one does. Raises ``TooManyRequests``."""
    check_points(job.owner, job.subject["points"], again=job)
    take_again(job)


register_retry("merge")(take_again)
register_retry(PREVIEW)(take_again)
for _kind in ("merge", PREVIEW, SWEEP):
    register_failure(_kind)(let_go)


@register(PREVIEW)
@register(SWEEP)
def record_trial(job: Job, result: dict[str, Any]) -> None:
    """What it found is the job's own result; the examples have done their work."""
    let_go(job)


def _one_weight(parent: Mapping[str, Any]) -> float:
    """A parent's weight as a recipe has it; of one that differs by layer, the mean of its absolute values."""
    weight = float(parent["weight"])
    factors = [abs(float(group["factor"])) for group in parent.get("layer_weights") or ()]
    return abs(weight) * sum(factors) / len(factors) if factors else weight


@register("merge")
def record_merge(job: Job, result: dict[str, Any]) -> None:
    """Create the adapter with its files, recipe, lineage and licence; the job's result learns its name."""
    merged = MergeResult.model_validate(result)
    let_go(job)
    if "repeats" in job.subject:
        replay = compare_replay(job, merged)
        job.result = {**result, "replay": replay}
        if replay["identical"] and not replay["gone"]:
            return  # Every byte is there already.
    request = MergeRequest.model_validate(job.request)
    members = job.subject["members"]
    if merged.found is not None:
        # Lineage tells the weights that were found, not those that the search began with.
        found = [_one_weight(parent) for parent in merged.recipe["parents"]]
        members = [{**member, "weight": weight} for member, weight in zip(members, found, strict=True)]
    versions = _planned_versions(job)
    strongest = max(zip(members, versions, strict=True), key=lambda pair: abs(pair[0]["weight"]))[1]
    licence = job.subject["licence"]
    adapter = adapters.create_adapter_from_files(
        owner=job.owner,
        name=_free_name(job, job.subject["name"]),
        origin=Adapter.Origin.MERGE,
        files=list(merged.files),
        title=job.subject.get("title", ""),
        description=_description(request, versions, fitted=merged.found is not None),
        license=licence["license"],
        tags=_common_tags(versions),
        recipe=merged.recipe,
        lineage=[(version, member["weight"]) for member, version in zip(members, versions, strict=True)],
        operation=request.method,
        prompt_format=strongest.prompt_format,
        private_reason="" if licence["publishable"] else licence["reason"],
    )
    if merged.found is not None:
        adapter.versions.update(fitted_on_half=True)
    job.result = {**(job.result or result), "adapter": adapter.full_name}
