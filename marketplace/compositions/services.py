"""Merges: plan, check the name, enqueue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.naming import check_name_free
from marketplace.compositions import verdict
from marketplace.compositions.fit_examples import words_on_halves
from marketplace.compositions.members import Choice, resolve_members
from marketplace.compositions.planning import MergePlan, caveats_of, invalid, plan_merge, without_absent
from marketplace.core.errors import Conflict, NotAuthenticated
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit


def check_name(user: User, name: str) -> None:
    """The rules for names, before the work and not after it."""
    checker = Checker()
    checker.name(name)
    checker.finish()
    check_name_free(user, name)


def plan_verdict(
    *, user: User, members: Sequence[tuple[Adapter, float]], layer_weights: verdict.LayerWeights = ()
) -> dict[str, Any]:
    """What can be said before the merge; see ``verdict.plan_verdict``."""
    if not members:
        raise invalid("members", "Choose at least one adapter.")
    return verdict.plan_verdict(resolve_members(user=user, members=members), layer_weights)


def plan_caveats(
    *, user: User, members: Sequence[tuple[Adapter, float]], method: str, options: Mapping[str, Any]
) -> list[str]:
    """What to know of ``method`` with these members, in sentences."""
    resolved = resolve_members(user=user, members=members)
    return [*caveats_of(resolved, method, options), *words_on_halves(user, resolved, method)]


def create_merge(
    *,
    user: User,
    name: str,
    members: Sequence[tuple[Adapter, float] | Choice],
    method: str,
    output: Mapping[str, Any] | None = None,
    rank: Any = None,
    dtype: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    layer_weights: Sequence[Sequence[Mapping[str, Any]]] = (),
    title: str = "",
    idempotency_key: str | None = None,
) -> Job:
    """Enqueue a merge whose result becomes the private adapter ``user/name``. ``rank`` and ``dtype`` are short for
    those of ``output``.

    Raises ``Invalid`` (members, shapes, options), ``NotFound`` (a member the user may not see) and ``Conflict`` (the
    name is taken, or claimed by a merge under way). The same idempotency key returns the job that it made the first
    time.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to merge adapters.")
    if known := jobs.known_job(user, "merge", idempotency_key):
        return known
    check_name(user, name)
    plan = plan_merge(
        user=user,
        members=members,
        method=method,
        output=with_short_forms(output or {}, rank, dtype),
        options=options,
        seed=seed,
        layer_weights=layer_weights,
    )
    return enqueue_merge(
        user=user, plan=plan, name=name, subject={"name": name, "title": title}, idempotency_key=idempotency_key
    )


def _check_unclaimed(user: User, name: str) -> None:
    """Nobody chooses the name of a merge that is still under way; call after ``check_open``, which locks. The names of
    repeated merges are the site's, and taken ones get a number. Raises ``Conflict``."""
    claims = Job.objects.filter(owner=user, kind="merge", subject__name__iexact=name).exclude(state__in=Job.ENDED)
    if claims.exclude(subject__has_key="repeats").exists():
        words = f"A merge of yours that is under way becomes {name}. Choose another name, or cancel that one."
        raise Conflict(words, code="name_taken", extra={"fields": {"name": [words]}})


def with_short_forms(output: Mapping[str, Any], rank: Any, dtype: str | None) -> dict[str, Any]:
    """``output`` with a rank and a number format that were given beside it. Raises ``Invalid`` for both."""
    short = {key: value for key, value in (("rank", rank), ("dtype", dtype)) if value is not None}
    for key in short:
        if key in output:
            raise invalid(key, f"The {key} is given twice, alone and in output. Leave one out.")
    return {**output, **short}


def enqueue_merge(
    *, user: User, plan: MergePlan, name: str, subject: Mapping[str, Any], idempotency_key: str | None = None
) -> Job:
    """The job of a plan, with its audit entry, without members that are absent from it. ``subject`` is for the
    recorder, beside the plan's own. Raises ``Conflict`` where another merge under way claims the name."""
    plan = without_absent(plan)
    method = plan.request.method
    what = f"{len(plan.members)} adapter{'s' if len(plan.members) > 1 else ''}"
    with transaction.atomic():
        if known := jobs.check_open(user, "merge", idempotency_key):
            return known
        if "repeats" not in subject:
            _check_unclaimed(user, name)
        job = jobs.create_job(
            owner=user,
            kind="merge",
            request=plan.request,
            subject={**plan.subject, **subject},
            title=f"Merge {what} into {user.username}/{name} ({METHODS[method].title})",
            idempotency_key=idempotency_key,
        )
        audit.record(
            actor=user,
            action="merge.create",
            target=f"{user.username}/{name}",
            job=str(job.pk),
            method=method,
            members=plan.names,
        )
    return job
