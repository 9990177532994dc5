"""Keeps what a comparison measured."""

from __future__ import annotations

from typing import Any

from inference_worker.contracts.composability import ComposeCheckRequest, ComposeCheckResult
from marketplace import policy
from marketplace.adapters.models import Artifact, Version
from marketplace.compositions.pairs.models import PairMeasure
from marketplace.compositions.pairs.selectors import KIND
from marketplace.core.errors import NotFound
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import limit_open, register, register_check

limit_open(KIND, "comparisons")


@register_check(KIND)
def check_comparison(job: Job) -> None:
    """Every adapter is still the owner's to use. Raises what ``policy.require`` raises."""
    found = Version.objects.select_related("adapter__owner", "artifact").in_bulk(job.subject["versions"])
    labels = [files["label"] for files in job.request["adapters"]]
    for pk, label in zip(job.subject["versions"], labels, strict=True):
        if pk not in found:
            raise NotFound("An adapter of this comparison was deleted.")
        policy.require(job.owner, policy.Action.USE, found[pk].adapter, version=found[pk], label=label)


@register(KIND)
def record_comparison(job: Job, result: dict[str, Any]) -> None:
    """One row per pair, the smaller artefact first; the job keeps only how many."""
    request = ComposeCheckRequest.model_validate(job.request)
    found = ComposeCheckResult.model_validate(result)
    artifacts = job.subject["artifacts"]
    left = set(Artifact.objects.filter(pk__in=artifacts).values_list("pk", flat=True))
    rows = []
    for (one, two), measures in zip(request.pairs, found.pairs, strict=True):
        first, second = artifacts[one], artifacts[two]
        if {first, second} <= left:
            ordered = measures if first < second else measures.turned()
            values = ordered.model_dump(mode="json")
            rows.append(
                PairMeasure(
                    first_id=min(first, second),
                    second_id=max(first, second),
                    version=ordered.version,
                    layers=values.pop("layers"),
                    measures=values,
                )
            )
    PairMeasure.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["first", "second"],
        update_fields=["version", "measures", "layers", "created_at"],
    )
    job.result = {"pairs": len(rows), "seconds": found.seconds}
