"""Prompts that somebody took over from adapters' examples, as the combine page proposes them.

They are the person's own words and somebody else's example at once. Which ones these are is noted by digest when they
are sent, so that they can be found when the example goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import Member
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job

#: In a job's subject: {adapter's key: digests of the prompts that are its examples}.
QUOTED = "quoted"


def quotes_in(user: User, members: Sequence[Member], prompts: Sequence[str]) -> dict[str, Any]:
    """What a job's subject notes of ``prompts`` that are members' examples; nothing where none is."""
    found = {}
    for member in members:
        if quoted := sorted(set(map(_digest, prompts)) & _shown(user, member.adapter)):
            found[str(member.adapter.pk)] = quoted
    return {QUOTED: found} if found else {}


def with_quotes_of(jobs: QuerySet[Job], adapter: Adapter) -> QuerySet[Job]:
    return jobs.filter(**{f"subject__{QUOTED}__has_key": str(adapter.pk)})


def forget_quotes(job: Job) -> None:
    """Take out of a locked job that has ended, unsaved, the prompts whose examples its owner no longer sees anywhere,
    with all that was answered to them."""
    quoted: dict[str, list[str]] = job.subject.get(QUOTED, {})
    if not quoted:
        return
    found = Adapter.objects.select_related("owner", "current__artifact").in_bulk([int(key) for key in quoted])
    kept = {
        key: sorted(set(digests) & _shown(job.owner, found[int(key)]))
        for key, digests in quoted.items()
        if int(key) in found
    }
    gone = {one for digests in quoted.values() for one in digests} - {one for row in kept.values() for one in row}
    rest = {key: digests for key, digests in kept.items() if digests}
    others = {key: value for key, value in job.subject.items() if key != QUOTED}
    job.subject = {**others, QUOTED: rest} if rest else others
    if gone:
        _blank_prompts(job, gone)
        suite = job.request.get("suite", {})
        if suite.get("examples"):
            suite["examples"] = [row for row in suite["examples"] if _digest(row["prompt"]) not in gone]
        # The worker's own report of the answers, which is otherwise kept for some days.
        transaction.on_commit(partial(_drop_reports, str(job.pk)), robust=True)


def _drop_reports(job: str) -> None:
    """A sweep's reports hold figures alone, and its page reads them."""
    if Job.objects.filter(pk=job, state__in=Job.ENDED).exclude(kind="merge_sweep").exists():
        blob_store().delete_documents(job)


def _blank_prompts(job: Job, gone: set[str]) -> None:
    """The places stay, so that columns still match."""
    prompts = job.request.get("prompts", [])
    places = [place for place, prompt in enumerate(prompts) if _digest(prompt) in gone]
    for place in places:
        prompts[place] = ""
        for column in (job.result or {}).get("columns", []):
            column["answers"][place] = {**column["answers"][place], "text": ""}


def _shown(user: User, adapter: Adapter) -> set[str]:
    """Digests of the prompts of an adapter that ``user`` may see."""
    return set(map(_digest, adapters.examples_of(user=user, adapter=adapter).values_list("prompt", flat=True)))


def _digest(prompt: str) -> str:
    """Blanks around it are no part of a prompt: forms strip them."""
    return hashlib.sha256(prompt.strip().encode()).hexdigest()
