"""Tombstones, restoring, and what is left in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters import selectors, services, tombstones
from marketplace.adapters.garbage import collect_garbage
from marketplace.adapters.models import Adapter, Artifact, Blob, Version
from marketplace.adapters.uploads.quota import restorable_bytes, stored_bytes
from marketplace.adapters.uploads.tus import Metadata
from marketplace.catalog.selectors import search
from marketplace.core.errors import Conflict, Forbidden, Gone, NotFound, QuotaExceeded
from marketplace.core.store import blob_store
from marketplace.moderation import services as moderation
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import MakeUpload
from tests.marketplace.adapters.life.conftest import Publish, merge_of

pytestmark = pytest.mark.django_db

NOBODY = AnonymousUser()
EXAMPLE = {"prompt": "cat", "expected": "cats", "public": True}


def _age(adapter: Adapter, days: float) -> None:
    """As if the adapter had been deleted, and everything stored, this much earlier."""
    by = timedelta(days=days)
    adapter.refresh_from_db()
    assert adapter.deleted_at is not None
    Adapter.objects.filter(pk=adapter.pk).update(deleted_at=adapter.deleted_at - by)
    for model in (Artifact, Blob):
        model.objects.update(created_at=timezone.now() - by)


def test_everything_comes_back(ada: User, bob: User, publish: Publish, django_capture_on_commit_callbacks: Any) -> None:
    adapter = publish(ada, "plural", description="Of nouns.", examples=[EXAMPLE])
    adapter.collaborators.create(user=bob, role="write")
    before = adapter.current
    services.delete_adapter(user=ada, adapter=adapter)
    assert search(user=NOBODY, query="nouns").results == []
    assert list(tombstones.recently_deleted(ada)) == [adapter]
    assert not tombstones.recently_deleted(bob).exists()
    with django_capture_on_commit_callbacks() as callbacks:
        adapter = services.restore_adapter(user=ada, adapter=adapter)
    assert (adapter.visibility, adapter.current, adapter.examples.count()) == ("public", before, 1)
    assert adapter.collaborators.count() == 1
    assert [hit.adapter for hit in search(user=NOBODY, query="nouns").results] == [adapter]
    assert any("request_embeddings" in repr(callback) for callback in callbacks)
    assert services.restore_adapter(user=ada, adapter=adapter) == adapter


def test_the_address_says_that_it_was_there(ada: User, bob: User, publish: Publish) -> None:
    public, private = publish(ada, "plural"), publish(ada, "secret", seed=1, visibility="private")
    services.rename_adapter(user=ada, adapter=public, name="nouns")
    for adapter in (public, private):
        services.delete_adapter(user=ada, adapter=adapter)
    for name in ("plural", "nouns"):
        with pytest.raises(Gone, match="Only ada can restore it") as caught:
            selectors.get_adapter(user=bob, owner="ada", name=name)
        assert (caught.value.extra["adapter"], caught.value.extra["may_restore"]) == ("ada/nouns", False)
    with pytest.raises(NotFound):
        selectors.get_adapter(user=bob, owner="ada", name="secret")
    with pytest.raises(Gone, match="You can restore it"):
        selectors.get_adapter(user=ada, owner="ada", name="secret")


def test_lineage_goes_on_naming_it(ada: User, bob: User, publish: Publish) -> None:
    parent, hidden = publish(ada, "plural"), publish(bob, "mine", seed=1, visibility="private")
    child, other = merge_of(bob, "child", parent), merge_of(bob, "other", hidden, seed=51)
    assert parent.current is not None
    commit = parent.current.commit
    services.delete_adapter(user=ada, adapter=parent)
    services.delete_adapter(user=bob, adapter=hidden)
    for purged in (False, True):
        if purged:
            _age(parent, 31)
            _age(hidden, 31)
            assert collect_garbage().purged == 2
        lineage = selectors.lineage_of(user=NOBODY, adapter=child)
        [edge] = lineage["parents"]
        assert (edge.parent.adapter.full_name, edge.parent.commit) == ("ada/plural", commit)
        assert edge.parent.adapter.deleted_at is not None
        recipe = selectors.recipe_of(user=NOBODY, adapter=child)
        assert recipe is not None
        assert recipe["parents"][0]["label"] == "ada/plural"
        assert selectors.lineage_of(user=NOBODY, adapter=other)["hidden_parents"] == 1


def test_after_its_time_the_bytes_go_and_lineage_stays(ada: User, bob: User, publish: Publish) -> None:
    parent, lone = publish(ada, "plural", examples=[EXAMPLE]), publish(ada, "lone", seed=1)
    merge_of(bob, "child", parent)
    assert parent.current is not None
    weights = parent.current.artifact.weights_blob_id
    for adapter in (parent, lone):
        services.delete_adapter(user=ada, adapter=adapter)
        _age(adapter, 30.1)
    for row in (parent, lone):
        with pytest.raises(Gone, match="more than 30 days ago"):
            services.restore_adapter(user=ada, adapter=row)
    parent.uploads.all().delete()
    lone.uploads.all().delete()
    found = collect_garbage()
    assert (found.purged, found.versions, found.artifacts) == (2, 1, 1)
    assert not blob_store().has(weights)
    assert Blob.objects.get(pk=weights).git_sha1 == ""
    parent.refresh_from_db()
    assert (parent.examples.count(), parent.versions.count(), parent.purged_at is None) == (0, 1, False)
    assert collect_garbage().blobs == 0
    with pytest.raises(Gone) as caught:
        selectors.get_adapter(user=bob, owner="ada", name="lone")
    assert caught.value.extra["restorable_until"] is None


def test_bytes_that_were_forgotten_can_come_again(
    ada: User, bob: User, publish: Publish, make_upload: MakeUpload
) -> None:
    parent = publish(ada, "plural")
    merge_of(bob, "child", parent)
    services.delete_adapter(user=ada, adapter=parent)
    _age(parent, 31)
    parent.uploads.all().delete()
    collect_garbage()
    again = publish(bob, "again")
    assert again.current is not None
    assert all(blob_store().has(file.blob_id) for file in again.current.files.all())
    assert Blob.objects.filter(git_sha1="").count() == 0


def test_restoring_counts_towards_the_quota(ada: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    services.delete_adapter(user=ada, adapter=adapter)
    ada.quota_bytes = 10
    ada.save()
    with pytest.raises(QuotaExceeded):
        services.restore_adapter(user=ada, adapter=adapter)


def test_a_merge_comes_back_private_when_a_parent_went_out_of_sight(ada: User, bob: User, publish: Publish) -> None:
    parent = publish(ada, "plural")
    child = merge_of(bob, "child", parent)
    Adapter.objects.filter(pk=child.pk).update(visibility="public")
    services.delete_adapter(user=bob, adapter=child)
    services.set_visibility(user=ada, adapter=parent, visibility="private")
    assert services.restore_adapter(user=bob, adapter=child).visibility == "private"


def test_nobody_escapes_a_moderator_by_deleting(ada: User, bob: User, moderator: User, publish: Publish) -> None:
    adapter, reported = publish(ada, "plural"), publish(ada, "past", seed=1)
    moderation.decide(moderator=moderator, adapter=adapter, action="quarantine", reason="Copied.")
    with pytest.raises(Forbidden, match="quarantined by a moderator"):
        services.delete_adapter(user=ada, adapter=adapter)
    services.delete_adapter(user=ada, adapter=reported)
    moderation.decide(moderator=moderator, adapter=reported, action="remove", reason="Copied.")
    with pytest.raises(Conflict, match="removed ada/past"):
        services.restore_adapter(user=ada, adapter=reported)
    assert not tombstones.recently_deleted(ada).exists()
    with pytest.raises(NotFound):
        services.restore_adapter(user=bob, adapter=reported)
    # What was taken down is not purged.
    _age(reported, 60)
    assert collect_garbage().purged == 0
    assert Version.objects.filter(adapter=reported).exists()


def test_deleting_makes_no_room_without_end(ada: User, publish: Publish, make_upload: MakeUpload) -> None:
    first = publish(ada, "first")
    ada.quota_bytes = stored_bytes(ada) + 1000
    ada.save(update_fields=["quota_bytes"])
    services.delete_adapter(user=ada, adapter=first)
    second = publish(ada, "second", seed=1)
    services.delete_adapter(user=ada, adapter=second)
    with pytest.raises(QuotaExceeded, match="for good") as raised:
        make_upload(ada, seed=2)
    assert 0 < raised.value.extra["deleted"] <= restorable_bytes(ada)
    with pytest.raises(QuotaExceeded, match="for good"):
        services.begin_partial_upload(user=ada, length=ada.quota_bytes, metadata=Metadata(path="weights"))
    # What is brought back is no longer deleted.
    services.restore_adapter(user=ada, adapter=first)
    services.delete_adapter(user=ada, adapter=first)
    services.purge_adapter(user=ada, adapter=second)
    services.purge_adapter(user=ada, adapter=second)
    assert AuditEntry.objects.filter(action="adapter.purge", actor=ada).count() == 1
    publish(ada, "third", seed=2)


def test_what_is_deleted_for_good_goes_at_the_next_collection(ada: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    digests = list(Version.objects.values_list("files__blob", flat=True))
    with pytest.raises(Conflict) as raised:
        services.purge_adapter(user=ada, adapter=adapter)
    assert raised.value.code == "not_deleted"
    services.delete_adapter(user=ada, adapter=adapter)
    _age(adapter, 2)
    services.purge_adapter(user=ada, adapter=adapter)
    with pytest.raises(Gone):
        services.restore_adapter(user=ada, adapter=adapter)
    collect_garbage()
    assert not any(blob_store().has(digest) for digest in digests)


def test_what_a_moderator_keeps_is_not_deleted_for_good(
    ada: User, bob: User, publish: Publish, moderator: User
) -> None:
    adapter = publish(ada, "plural")
    services.delete_adapter(user=ada, adapter=adapter)
    with pytest.raises(NotFound):
        services.purge_adapter(user=bob, adapter=adapter)
    Adapter.objects.update(moderation="quarantined")
    with pytest.raises(Conflict) as raised:
        services.purge_adapter(user=ada, adapter=adapter)
    assert raised.value.code == "moderated"
    assert restorable_bytes(ada) == 0


def test_the_account_page_offers_it(client: Client, ada: User, publish: Publish) -> None:
    services.delete_adapter(user=ada, adapter=publish(ada, "plural"))
    client.force_login(ada)
    assert "Delete for good now" in client.get("/account/").content.decode()
    answer = client.post("/ada/plural/purge", follow=True)
    assert "is deleted for good" in answer.content.decode()
    assert "Recently deleted" not in answer.content.decode()
