"""Writes what the job ``embed`` found."""

from __future__ import annotations

from typing import Any

import structlog

from inference_worker.contracts.embed import EmbedResult
from marketplace.adapters.models import Adapter
from marketplace.adapters.purging import register_emptier
from marketplace.catalog import services
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_failure, register_retry

logger = structlog.get_logger(__name__)

register_failure(services.KIND)(services.forget_texts)
register_retry(services.KIND)(services.take_texts_again)
register_emptier(services.forget_adapter)


@register(services.KIND)
def record_embeddings(job: Job, result: dict[str, Any]) -> None:
    """Store the vectors of the job's adapter, unless its texts have changed since or it was deleted."""
    found = EmbedResult.model_validate(result)
    services.forget_texts(job)
    adapter = Adapter.objects.filter(pk=job.subject["adapter"], deleted_at=None).first()
    if adapter is None:
        logger.info("embeddings_dropped", job=str(job.pk), why="the adapter was deleted")
        return
    stored = services.store_embeddings(
        adapter=adapter,
        # The worker's own name of the vector space: queries are answered under the same name.
        encoder=found.encoder,
        vectors=found.vectors,
        digests=job.subject["digests"],
    )
    logger.info("embeddings_stored", adapter=adapter.full_name, encoder=found.encoder, stored=stored)
