"""What merges, previews and sweeps hold of adapters' examples: while they run, and no longer.

Their plans are closed, so a job under way holds the examples that its owner might use. What has ended lets go of them;
when it is tried again, they are looked up anew by what its owner may use then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from inference_worker.contracts.jobs import partial_name
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_sweep import SweepSuite
from marketplace.adapters.models import Adapter, Version
from marketplace.compositions.fit_examples import examples_for
from marketplace.compositions.lab.previews import PREVIEW, SWEEP
from marketplace.compositions.lab.quotes import QUOTED, forget_quotes, with_quotes_of
from marketplace.compositions.lab.sweeps import OWN_EXAMPLES, SUITE, Asked, examples_asked
from marketplace.compositions.members import Member
from marketplace.core.errors import Conflict
from marketplace.core.store import blob_store
from marketplace.jobs.checking import recheck
from marketplace.jobs.models import Job

KINDS = ("merge", PREVIEW, SWEEP)
#: In a job's subject: the places of the merges that are to find their weights from examples, once these are gone.
FITTED = "fitted"
#: In a job's subject: how many examples a sweep is measured on.
EXAMPLES = "examples"
#: In a job's subject: the digest of a sweep's request as it ran.
RAN = "ran"
#: Jobs that one tick of the clock looks at.
AT_ONCE = 500


def planned_members(job: Job) -> list[Member]:
    """The versions that the plan names, with their weights, in its order. Their rights are not asked for here."""
    rows = job.subject["members"]
    found = Version.objects.select_related("adapter__owner", "adapter__base", "artifact").in_bulk(
        [row["version"] for row in rows]
    )
    return [Member(found[row["version"]].adapter, found[row["version"]], float(row["weight"])) for row in rows]


def _merges(job: Job) -> list[dict[str, Any]]:
    """The merges of a dumped request, in place."""
    if job.kind == SWEEP:
        return [point["merge"] for point in job.request["points"]]
    return [job.request["merge"] if job.kind == PREVIEW else job.request]


def _wrote(job: Job) -> bool:
    """Whether the examples of a sweep were written for it."""
    return SUITE not in job.subject and job.request["suite"]["name"] == OWN_EXAMPLES


def let_go(job: Job) -> None:
    """Forget the examples of a locked job that has ended, unsaved. What its owner wrote themselves stays."""
    merges = _merges(job)
    fitted = [place for place, merge in enumerate(merges) if merge.get("fit")]
    subject = {**job.subject, FITTED: sorted({*job.subject.get(FITTED, []), *fitted})}
    if job.kind == SWEEP and FITTED not in job.subject:
        subject[RAN] = _digest(job)
    for merge in merges:
        merge["fit"] = None
    suite = job.request.get("suite", {})
    if suite.get("examples") and not _wrote(job):
        subject[EXAMPLES] = len(suite["examples"])
        suite["examples"] = []
    job.subject = subject
    forget_quotes(job)


def take_again(job: Job) -> None:
    """Look a job's examples up anew before it is tried again, unsaved, by what its owner may use now.

    Raises ``Conflict`` where nothing is left to ask, and what the lookups raise: ``Invalid`` for too few examples,
    ``NotFound`` for a suite that is gone or closed.
    """
    forget_quotes(job)
    members = planned_members(job)
    merges, fitted = _merges(job), job.subject.get(FITTED, [])
    for place in fitted:
        fit = examples_for(job.owner, members, merges[place]["method"])
        merges[place]["fit"] = fit.model_dump(mode="json") if fit is not None else None
    if job.kind == PREVIEW:
        _keep_prompts(job)
    if job.kind == SWEEP and not job.request["suite"]["builtin"]:
        _ask_again(job, members)
    if job.kind == SWEEP and job.subject.get(RAN) != _digest(job):
        # Points that were measured on other examples are not to stand beside those to come.
        transaction.on_commit(partial(blob_store().delete_document, partial_name(str(job.pk))), robust=True)
    # As of a job that has not run: what it holds is to be let go of anew.
    job.subject = {key: value for key, value in job.subject.items() if key not in (FITTED, RAN, EXAMPLES)}


def _digest(job: Job) -> str:
    return hashlib.sha256(json.dumps(job.request, sort_keys=True).encode()).hexdigest()


def _keep_prompts(job: Job) -> None:
    """Leave out prompts that were forgotten; the others keep their formats."""
    kept = [place for place, prompt in enumerate(job.request["prompts"]) if prompt]
    if not kept:
        raise Conflict("Its prompts were examples that are no longer yours to see. Ask anew.", code="examples_gone")
    formats = job.request["formats"]
    job.request = {
        **job.request,
        "prompts": [job.request["prompts"][place] for place in kept],
        "formats": {str(new): formats[str(old)] for new, old in enumerate(kept) if str(old) in formats},
    }


def _ask_again(job: Job, members: list[Member]) -> None:
    """The suite of a sweep; of examples that were written for it, what is still there."""
    suite = job.request["suite"]
    if not _wrote(job):
        if SUITE not in job.subject:
            raise Conflict("What it was measured on is no longer kept. Ask for a new sweep.", code="examples_gone")
        half = any(METHODS[merge["method"]].examples and merge["fit"] for merge in _merges(job))
        suite = {**suite, **examples_asked(job.owner, members, Asked(suite=job.subject[SUITE]), half=half)}
        suite = SweepSuite.model_validate(suite).model_dump(mode="json")
    if not suite["examples"]:
        raise Conflict("Its examples were others', and are no longer yours to see. Ask anew.", code="examples_gone")
    job.request = {**job.request, "suite": suite}


def _ended() -> QuerySet[Job]:
    return Job.objects.filter(kind__in=KINDS, state__in=Job.ENDED)


def forget_examples_of(adapter: Adapter) -> None:
    """Of an adapter that was emptied or has changed: what ended jobs still quote of its examples goes, and what runs on
    them without a right to it is stopped. Call inside a transaction."""
    versions = adapter.versions.values_list("pk", flat=True)
    using = [Job.objects.filter(kind__in=KINDS, subject__members__contains=[{"version": pk}]) for pk in versions]
    for jobs in using if adapter.deleted_at is not None else ():
        for key in jobs.exclude(state__in=Job.ENDED).values_list("pk", flat=True):
            recheck(key)
    _settle(with_quotes_of(_ended(), adapter).values_list("pk", flat=True).iterator())


def settle_jobs() -> int:
    """Look at ended jobs that quote examples, and at those of earlier versions that hold some whole; how many changed.
    What people may see changes without a word: access is revoked, adapters become private or are deleted."""
    earlier = _ended().exclude(subject__has_key=FITTED).order_by("pk")[:AT_ONCE]
    _settle(earlier.values_list("pk", flat=True))
    return _settle(_ended().filter(subject__has_key=QUOTED).values_list("pk", flat=True).iterator())


def _settle(keys: Iterator[Any] | QuerySet[Job, Any]) -> int:
    changed = 0
    for key in list(keys):
        with transaction.atomic():
            job = _ended().select_for_update(of=("self",)).select_related("owner").filter(pk=key).first()
            if job is None:
                continue
            before = job.subject
            let_go(job)
            if job.subject != before:
                job.save(update_fields=["request", "subject", "result"])
                changed += 1
    return changed
