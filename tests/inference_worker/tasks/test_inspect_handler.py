"""The check of a stored adapter is about the bytes that were uploaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reference.hostile_files import write_pair

from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.inspect import InspectRequest
from inference_worker.errors import BlobCorrupt, BlobMissing
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers.inspect import handle


def test_bytes_that_changed_in_the_store_are_noticed(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path / 'blobs'}")
    files = write_pair(tmp_path / "adapter")
    config = store.put_file(files / "adapter_config.json").sha256
    weights = store.put_file(files / "adapter_model.safetensors").sha256
    request = InspectRequest(adapter=AdapterFiles(label="a/b", config=config, weights=weights))
    with open(os.devnull, "wb") as reports:
        context = JobContext(blobs=store, workdir=tmp_path, encoder="", reports=reports.fileno())
        assert handle(request, context).valid
        path = store.path(weights)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(BlobCorrupt):
            handle(request, context)
        path.unlink()
        with pytest.raises(BlobMissing):
            handle(request, context)
