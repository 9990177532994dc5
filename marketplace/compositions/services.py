"""Merges: check the members, write a closed plan, enqueue it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from inference_worker.contracts.merge import MergeOutput, MergeRequest
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.naming import check_name_free
from marketplace.compositions import verdict
from marketplace.compositions.members import MAX_MEMBERS, Member, resolve_members
from marketplace.core.errors import Invalid, NotAuthenticated
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {field: [sentence]}})


def _check_name(user: User, name: str) -> None:
    """The rules for names, before the work and not after it."""
    checker = Checker()
    checker.name(name)
    checker.finish()
    check_name_free(user, name)


def _checked_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """The method's options with unknown or wrong ones refused by name."""
    info = METHODS.get(method)
    if info is None:
        raise _invalid("method", f"There is no merge method “{method}”. Choose one of: {', '.join(sorted(METHODS))}.")
    try:
        checked = info.options.model_validate(options)
    except ValidationError as error:
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise Invalid(
            f"The options of {method} have faults. {'; '.join(faults)}", extra={"fields": {"options": faults}}
        ) from error
    return checked.model_dump(mode="json")


def plan_verdict(*, user: User, members: Sequence[tuple[Adapter, float]]) -> dict[str, Any]:
    """What can be said before the merge; see ``verdict.plan_verdict``."""
    if not members:
        raise _invalid("members", "Choose at least one adapter.")
    return verdict.plan_verdict(resolve_members(user=user, members=members))


def _check_legal(judged: dict[str, Any], method: str, rank: int | None) -> None:
    """Raise ``Invalid`` for what the worker would refuse."""
    if not judged["mergeable"]:
        faults = [f"{row['label']}: {row['value']}. {row['detail']}" for row in judged["checks"] if row["ok"] is False]
        raise Invalid(f"These adapters cannot be merged. {' '.join(faults)}", extra={"fields": {"members": faults}})
    if reason := judged["refused_methods"].get(method):
        raise _invalid("method", f"{METHODS[method].title} cannot merge these adapters. {reason}")
    if rank is not None and METHODS[method].rank != "choose":
        raise _invalid("rank", f"The rank of {method} follows from its adapters; leave it out.")


def create_merge(
    *,
    user: User,
    name: str,
    members: Sequence[tuple[Adapter, float]],
    method: str,
    rank: int | None = None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    dtype: str = "same",
    title: str = "",
    idempotency_key: str | None = None,
) -> Job:
    """Enqueue a merge whose result becomes the private adapter ``user/name``.

    Raises ``Invalid`` (members, shapes, options), ``NotFound`` (a member the user may not see) and ``Conflict`` (the
    name is taken). The same idempotency key returns the job that it made the first time.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to merge adapters.")
    if idempotency_key and (known := Job.objects.filter(owner=user, idempotency_key=idempotency_key).first()):
        return known
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise _invalid("members", f"Choose between 1 and {MAX_MEMBERS} adapters.")
    _check_name(user, name)
    checked = _checked_options(method, options or {})
    resolved = resolve_members(user=user, members=members)
    judged = verdict.plan_verdict(resolved)
    _check_legal(judged, method, rank)
    request = _request(resolved, method, rank, checked, seed, dtype)
    with transaction.atomic():
        job = jobs.create_job(
            owner=user,
            kind="merge",
            request=request,
            subject={
                "name": name,
                "title": title,
                "members": [{"version": m.version.pk, "weight": m.weight} for m in resolved],
                "licence": judged["licence"],
            },
            title=f"Merge {len(resolved)} adapters into {user.username}/{name} ({METHODS[method].title})",
            idempotency_key=idempotency_key,
        )
        audit.record(
            actor=user,
            action="merge.create",
            target=f"{user.username}/{name}",
            job=str(job.pk),
            method=method,
            members=[m.adapter.full_name for m in resolved],
        )
    return job


def _request(
    members: Sequence[Member], method: str, rank: int | None, options: dict[str, Any], seed: int, dtype: str
) -> MergeRequest:
    try:
        return MergeRequest(
            adapters=tuple(member.files for member in members),
            weights=tuple(member.weight for member in members),
            method=method,
            output=MergeOutput(rank=rank, dtype=dtype),  # type: ignore[arg-type]
            seed=seed,
            options=options,
        )
    except ValidationError as error:
        fields = {str(fault["loc"][0]) if fault["loc"] else "merge": [fault["msg"]] for fault in error.errors()}
        words = "; ".join(f"{field}: {' '.join(sentences)}" for field, sentences in fields.items())
        raise Invalid(f"The merge has faults. {words}", extra={"fields": fields}) from error
