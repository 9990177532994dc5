"""A published adapter with real files, and merges made of it, for what happens in an adapter's life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.common import OutputFile
from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Adapter
from marketplace.core.store import blob_store
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files

Publish = Callable[..., Adapter]


@pytest.fixture
def publish(make_upload: MakeUpload) -> Publish:
    """``publish(user, name, seed=…, **fields)``: an accepted public adapter with files in the store."""

    def make(user: User, name: str, *, seed: int = 0, files: Any = None, **fields: Any) -> Adapter:
        upload = make_upload(user, files, seed=seed)
        fields.setdefault("visibility", "public")
        return services.publish_upload(user=user, upload=upload, name=name, **fields)

    return make


def merge_of(owner: User, name: str, parent: Adapter, *, seed: int = 50) -> Adapter:
    """What the recorder of merges makes of a result: an adapter of ``owner`` with ``parent`` as its parent."""
    files = adapter_files(seed=seed)
    stored = {path: blob_store().put_bytes(data) for path, data in files.items()}
    assert parent.current is not None
    return services.create_adapter_from_files(
        owner=owner,
        name=name,
        origin=Adapter.Origin.MERGE,
        files=[
            OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
            for path, info in stored.items()
        ],
        recipe={"parents": [{"label": parent.full_name, "weight": 1.0}], "method": "cat"},
        lineage=[(parent.current, 1.0)],
        operation="cat",
    )
