"""What a merge will be: members resolved and authorised, settings checked, a closed request. Merges, previews and
sweeps are planned here alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from inference_worker.contracts.common import Contract
from inference_worker.contracts.faults import fault_words, faults_in_words
from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_checks import (
    AdapterNames,
    check_ranks,
    check_request,
    check_weights,
    present_weights,
)
from inference_worker.contracts.merge_fit import MergeFit
from inference_worker.contracts.merge_limits import CARRIED
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import MergeOutput
from inference_worker.errors import BadInput
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions import verdict
from marketplace.compositions.fit_examples import examples_for
from marketplace.compositions.members import MAX_MEMBERS, Choice, Member, check_weight, resolve_members, shapes_of
from marketplace.core.errors import Invalid, NotAuthenticated

RANK_WORDS = 'Give a number from 1 to 4096, “same”, {"energy": share} or, for LoRA-LEGO, {"inertia": share}.'
#: Options that only matter with one kind of rule or another are named by the field that people filled in.
_SHARE_WORDS = (
    "Only LoRA-LEGO has clusters whose inertia could be kept. Give an energy instead.",
    "LoRA-LEGO keeps a share of its clusters' inertia. Give an inertia instead of an energy.",
)
_MERGE_FIELDS = ("weights", "layer_weights", "seed", "method", "adapters")


@dataclass(frozen=True)
class MergePlan:
    """``verdict`` is what was said about the members, with the licence that the result has."""

    members: list[Member]
    request: MergeRequest
    verdict: dict[str, Any]

    @property
    def subject(self) -> dict[str, Any]:
        """What recorders need: the planned versions, their weights, the licence."""
        return {
            "members": [{"version": member.version.pk, "weight": member.weight} for member in self.members],
            "licence": self.verdict["licence"],
        }

    @property
    def names(self) -> list[str]:
        return [member.adapter.full_name for member in self.members]


def invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {field: [sentence]}})


def plan_merge(
    *,
    user: User,
    members: Sequence[tuple[Adapter, float] | Choice],
    method: str,
    output: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    layer_weights: Sequence[Sequence[Mapping[str, Any]]] = (),
    learn: bool = True,
) -> MergePlan:
    """Check everything that can be told before the work. Without ``learn``, methods that find the weights from examples
    take those given, as a recipe has them.

    Raises ``NotAuthenticated``, ``Invalid`` (members, shapes, method, options, output) with the fields at fault, and
    what resolving the members raises.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to merge adapters.")
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise invalid("members", f"Choose between 1 and {MAX_MEMBERS} adapters.")
    parsed = checked_options(method, options or {})
    written = checked_output(output or {})
    resolved = resolve_members(user=user, members=members)
    # Weights that are found from examples are not judged by those given.
    found = learn and METHODS[method].examples
    judged = verdict.plan_verdict([replace(one, weight=1.0) for one in resolved] if found else resolved, layer_weights)
    _check_legal(judged, resolved, method, parsed)
    fit = examples_for(user, resolved, method) if learn else None
    request = _request(resolved, method, written, parsed, seed, layer_weights, fit)
    return MergePlan(resolved, request, judged)


def vary(
    plan: MergePlan,
    *,
    weights: Sequence[float],
    method: str,
    output: Mapping[str, Any],
    options: Mapping[str, Any],
) -> MergePlan:
    """The same adapters merged otherwise; nothing about them is asked for again. Raises ``Invalid``."""
    if METHODS[method].examples and plan.request.fit is None:
        title = METHODS[method].title
        raise invalid("sweep_methods", f"{title} finds its weights itself; choose it as the merge's own method.")
    parsed, written = checked_options(method, options), checked_output(output)
    for member, weight in zip(plan.members, weights, strict=True):
        check_weight(weight, member.adapter.full_name)
    members = [replace(member, weight=weight) for member, weight in zip(plan.members, weights, strict=True)]
    groups = [[group.model_dump() for group in groups] for groups in plan.request.layer_weights]
    fit = plan.request.fit if METHODS[method].examples else None
    # Another adapter may be absent, by its weight 0, than in the first plan.
    same = [bool(one.weight) for one in plan.members] == [bool(weight) for weight in weights]
    same = fit is not None or (same and plan.request.fit is None)
    judged = plan.verdict if same else verdict.plan_verdict(members, groups)
    _check_legal(judged, members, method, parsed)
    request = _request(members, method, written, parsed, plan.request.seed, groups, fit)
    return MergePlan(members, request, judged)


def without_absent(plan: MergePlan) -> MergePlan:
    """The plan of a merge that is kept. Who has the weight 0 in every module leaves nothing in it and is no parent:
    neither recipe nor lineage names them, and no quarantine of theirs reaches it. Where weights are found, all take
    part in the search. Raises ``Invalid`` for a selector that fits them alone."""
    groups = [[group.model_dump() for group in own] for own in plan.request.layer_weights]
    kept = verdict.taking_part(plan.members, groups)
    if plan.request.fit is not None or len(kept) == len(plan.members):
        return plan
    places = [place for place, member in enumerate(plan.members) if any(member is one for one in kept)]
    changed = {
        "adapters": [member.files for member in kept],
        "weights": [member.weight for member in kept],
        "layer_weights": [groups[place] for place in places] if groups else [],
    }
    request = MergeRequest.model_validate(plan.request.model_dump() | changed)
    _check_settings(request, kept)
    return MergePlan(kept, request, plan.verdict)


def checked_options(method: str, options: Mapping[str, Any]) -> Contract:
    """The method's options with unknown or wrong ones refused by name."""
    info = METHODS.get(method)
    if info is None:
        raise invalid("method", f"There is no merge method “{method}”. Choose one of: {', '.join(sorted(METHODS))}.")
    try:
        return info.options.model_validate(dict(options))
    except ValidationError as error:
        faults = faults_in_words(error, info.options.model_fields)
        raise Invalid(
            f"The options of {method} have faults. {'; '.join(faults)}", extra={"fields": {"options": faults}}
        ) from error


def checked_output(output: Mapping[str, Any]) -> MergeOutput:
    """What is to be written, with each fault under the field that it concerns."""
    try:
        return MergeOutput.model_validate(dict(output))
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for fault in error.errors():
            name = str(fault["loc"][0]) if fault["loc"] else "output"
            of_rank = "rank" in (name, *map(str, fault["loc"]))
            sentence = RANK_WORDS if of_rank else fault_words(fault)
            if sentence not in fields.setdefault(name, []):
                fields[name].append(sentence)
        words = "; ".join(f"{name}: {' '.join(sentences)}" for name, sentences in fields.items())
        raise Invalid(f"What is to be written has faults. {words}", extra={"fields": fields}) from error


def _check_legal(judged: dict[str, Any], members: Sequence[Member], method: str, options: Contract) -> None:
    """Raise ``Invalid`` for what the worker would refuse."""
    if not judged["mergeable"]:
        faults = [f"{row['label']}: {row['value']}. {row['detail']}" for row in judged["checks"] if row["ok"] is False]
        extra = {"fields": {"members": faults}, "leave_out": judged["leave_out"]}
        raise Invalid(f"These adapters cannot be merged. {' '.join(faults)}", extra=extra)
    if reason := verdict.method_refusal(method, members, options):
        raise invalid("method", f"{METHODS[method].title} cannot merge these adapters. {reason}")


def caveats_of(members: Sequence[Member], method: str, options: Mapping[str, Any]) -> list[str]:
    """What to know before merging ``members`` by ``method``, in sentences; nothing for options that have faults."""
    info = METHODS[method]
    facts = [verdict.facts_of(member) for member in members if member.weight]
    try:
        return info.caveats(facts, checked_options(method, options))
    except Invalid:
        return []


def _check_settings(request: MergeRequest, members: Sequence[Member]) -> None:
    """Raise ``Invalid`` for settings that the worker would refuse, by the worker's own rules."""
    known = all(member.artifact.modules for member in members)
    try:
        if known:
            check_request(request, [_names_of(member) for member in members])
            _check_weights_by_layer(request, members)
        else:
            check_ranks(request.output, METHODS[request.method])
            check_weights(request.weights, request.layer_weights)
    except BadInput as error:
        # The command line writes shares otherwise than pages and REST do.
        words = _SHARE_WORDS[request.method == "lego"] if error.code == "bad_rank" else f"{error.message.rstrip('.')}."
        raise invalid(str(error.extra.get("field", "merge")), words) from error


def _check_weights_by_layer(request: MergeRequest, members: Sequence[Member]) -> None:
    """Raise ``Invalid`` where the method cannot merge these members at the weights that single modules have."""
    info = METHODS[request.method]
    pairs = zip(members, request.layer_weights, strict=True) if request.layer_weights else ()
    facts = [
        replace(
            verdict.facts_of(member), weights=present_weights(shapes_of(member), member.weight, own, request.output)
        )
        for member, own in pairs
        if member.weight
    ]
    if refusal := info.refusal(facts, info.options.model_validate(request.options)) if facts else None:
        raise invalid("layer_weights", f"{info.title} {refusal.words}.")


def _names_of(member: Member) -> AdapterNames:
    """Whole tensors are not listed by the inspection: where there are some, a selector may mean them."""
    carried = CARRIED & set(member.artifact.summary.get("features", []))
    return AdapterNames(member.adapter.full_name, list(shapes_of(member)), None if carried else ())


def _request(
    members: Sequence[Member],
    method: str,
    output: MergeOutput,
    options: Contract,
    seed: int,
    layer_weights: Iterable[Sequence[Mapping[str, Any]]],
    fit: MergeFit | None,
) -> MergeRequest:
    groups = [list(groups) for groups in layer_weights]
    try:
        request = MergeRequest.model_validate(
            {
                "adapters": [member.files for member in members],
                "weights": [member.weight for member in members],
                "layer_weights": groups if any(groups) else [],
                "method": method,
                "output": output,
                "seed": seed,
                "options": options.model_dump(mode="json"),
                "fit": fit,
            }
        )
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for fault in error.errors():
            name = str(fault["loc"][0]) if fault["loc"] and fault["loc"][0] in _MERGE_FIELDS else "merge"
            fields.setdefault(name, []).append(fault_words(fault))
        words = "; ".join(f"{field}: {' '.join(sentences)}" for field, sentences in fields.items())
        raise Invalid(f"The merge has faults. {words}", extra={"fields": fields}) from error
    _check_settings(request, members)
    return request
