"""Have a worker compare what has not been compared yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from inference_worker.contracts.composability import MAX_COMPARED, ComposeCheckRequest
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import Choice, Member, resolve_members
from marketplace.compositions.pairs.describe import describe_fit
from marketplace.compositions.pairs.selectors import KIND, comparison_of, pair_of, unmeasured
from marketplace.compositions.verdict import plan_verdict
from marketplace.core.errors import Invalid, NotAuthenticated
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit


def judge_members(*, user: User, members: Sequence[tuple[Adapter, float] | Choice]) -> dict[str, Any]:
    """The whole verdict: ``verdict.plan_verdict``, ``describe_fit``, and as ``comparison`` the id of the user's job
    that measures what is unmeasured. Changes nothing."""
    if not members:
        raise Invalid("Choose at least one adapter.", extra={"fields": {"members": ["Choose at least one adapter."]}})
    resolved = resolve_members(user=user, members=members)
    judged = plan_verdict(resolved)
    missing = unmeasured(resolved)
    job = comparison_of(user, [pair_of(one.artifact.pk, two.artifact.pk) for one, two in missing])
    waiting = job is not None and not job.has_ended
    return {**judged, **describe_fit(resolved, judged, missing), "comparison": str(job.pk) if job and waiting else None}


def request_comparison(*, user: User, members: Sequence[tuple[Adapter, float] | Choice]) -> Job | None:
    """Compare every two members that have not been compared; None when all have.

    A job of the user's that is at it already is returned as it is. Raises what ``resolve_members`` raises, and
    ``NotAuthenticated``.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to have adapters compared.")
    return compare_pairs(user=user, pairs=unmeasured(resolve_members(user=user, members=members)))


def compare_pairs(*, user: User, pairs: Sequence[tuple[Member, Member]]) -> Job | None:
    """The same for chosen pairs of members that ``resolve_members`` has let through."""
    members = list({member.artifact.pk: member for pair in pairs for member in pair}.values())[:MAX_COMPARED]
    position = {member.artifact.pk: index for index, member in enumerate(members)}
    known = [pair for pair in pairs if all(member.artifact.pk in position for member in pair)]
    if not known:
        return None
    keys = [pair_of(one.artifact.pk, two.artifact.pk) for one, two in known]
    running = comparison_of(user, keys)
    if running is not None and not running.has_ended:
        return running
    request = ComposeCheckRequest(
        adapters=tuple(member.files for member in members),
        pairs=tuple(pair_of(position[one], position[two]) for one, two in keys),
    )
    with transaction.atomic():
        jobs.check_open(user, KIND)
        job = jobs.create_job(
            owner=user,
            kind=KIND,
            request=request,
            subject={
                "artifacts": [member.artifact.pk for member in members],
                "versions": [member.version.pk for member in members],
                "pairs": keys,
            },
            title=_title(members),
        )
        names = [member.adapter.full_name for member in members]
        audit.record(actor=user, action="pairs.compare", target=names[0], job=str(job.pk), members=names)
    return job


def _title(members: Sequence[Member]) -> str:
    names = [member.adapter.full_name for member in members]
    if len(names) == 2:
        return f"Compare {names[0]} with {names[1]}"
    return f"Compare {names[0]} and {len(names) - 1} others"
