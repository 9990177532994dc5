"""What the verdict's part of the combine page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from marketplace.compositions.forms import CombineForm
from marketplace.compositions.members import resolve_members
from marketplace.compositions.pairs.describe import describe_fit, describe_predictor
from marketplace.compositions.pairs.partners import find_partners, predictor
from marketplace.compositions.pairs.selectors import comparison_of, pair_of, running_comparison, unmeasured
from marketplace.compositions.verdict import plan_verdict
from marketplace.core.errors import AppError


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
    fit = describe_fit(members, judged or plan_verdict(members))
    missing = [pair_of(one.artifact.pk, two.artifact.pk) for one, two in unmeasured(members)]
    running = running_comparison(user, [member.artifact.pk for member in members])
    ended = comparison_of(user, missing) if missing and running is None else None
    by = predictor()
    return {
        "fit": fit,
        "user": user,
        "alone": len(members) == 1,
        "query": members_query(form),
        "missing": len(missing),
        "running": running,
        "ended": ended,
        "partners": find_partners(user=user, members=members),
        "predictor": describe_predictor(by) if by is not None else None,
    }
