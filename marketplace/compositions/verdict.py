"""What can be said about a set of adapters before they are merged, without a worker and without the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_checks import present_weights
from inference_worker.contracts.merge_limits import ALONE, CARRIED, NEVER
from inference_worker.contracts.merge_methods import METHODS, MemberFacts
from inference_worker.contracts.merge_output import PLAIN_OUTPUT, GroupWeight
from marketplace.adapters.licences import LicenceVerdict, merge_licence, obligations_of
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import Member, conflicting_shapes, shapes_of

#: Per member factors on its weight, as plans and REST write them: ``modules`` and ``factor``.
LayerWeights = Sequence[Sequence[Mapping[str, Any]]]
#: From this cosine of signatures on, two adapters are near-duplicates (see the architecture, "Data").
NEAR_DUPLICATE = 0.98
#: Beside the exact cosine of a compared pair this is another number.
SKETCHED = "Estimated from sketches; compared pairs have their measured cosine."
#: How the reason begins that a merge has from a parent.
PASSED_ON = "A parent must stay private: "


def _check(code: str, ok: bool | None, label: str, value: str, detail: str = "") -> dict[str, Any]:
    """One row of the verdict; ``ok`` None means a caveat."""
    return {"code": code, "ok": ok, "label": label, "value": value, "detail": detail}


def _base_check(members: Sequence[Member]) -> dict[str, Any]:
    names = sorted({m.adapter.base.name if m.adapter.base else m.adapter.base_name or "unknown" for m in members})
    if len(names) == 1:
        return _check("base", True, "Same base", names[0])
    return _check(
        "base",
        None,
        "Same base",
        ", ".join(names),
        "The shapes decide whether a merge is possible, but adapters of different bases rarely work together.",
    )


def _tokenizer_check(members: Sequence[Member]) -> dict[str, Any] | None:
    """Whether all bases cut text alike, as far as their tokenizers are known."""
    bases = {member.adapter.base for member in members if member.adapter.base and member.adapter.base.tokenizer_hash}
    if len(bases) < 2:
        return None
    if len({base.tokenizer_hash for base in bases}) == 1:
        return _check("tokenizer", True, "Same tokenizer", "yes")
    detail = "Adapters trained on other tokens read something else than they learnt."
    return _check("tokenizer", None, "Same tokenizer", "no", detail)


def _shape_check(members: Sequence[Member]) -> dict[str, Any]:
    conflicts = conflicting_shapes(members)
    return _check("shapes", not conflicts, "Same shapes", "no" if conflicts else "yes", " ".join(conflicts[:5]))


def _overlap_check(members: Sequence[Member]) -> dict[str, Any]:
    sets = [set(shapes_of(member)) for member in members]
    union = set.union(*sets)
    shared = set.intersection(*sets)
    detail = "" if shared == union else "A module that an adapter lacks counts as no change; nothing is renormalised."
    return _check("overlap", True if shared else None, "Shared modules", f"{len(shared)} of {len(union)}", detail)


def _refusals(members: Sequence[Member]) -> list[tuple[str, str]]:
    """Per feature that the worker would refuse, whose it is and a sentence with the way out."""
    found, others = [], len(members) > 1
    for member in members:
        name = member.adapter.full_name
        for feature in member.artifact.summary.get("features", []):
            if feature in NEVER:
                found.append((name, f"{name} cannot be merged: {NEVER[feature]}.{' Leave it out.' if others else ''}"))
            elif feature in ALONE and (others or member.weight != 1.0):
                way = "Leave it out, or choose it alone." if others else "Give it the weight 1."
                found.append((name, f"{name} can only be carried through alone: {ALONE[feature]}. {way}"))
    return found


def _to_leave_out(members: Sequence[Member]) -> list[str]:
    """The names of those without whom the others may be merged."""
    refused = list(dict.fromkeys(name for name, _ in _refusals(members)))
    return refused if len(refused) < len(members) else []


def _task_refusals(members: Sequence[Member]) -> list[str]:
    """One sentence where members were trained for different tasks; an unnamed task goes with any."""
    tasks = [(member.adapter.full_name, member.artifact.summary.get("task_type")) for member in members]
    named = [(name, task) for name, task in tasks if task]
    for name, task in named[1:]:
        first, other = named[0]
        if task != other:
            models = f"it was trained for the task {task} and {first} for {other}, whose models differ"
            return [f"{name} cannot be merged with {first}: {models}."]
    return []


def _feature_check(members: Sequence[Member]) -> dict[str, Any] | None:
    """Beyond low rank: what is refused, and what can be carried over from one parent only."""
    refusals = [sentence for _, sentence in _refusals(members)] + _task_refusals(members)
    if refusals:
        return _check("features", False, "Beyond low rank", "refused", " ".join(refusals))
    holders = [
        f"{m.adapter.full_name}: {', '.join(carried)}"
        for m in members
        if (carried := sorted(CARRIED & set(m.artifact.summary.get("features", []))))
    ]
    if not holders:
        return None
    detail = "Whole tensors are carried over from one parent; where several bring them, their bytes must agree."
    return _check("features", True if len(holders) == 1 else None, "Beyond low rank", "; ".join(holders), detail)


def facts_of(member: Member) -> MemberFacts:
    """What the methods' own rules look at."""
    ranks = {module["name"]: module["rank"] for module in member.artifact.modules}
    return MemberFacts(
        label=member.adapter.full_name,
        weight=member.weight,
        ranks=ranks,
        features=frozenset(member.artifact.summary.get("features", [])),
    )


def method_refusal(name: str, members: Sequence[Member], options: Contract | None = None) -> str:
    """Why this method cannot merge these members, as a sentence; empty when it can."""
    info = METHODS[name]
    refusal = info.refusal([facts_of(member) for member in members if member.weight], options)
    return f"{info.title} {refusal.words}." if refusal else ""


def _similarity_check(members: Sequence[Member]) -> dict[str, Any] | None:
    """The largest cosine between two members' signatures: how alike their changes are, whatever their gauge."""
    vectors = [
        (m.adapter.full_name, np.asarray(m.artifact.signature, dtype=np.float32))
        for m in members
        if m.artifact.signature is not None
    ]
    pairs = [
        (float(np.dot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)), left, right)
        for i, (left, a) in enumerate(vectors)
        for right, b in vectors[i + 1 :]
    ]
    if not pairs:
        return None
    cosine, left, right = max(pairs)
    near = cosine >= NEAR_DUPLICATE
    detail = f"{left} and {right} are near-duplicates." if near else f"Closest pair: {left} and {right}."
    return _check(
        "similarity", None if near else True, "Closest changes", f"about {cosine:.2f}", f"{detail} {SKETCHED}"
    )


def _licence(members: Sequence[Member]) -> LicenceVerdict:
    """The licence of a merge. A parent that had to stay private for its own licence passes that on, without its name:
    the reason is kept with the merge, and whoever sees that reads it."""
    verdict = merge_licence([member.adapter.license for member in members])
    bound = _bound(members)
    if bound is None or not verdict.publishable:
        return verdict
    reason = f"{PASSED_ON}{bound.private_reason.removeprefix(PASSED_ON)}"
    return replace(verdict, publishable=False, reason=reason)


def _bound(members: Sequence[Member]) -> Adapter | None:
    """The first parent that must stay private."""
    return next((member.adapter for member in members if member.adapter.private_reason), None)


def _licence_check(members: Sequence[Member], licence: LicenceVerdict) -> dict[str, Any]:
    """The row of the verdict, which is for who may see every member, names the parent."""
    bound = _bound(members) if licence.reason.startswith(PASSED_ON) else None
    detail = f"{licence.reason} (This is {bound.full_name}.)" if bound else licence.reason
    return _check("licence", True if licence.publishable else None, "Licence", licence.license, detail)


def taking_part(members: Sequence[Member], layer_weights: LayerWeights = ()) -> list[Member]:
    """Those that the worker merges, by its own rule: who has the weight 0 in every module is absent with licence,
    features and shapes. All of them where nobody is left, which is refused for its own reason."""
    groups = [_groups(rows) for rows in layer_weights] if len(layer_weights) == len(members) else [()] * len(members)
    present = [
        member
        for member, own in zip(members, groups, strict=True)
        if not (modules := shapes_of(member)) or present_weights(modules, member.weight, own, PLAIN_OUTPUT)
    ]
    return present or list(members)


def _groups(rows: Sequence[Mapping[str, Any]]) -> tuple[GroupWeight, ...]:
    """None where they have faults: those are told by who plans the merge."""
    try:
        return tuple(GroupWeight.model_validate(dict(row)) for row in rows)
    except ValidationError:
        return ()


def plan_verdict(members: Sequence[Member], layer_weights: LayerWeights = ()) -> dict[str, Any]:
    """Checks, legal methods and the licence that a merge of ``members`` would carry, of those that take part in it."""
    members = taking_part(members, layer_weights)
    licence = _licence(members)
    bases = {member.adapter.base.license: None for member in members if member.adapter.base}
    of_bases = [sentence for license in bases if license for sentence in obligations_of(license)]
    ranks = [member.artifact.rank for member in members]
    rows = [_base_check(members), _shape_check(members), _overlap_check(members)]
    rows += [row for row in (_tokenizer_check(members),) if row is not None]
    rows.append(_check("ranks", True, "Ranks", ", ".join(str(rank) for rank in ranks)))
    rows += [row for row in (_feature_check(members), _similarity_check(members)) if row is not None]
    rows.append(_licence_check(members, licence))
    mergeable = all(row["ok"] is not False for row in rows)
    refusals = {name: method_refusal(name, members) for name in METHODS}
    return {
        "mergeable": mergeable,
        "checks": rows,
        "rank_sum": sum(ranks),
        "ranks": ranks,
        "licence": {
            "license": licence.license,
            "publishable": licence.publishable,
            "reason": licence.reason,
            "obligations": list(dict.fromkeys([*licence.obligations, *of_bases])),
        },
        "methods": [name for name, reason in refusals.items() if mergeable and not reason],
        "refused_methods": {name: reason for name, reason in refusals.items() if reason},
        "leave_out": _to_leave_out(members),
    }
