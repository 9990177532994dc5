"""Suites that go, with every trace of their examples: answers to several suites lie in one blob."""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from inference_worker.errors import BlobMissing
from marketplace.adapters.services import artifacts
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite


def forget_suites(suites: QuerySet[EvaluationSuite]) -> None:
    """Delete suites with what was measured on them. A job writes the outcomes of all its runs into one blob, examples
    and answers: what other runs need of it goes into another one, so that the next collection takes the first."""
    with transaction.atomic():
        keys = list(suites.values_list("pk", flat=True))
        runs = EvaluationRun.objects.filter(suite__in=keys).exclude(outcomes="")
        blobs = set(runs.order_by().values_list("outcomes", flat=True))
        EvaluationSuite.objects.filter(pk__in=keys).delete()
        strip_outcomes(blobs)


def strip_outcomes(blobs: Iterable[str]) -> None:
    """Have the runs whose outcomes lie in ``blobs`` stand on blobs that hold nothing else. Call inside a
    transaction."""
    for sha256 in sorted(blobs):
        runs = list(EvaluationRun.objects.select_for_update().filter(outcomes=sha256).order_by("position", "pk"))
        if not runs:
            continue
        stripped = _stripped(sha256, sorted({run.position for run in runs}))
        places = {position: place for place, position in enumerate(sorted({run.position for run in runs}))}
        for run in runs:
            run.outcomes, run.position = stripped, places[run.position]
        EvaluationRun.objects.bulk_update(runs, ["outcomes", "position"])


def _stripped(sha256: str, positions: list[int]) -> str:
    """The digest of a blob with these evaluations of another one; empty where that one is gone."""
    try:
        with blob_store().open(sha256) as file:
            table = json.load(file)
    except BlobMissing:
        return ""
    info = blob_store().put_bytes(json.dumps([table[position] for position in positions]).encode())
    artifacts.keep_blobs([info])
    return info.sha256
