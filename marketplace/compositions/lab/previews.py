"""Previews: the merge, its parents and the base answer somebody's prompts before anything is saved."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_preview import MAX_PROMPT, MAX_PROMPTS, MergePreviewRequest
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.bases.models import Base
from marketplace.compositions.answering import common_base, own_formats, prompt_format_of
from marketplace.compositions.lab.quotes import quotes_in
from marketplace.compositions.members import Member, check_generating
from marketplace.compositions.planning import MergePlan, invalid, plan_merge
from marketplace.core.errors import Forbidden, Invalid, NotFound
from marketplace.jobs import selectors as job_selectors
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

PREVIEW, SWEEP = "merge_preview", "merge_sweep"


def create_preview(
    *, user: User, prompts: Sequence[str], max_tokens: int = 64, idempotency_key: str | None = None, **settings: Any
) -> Job:
    """Enqueue a preview of the merge that ``settings`` describe (``planning.plan_merge``).

    Raises ``Invalid`` (prompts, settings, members that write no text), ``Forbidden`` and ``NotFound``.
    """
    plan = plan_merge(user=user, **settings)
    base = answering_base(user, plan)
    asked = [prompt for prompt in prompts if prompt.strip()]
    check_prompts(asked)
    prompt_format, notes = prompt_format_of(base=base, members=plan.members)
    formats = _formats_of(user, plan.members, asked)
    if formats:
        others = "." if len(formats) == len(asked) else ", all others in the strongest member's."
        notes = [f"The members expect different prompt formats. Their own examples are asked in theirs{others}"]
    try:
        request = MergePreviewRequest(
            base=base_files_of(base),
            merge=plan.request,
            prompts=tuple(asked),
            prompt_format=prompt_format,
            formats=formats,
            max_tokens=max_tokens,
        )
    except ValidationError as error:
        raise Invalid(error.errors()[0]["msg"], extra={"fields": {"max_tokens": [error.errors()[0]["msg"]]}}) from error
    with transaction.atomic():
        if known := jobs.check_open(user, PREVIEW, idempotency_key):
            return known
        job = jobs.create_job(
            owner=user,
            kind=PREVIEW,
            request=request,
            subject={**plan.subject, "notes": notes, **quotes_in(user, plan.members, asked)},
            title=f"Preview {len(plan.members)} adapters merged by {METHODS[plan.request.method].title}",
            idempotency_key=idempotency_key,
        )
        audit.record(
            actor=user,
            action="merge.preview",
            target=str(job.pk),
            method=plan.request.method,
            members=plan.names,
            prompts=len(asked),
        )
    return job


def _formats_of(user: User, members: Sequence[Member], prompts: Sequence[str]) -> dict[int, PromptFormat]:
    """The format of every prompt, by its place, that is an example of a member with another format than others have."""
    formats = own_formats(members)
    found: dict[int, PromptFormat] = {}
    for member in members if formats else ():
        known = set(adapters.examples_of(user=user, adapter=member.adapter).values_list("prompt", flat=True))
        own = formats.get(member.adapter.pk)
        for place, prompt in enumerate(prompts):
            if own is not None and prompt in known:
                found.setdefault(place, own)
    return found


def check_prompts(prompts: Sequence[str]) -> None:
    """Raises ``Invalid`` in words."""
    if not prompts:
        raise invalid("prompts", "Write at least one prompt.")
    if len(prompts) > MAX_PROMPTS:
        raise invalid("prompts", f"At most {MAX_PROMPTS} prompts; these are {len(prompts)}.")
    if long := next((prompt for prompt in prompts if len(prompt) > MAX_PROMPT), ""):
        raise invalid("prompts", f"A prompt has at most {MAX_PROMPT} characters; “{long[:40]}…” has {len(long)}.")


def answering_base(user: User, plan: MergePlan) -> Base:
    """The base that a plan's members answer on. Raises ``Forbidden`` and ``Invalid``."""
    if not policy.may_generate(user):
        raise Forbidden("Sign in to try adapters.")
    check_generating(plan.members)
    base = common_base(plan.members)
    if base is None or not base.generates:
        name = base.name if base else "of these adapters"
        raise Invalid(f"The base {name} is not served at present, so the merge can be saved but not tried.")
    return base


def base_files_of(base: Base) -> BaseFiles:
    return BaseFiles(name=base.name, source=base.source, revision=base.revision or None)


def get_trial(*, user: policy.Person, job_id: uuid.UUID | str, kind: str) -> Job:
    """Somebody's own preview or sweep. Raises ``NotFound``."""
    job = job_selectors.get_job(user=user, job_id=job_id)
    if job.kind != kind:
        raise NotFound("There is no such job.")
    return job


def rows_of(job: Job) -> list[Mapping[str, Any]]:
    """A finished preview prompt by prompt: ``prompt`` and ``answers``, in the order of the result's columns. A prompt
    that was an example which is gone is empty, as its answers are."""
    if not job.result:
        return []
    columns = job.result["columns"]
    return [
        {
            "prompt": prompt,
            "answers": [
                {**column["answers"][place], "label": column["label"], "kind": column["kind"]} for column in columns
            ],
        }
        for place, prompt in enumerate(job.request["prompts"])
    ]
