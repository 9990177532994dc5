"""The verdict on a set of adapters beyond what their inspections tell: measured pairs, methods, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from inference_worker.contracts.composability import PairMeasures
from inference_worker.contracts.interference import Predictor, stored_predictors
from inference_worker.contracts.interference_range import PairPrediction
from inference_worker.contracts.merge_methods import METHODS
from marketplace.compositions.members import Member
from marketplace.compositions.pairs.selectors import Pair, measured, pair_of, pairs_of, unmeasured
from marketplace.compositions.verdict import NEAR_DUPLICATE, facts_of, method_refusal

#: From this ratio of sizes on, the smaller adapter may not be heard.
LOUD = 3.0
#: From this cosine on, two adapters undo each other.
OPPOSED = -0.5


def describe_fit(
    members: Sequence[Member], judged: Mapping[str, Any], missing: Sequence[tuple[Member, Member]] | None = None
) -> dict[str, Any]:
    """``pairs`` in the members' order, ``method_verdicts`` with what speaks against each, ``notes``, ``predictions``.

    ``judged`` is ``verdict.plan_verdict`` of the same members, each of which the reader may use, ``missing`` what
    ``unmeasured`` says of them where that is known already.
    """
    pairs = pairs_of(members)
    known = measured(pair_of(one.artifact.pk, two.artifact.pk) for one, two in pairs)
    rows = [_pair(one, two, known) for one, two in pairs]
    return {
        "pairs": rows,
        "unmeasured": len(unmeasured(members) if missing is None else missing),
        "notes": _notes(members, rows),
        "method_verdicts": _methods(members, judged, rows),
        "predictions": [describe_predictor(predictor) for predictor in stored_predictors().predictors],
    }


def _pair(one: Member, two: Member, known: Mapping[Pair, PairMeasures]) -> dict[str, Any]:
    """One pair; ``kept`` maps methods to the share of its gain that each of both is predicted to keep,
    ``not_predicted`` to why there is no such share."""
    first, second = one.artifact.pk, two.artifact.pk
    found = known.get(pair_of(first, second))
    if found is not None and first > second:
        found = found.turned()
    prediction = PairPrediction() if found is None else _predict(one, two, found)
    return {
        "first": one.adapter.full_name,
        "second": two.adapter.full_name,
        "kept": prediction.kept,
        "not_predicted": {name: item.model_dump() for name, item in prediction.not_predicted.items()},
        "measures": None if found is None else found.model_dump(mode="json"),
    }


def _predict(one: Member, two: Member, found: PairMeasures) -> PairPrediction:
    """What a merge of just these two at weight 1 is predicted to keep, by the methods that take them."""
    predictors = stored_predictors()
    pair = [replace(member, weight=1.0) for member in (one, two)]
    refused = {item.method for item in predictors.predictors if method_refusal(item.method, pair)}
    features = {feature for member in pair for feature in member.artifact.summary.get("features", [])}
    return predictors.judge(found, features, refused)


def _notes(members: Sequence[Member], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to think of before merging, in sentences."""
    notes = []
    prompts = {str(sorted(member.version.prompt_format.items())) for member in members}
    if len(prompts) > 1:
        notes.append("The adapters expect prompts in different formats; the result takes that of the heaviest one.")
    for row in rows:
        if row["measures"] is not None:
            notes += _pair_notes(row["first"], row["second"], row["measures"])
    return notes


def _pair_notes(first: str, second: str, measures: Mapping[str, Any]) -> list[str]:
    small, large = sorted(measures["norms"])
    louder, quieter = (first, second) if measures["norms"][0] == large else (second, first)
    if not small:
        return [f"{quieter} changes nothing."] if large else [f"Neither {first} nor {second} changes anything."]
    notes = []
    if measures["cosine"] >= NEAR_DUPLICATE:
        notes.append(f"{first} and {second} do nearly the same: at weight 1 each, their sum does it twice.")
    elif measures["cosine"] <= OPPOSED:
        notes.append(f"{first} and {second} point in opposite directions and undo each other in a sum.")
    if large / small >= LOUD:
        notes.append(
            f"{louder} changes the base {large / small:.1f} times as much as {quieter}, which may not be heard; a "
            f"smaller weight on {louder} evens that out."
        )
    return notes


def _methods(
    members: Sequence[Member], judged: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every method: ``legal``, with a ``caveat``, or ``refused``, and why."""
    facts = [facts_of(member) for member in members if member.weight]
    general = [row["detail"] or row["label"] for row in judged["checks"] if row["ok"] is False]
    # The predictions were fitted on merges at weight 1 and say nothing about others.
    kept = rows[0]["kept"] if rows and [member.weight for member in members] == [1.0, 1.0] else {}
    found = []
    for name, info in METHODS.items():
        refusal = judged["refused_methods"].get(name)
        reasons = general or ([refusal] if refusal else info.caveats(facts))
        state = "refused" if general or refusal else "caveat" if reasons else "legal"
        shares = kept.get(name)
        found.append(
            {
                "name": name,
                "title": info.title,
                "state": state,
                "reasons": reasons,
                "kept": shares if state != "refused" else None,
            }
        )
    return found


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """How good a method's prediction is, for people and programs."""
    found = predictor.model_dump(mode="json", include={"method", "source", "model", "cosine", "adapters", "pairs"})
    title = METHODS[predictor.method].title
    return {**found, "title": title, "words": f"{title}. {predictor.describe(stored_predictors().measured_on)}"}
