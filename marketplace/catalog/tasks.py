"""What the marketplace worker does for the catalogue, by beat."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from marketplace.adapters.models import Adapter, Embedding
from marketplace.catalog.meaning import EXACT_UP_TO
from marketplace.catalog.services import embeddable, request_embeddings
from marketplace.catalog.vector_index import ensure_vector_index

#: What was written just now has its own job on the way.
_SETTLED = timedelta(minutes=10)
_AT_ONCE = 500


@shared_task(name="marketplace.tend_vectors")
def tend_vectors() -> dict[str, int]:
    """Ask for vectors that are missing although nobody edits, and make the index when it is worth one.

    A job that failed, or a commit after which the database went away, would otherwise leave an adapter that search by
    meaning never finds.
    """
    return {"requested": request_missing(), "indexed": int(index_vectors())}


def request_missing() -> int:
    """Queue jobs for adapters without a vector of the site's encoder; returns how many."""
    embedded = Embedding.objects.filter(encoder=settings.ENCODER, kind=Embedding.Kind.DESCRIPTION)
    missing = (
        embeddable(Adapter.objects.all())
        .filter(updated_at__lt=timezone.now() - _SETTLED)
        .exclude(pk__in=embedded.values("adapter_id"))
    )
    return sum(request_embeddings(adapter) is not None for adapter in missing.order_by("pk")[:_AT_ONCE])


def index_vectors() -> bool:
    """Make the index of the site's encoder once there are more vectors than are searched exactly."""
    if Embedding.objects.filter(encoder=settings.ENCODER).count() <= EXACT_UP_TO:
        return False
    return ensure_vector_index(settings.ENCODER)
