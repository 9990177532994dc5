"""What the verdict's part of the combine page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from inference_worker.contracts.merge_methods import METHODS
from marketplace.compositions.forms import CombineForm
from marketplace.compositions.members import resolve_members
from marketplace.compositions.pairs.describe import describe_fit, describe_predictor
from marketplace.compositions.pairs.partners import find_partners, predictor
from marketplace.compositions.pairs.selectors import comparison_of, pair_of, running_comparison, unmeasured
from marketplace.compositions.verdict import plan_verdict
from marketplace.core.errors import AppError

#: Visitors see the pairs of so many adapters at most: the pairs grow with the square.
MOST_OF_VISITORS = 8
#: Partners are looked for to go with so many adapters at most: every one of them is held against the catalogue.
MOST_WITH_PARTNERS = 4
#: Predicted shares that differ by less are not held against each other: the predictions are rougher than that.
CLEARLY_MORE = 0.1


def better_than(method: str, kept: Mapping[str, float]) -> dict[str, Any] | None:
    """The method that is predicted to keep most, where that is clearly more than what ``method`` keeps; ``kept`` maps
    methods to mean shares."""
    if method not in kept:
        return None
    best = max(kept, key=lambda name: kept[name])
    if kept[best] - kept[method] < CLEARLY_MORE:
        return None
    return {
        "title": METHODS[best].title,
        "kept": kept[best],
        "instead_of": METHODS[method].title,
        "keeps": kept[method],
    }


def members_query(form: CombineForm) -> str:
    """The form's members as an address writes them."""
    pairs = [(member.adapter.full_name, member.weight) for member in form.members]
    return urlencode([item for name, weight in pairs for item in (("with", name), ("weight", weight))])


def fit_context(user: Any, form: CombineForm, judged: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The context of ``compositions/verdict.html``; nothing to show where the members cannot be used."""
    try:
        members = resolve_members(user=user, members=form.weights())
    except AppError:
        members = []
    if not members:
        return {"fit": None, "user": user}
    if not user.is_authenticated and len(members) > MOST_OF_VISITORS:
        return {"fit": None, "user": user, "most": MOST_OF_VISITORS}
    waiting = unmeasured(members)
    fit = describe_fit(members, judged or plan_verdict(members), waiting)
    missing = [pair_of(one.artifact.pk, two.artifact.pk) for one, two in waiting]
    running = running_comparison(user, [member.artifact.pk for member in members])
    ended = comparison_of(user, missing) if missing and running is None else None
    by = predictor()
    kept = {method["name"]: sum(method["kept"]) / 2 for method in fit["method_verdicts"] if method["kept"]}
    return {
        "kept": kept,
        "better": better_than(form.method, kept),
        "method": form.method,
        "fit": fit,
        "user": user,
        "alone": len(members) == 1,
        "query": members_query(form),
        "missing": len(missing),
        "running": running,
        "ended": ended,
        "partners": find_partners(user=user, members=members) if len(members) <= MOST_WITH_PARTNERS else None,
        "predictor": describe_predictor(by) if by is not None else None,
    }
