"""What the marketplace worker does for the catalogue, by beat."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from marketplace.adapters.models import Embedding
from marketplace.catalog.meaning import EXACT_UP_TO
from marketplace.catalog.vector_index import ensure_vector_index


@shared_task(name="marketplace.catalog.index_vectors")
def index_vectors() -> bool:
    """Make the index of the site's encoder once there are more vectors than are searched exactly."""
    if Embedding.objects.filter(encoder=settings.ENCODER).count() <= EXACT_UP_TO:
        return False
    return ensure_vector_index(settings.ENCODER)
