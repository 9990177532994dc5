"""The site's blob store."""

from __future__ import annotations

import functools

from django.conf import settings

from inference_worker.blobs import BlobStore


def blob_store() -> BlobStore:
    """The store at ``settings.BLOB_STORE_URL``; one object per address and process."""
    return _store(settings.BLOB_STORE_URL)


@functools.lru_cache(maxsize=8)
def _store(url: str) -> BlobStore:
    return BlobStore(url)
