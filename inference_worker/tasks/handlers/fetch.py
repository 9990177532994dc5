"""Fetch: files from a hub or an address, kept in the scratch folder until they are whole, then in the blob store."""

from __future__ import annotations

import shutil
import time

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.fetch import FetchRequest, FetchResult
from inference_worker.fetching.fetch import fetch
from inference_worker.fetching.settings import FetchSettings
from inference_worker.tasks.context import JobContext


def handle(request: FetchRequest, context: JobContext) -> FetchResult:
    """Raises ``BadInput`` in words. A broken transfer stays for the job's next attempt, for a day at most."""
    started = time.monotonic()
    # Named by the job, so that a later attempt finds it; the collection of abandoned scratch files takes the rest.
    folder = context.blobs.scratch / f"fetch-{context.job}"
    done = fetch(request, FetchSettings.from_environment(), folder, context.progress, context.log)
    context.progress(0.98, "Storing what was fetched")
    files = []
    for name, path in done.files:
        info = context.blobs.put_file(path)
        files.append(OutputFile(path=name, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
    shutil.rmtree(folder, ignore_errors=True)
    return FetchResult(
        files=tuple(files),
        origin=done.origin,
        revision=done.revision,
        resumed=done.resumed,
        seconds=round(time.monotonic() - started, 3),
    )
