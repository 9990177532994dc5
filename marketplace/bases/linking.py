"""Adapters whose base was unknown, and the base that becomes known later.

They are linked by what their config, then their card names, and by shapes where these leave one lineage. An answer of
the owner's is never changed.
"""

from __future__ import annotations

import structlog
from django.db import transaction

from inference_worker.contracts.inspect import AdapterSummary
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.findings import UNKNOWN, judge_base, unknown_base
from marketplace.bases.models import Base, BaseChoice
from marketplace.bases.shapes import features_of
from marketplace.bases.suggestion import suggestion_for
from marketplace.moderation import audit

logger = structlog.get_logger(__name__)
_CHUNK = 100


def link_waiting() -> int:
    """Compare what waits with every base that asks for it (``Base.linking``); returns how many adapters were linked.

    Each adapter is a transaction of its own, so that a long list holds nobody up and is gone on with after a crash.
    """
    asking = list(Base.objects.filter(linking=True).order_by("pk"))
    if not asking:
        return 0
    ready = [base for base in asking if base.state == Base.State.READY]
    linked = 0
    if ready:
        known = set().union(*(base.features for base in ready))
        waiting = Artifact.objects.filter(base=None, state=Artifact.State.VALID).order_by("pk")
        for artifact in waiting.only("pk", "summary", "modules").iterator(chunk_size=_CHUNK):
            if _may_fit(artifact, known):
                linked += _link(artifact.pk)
    Base.objects.filter(pk__in=[base.pk for base in asking]).update(linking=False)
    logger.info("bases_linked", bases=[base.name for base in asking], adapters=linked)
    return linked


def _may_fit(artifact: Artifact, features: set[str]) -> bool:
    linear = [module for module in artifact.modules if module.get("kind") != "embedding"]
    return set(features_of((module["name"], (module["d_out"], module["d_in"])) for module in linear)) <= features


@transaction.atomic
def _link(key: int) -> int:
    """How many adapters on this artefact have a base now."""
    artifact = Artifact.objects.select_for_update(no_key=True).filter(pk=key, base=None).first()
    if artifact is None:
        return 0
    summary = AdapterSummary.model_validate(artifact.summary)
    base, problems = judge_base(summary, artifact.modules)
    if base is not None and problems:
        # It was accepted while its base was unknown, and stays so: the warning says what does not fit, and what does.
        base, problems = None, [unknown_base(summary.base_model_name, artifact.modules, summary.task_type)]
    artifact.base = base
    kept = [problem for problem in artifact.problems if problem.get("code") != UNKNOWN]
    artifact.problems = [*kept, *(problem.model_dump(mode="json") for problem in problems)]
    artifact.save(update_fields=["base", "problems"])
    waiting = Adapter.objects.filter(current__artifact=artifact, base=None, deleted_at=None).exclude(
        pk__in=BaseChoice.objects.values("adapter")
    )
    linked = 0
    for adapter in waiting.select_for_update(of=("self",)).select_related("owner").order_by("pk"):
        found = suggestion_for(artifact, {"base_model": adapter.base_name})
        if found.base is None:
            continue
        adapter.base = found.base
        adapter.save(update_fields=["base"])
        audit.record(
            actor=None, action="adapter.link_base", target=adapter.full_name, base=found.base.name, by=found.source
        )
        linked += 1
    return linked
