"""What is collected, and what is not."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.garbage import Collected, collect_garbage
from marketplace.adapters.models import Adapter, Artifact, Blob, Upload, Version
from marketplace.adapters.uploads.quota import stored_bytes
from marketplace.core.store import blob_store
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, incoming

pytestmark = pytest.mark.django_db


def _age(days: float) -> None:
    """Make everything older, in the database and in the store."""
    by = timedelta(days=days)
    for model in (Blob, Artifact, Upload):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(created_at=row.created_at - by)
    for adapter in Adapter.objects.exclude(deleted_at=None):
        assert adapter.deleted_at is not None
        Adapter.objects.filter(pk=adapter.pk).update(deleted_at=adapter.deleted_at - by)
    for path in _files():
        at = path.stat().st_mtime - by.total_seconds()
        os.utime(path, (at, at))


def _files() -> list[Any]:
    return [path for path in (blob_store().scratch.parent / "blobs").rglob("*") if path.is_file()]


def test_nothing_that_is_needed_goes(ada: User, make_upload: MakeUpload) -> None:
    services.publish_upload(user=ada, upload=make_upload(ada), name="published")
    _age(8)
    make_upload(ada, {**adapter_files(seed=1), "README.md": b"hello"})
    _age(2)
    found = collect_garbage()
    assert (found.artifacts, found.blobs, found.versions) == (0, 0, 0)
    assert (Blob.objects.count(), len(_files())) == (5, 5)


def test_abandoned_uploads_go_and_free_the_quota(ada: User, make_upload: MakeUpload) -> None:
    make_upload(ada)
    size = sum(len(data) for data in adapter_files().values())
    _age(6.9)
    assert collect_garbage() == Collected()
    assert stored_bytes(ada) == size
    _age(0.2)
    assert collect_garbage() == Collected(uploads=1, artifacts=1, blobs=2, size=size)
    assert (Blob.objects.count(), Artifact.objects.count(), _files(), stored_bytes(ada)) == (0, 0, [], 0)


def test_a_check_under_way_keeps_its_bytes(ada: User, make_upload: MakeUpload) -> None:
    make_upload(ada, check=False)
    _age(8)
    assert collect_garbage() == Collected(uploads=1)
    assert len(_files()) == 2


def test_deleted_adapters_go_once_nobody_can_restore_them(ada: User, bob: User, make_upload: MakeUpload) -> None:
    mine = services.publish_upload(user=ada, upload=make_upload(ada), name="mine")
    services.publish_upload(user=bob, upload=make_upload(bob), name="theirs")
    _age(8)
    services.delete_adapter(user=ada, adapter=mine)
    _age(29.9)
    assert collect_garbage().versions == 0
    _age(0.2)
    found = collect_garbage()
    # Only the card was hers alone.
    assert (found.purged, found.versions, found.artifacts, found.blobs) == (1, 1, 0, 1)
    assert Version.objects.count() == 1
    mine.refresh_from_db()
    assert (mine.current, mine.description, mine.purged_at is None) == (None, "", False)
    with pytest.raises(Exception, match="deleted an adapter named mine"):
        services.publish_upload(user=ada, upload=make_upload(ada), name="mine")


def test_what_moderators_took_down_is_kept(ada: User, make_upload: MakeUpload) -> None:
    adapter = services.publish_upload(user=ada, upload=make_upload(ada), name="bad")
    Adapter.objects.filter(pk=adapter.pk).update(moderation="removed", deleted_at=timezone.now())
    _age(40)
    assert (collect_garbage().versions, collect_garbage().purged) == (0, 0)
    assert Artifact.objects.count() == 1


def test_bytes_that_are_wanted_again_survive(ada: User, make_upload: MakeUpload) -> None:
    upload = make_upload(ada)
    _age(8)
    services.discard_upload(user=ada, upload=upload)
    # The same bytes come again just before the collection.
    again = services.create_upload(user=ada, files=incoming(adapter_files()))
    assert collect_garbage() == Collected()
    assert again.artifact is not None
    assert len(_files()) == 2


def test_bytes_without_a_row(ada: User) -> None:
    info = blob_store().put_bytes(b"a job's result that was never recorded")
    assert collect_garbage() == Collected()
    at = time.time() - 25 * 3600
    os.utime(blob_store().path(info.sha256), (at, at))
    # Written again: it counts as new.
    blob_store().put_bytes(b"a job's result that was never recorded")
    assert collect_garbage() == Collected()
    os.utime(blob_store().path(info.sha256), (at, at))
    assert collect_garbage() == Collected(blobs=1)
    assert (_files(), Blob.objects.count()) == ([], 0)
    call_command("collect_garbage", verbosity=0)
