"""Yanked and deprecated versions: what is offered, what still works."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connections

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import selectors, services
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services import retiring
from marketplace.catalog.selectors import search
from marketplace.core.errors import Conflict, Forbidden, Invalid
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import MakeUpload, run_inspection
from tests.marketplace.adapters.life.conftest import Publish, merge_of

pytestmark = pytest.mark.django_db

NOBODY = AnonymousUser()


@pytest.fixture
def adapter(ada: User, publish: Publish, make_upload: MakeUpload) -> Adapter:
    """Two versions of different weights; the second has another title."""
    adapter = publish(ada, "plural", title="First", description="Of nouns.", tags=["one"])
    adapter = services.publish_upload(user=ada, upload=make_upload(ada, seed=1), adapter=adapter, message="Second")
    return services.edit_adapter(user=ada, adapter=adapter, title="Second", tags=["two"])


def _versions(adapter: Adapter) -> list[Version]:
    return list(adapter.versions.order_by("pk"))


def _yank(adapter: Adapter, version: Version, **more: Any) -> Version:
    return services.yank_version(user=adapter.owner, version=version, reason="Forgets vowels.", **more)


def test_the_newest_version_that_is_left_becomes_current(adapter: Adapter, ada: User) -> None:
    first, second, edited = _versions(adapter)
    _yank(adapter, edited)
    adapter.refresh_from_db()
    assert adapter.current == second
    _yank(adapter, second, same_weights=True)
    adapter.refresh_from_db()
    assert (adapter.current, adapter.title, adapter.tags) == (first, "First", ["one"])
    entry = AuditEntry.objects.filter(action="version.yank").first()
    assert entry is not None
    assert entry.detail["current"] == first.commit
    services.unyank_version(user=ada, version=edited)
    adapter.refresh_from_db()
    assert (adapter.current, adapter.title) == (edited, "Second")
    assert services.unyank_version(user=ada, version=edited).yanked_at is None
    assert AuditEntry.objects.filter(action="version.unyank").count() == 1


def test_when_none_is_left_the_adapter_is_not_listed_and_not_used(adapter: Adapter, ada: User, bob: User) -> None:
    for version in _versions(adapter):
        _yank(adapter, version)
    seen = selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert seen.current is not None
    assert seen.current.yanked_at is not None
    assert search(user=NOBODY).total == 0
    assert search(user=NOBODY, query="nouns").results == []
    with pytest.raises(Conflict, match="every version of it is yanked"):
        policy.require(bob, policy.Action.USE, seen)
    # A new card does not bring the weights back; new weights do.
    edited = services.edit_adapter(user=ada, adapter=adapter, title="Third")
    assert edited.current is not None
    assert edited.current.yank_reason == "Forgets vowels."
    assert search(user=NOBODY).total == 0


def test_a_new_version_ends_it(adapter: Adapter, ada: User, make_upload: MakeUpload) -> None:
    for version in _versions(adapter):
        _yank(adapter, version)
    services.publish_upload(user=ada, upload=make_upload(ada, seed=5), adapter=adapter)
    assert search(user=NOBODY).total == 1


def test_what_was_made_of_it_keeps_its_parent(adapter: Adapter, ada: User, bob: User) -> None:
    child = merge_of(bob, "child", adapter)
    for version in _versions(adapter):
        _yank(adapter, version)
    [edge] = selectors.lineage_of(user=bob, adapter=child)["parents"]
    assert edge.parent.yanked_at is not None
    assert policy.may(bob, policy.Action.USE, adapter, version=edge.parent)


def test_a_yanked_version_that_is_accepted_late_stays_back(
    ada: User, publish: Publish, make_upload: MakeUpload
) -> None:
    adapter = publish(ada, "plural")
    upload = make_upload(ada, check=False, seed=1)
    services.publish_upload(user=ada, upload=upload, adapter=adapter)
    first, second = _versions(adapter)
    _yank(adapter, second)
    run_inspection(Job.objects.get(kind="inspect", state="queued", subject__artifact=second.artifact_id))
    adapter.refresh_from_db()
    assert adapter.current == first


@pytest.mark.parametrize("reason", ["", "  ", "x" * 301])
def test_a_reason_is_needed(reason: str, adapter: Adapter, ada: User) -> None:
    with pytest.raises(Invalid) as caught:
        services.yank_version(user=ada, version=_versions(adapter)[0], reason=reason)
    assert set(caught.value.extra["fields"]) == {"reason"}


def test_deprecation_names_a_successor(adapter: Adapter, ada: User, bob: User, publish: Publish) -> None:
    first, second, edited = _versions(adapter)
    other = publish(bob, "better", seed=7)
    deprecate = services.deprecate_version
    marked = deprecate(user=ada, version=first, superseded_by=edited.commit[:10])
    assert (marked.superseded_by, marked.deprecated_at is None) == (edited, False)
    marked = deprecate(user=ada, version=edited, message="Slow.", superseded_by="bob/better")
    assert marked.superseded_by == other.current
    adapter.refresh_from_db()
    assert adapter.current == edited
    for wrong in (edited.commit, f"bob/better@{'0' * 40}", "bob/nothing", first.commit):
        with pytest.raises(Exception, match=r"leads back|no revision|no adapter"):
            deprecate(user=ada, version=edited, superseded_by=wrong)
    with pytest.raises(Invalid, match="Say what is wrong"):
        deprecate(user=ada, version=edited)
    _yank(adapter, second)
    with pytest.raises(Invalid, match="yanked itself"):
        deprecate(user=ada, version=edited, superseded_by=second.commit)
    cleared = services.undeprecate_version(user=ada, version=edited)
    assert (cleared.deprecated_at, cleared.deprecation, cleared.superseded_by) == (None, "", None)


def test_a_ring_of_successors_ends_the_walk(adapter: Adapter, ada: User, bob: User, publish: Publish) -> None:
    """Of two who write at once, each may not see the other's: what is stored may be a ring."""
    first, second, edited = _versions(adapter)
    Version.objects.filter(pk=second.pk).update(superseded_by=edited)
    Version.objects.filter(pk=edited.pk).update(superseded_by=second)
    assert services.deprecate_version(user=ada, version=first, superseded_by=edited.commit).superseded_by == edited
    with pytest.raises(Forbidden):
        services.deprecate_version(user=bob, version=first, superseded_by=edited.commit)


def test_a_chain_of_successors_has_an_end(adapter: Adapter, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, edited = _versions(adapter)
    services.deprecate_version(user=ada, version=second, superseded_by=edited.commit)
    monkeypatch.setattr(retiring, "MAX_CHAIN", 1)
    with pytest.raises(Invalid, match="Name the last one"):
        services.deprecate_version(user=ada, version=first, superseded_by=second.commit)


@pytest.mark.django_db(transaction=True)
def test_two_who_name_each_others_versions_make_no_ring(ada: User, bob: User, publish: Publish) -> None:
    pair = [publish(ada, "left").current, publish(bob, "right", seed=7).current]
    start, ended = threading.Barrier(2), []

    def run(version: Version, other: str) -> None:
        try:
            start.wait(10)
            services.deprecate_version(user=version.adapter.owner, version=version, superseded_by=other)
            ended.append("done")
        except Invalid:
            ended.append("leads back")
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=run, args=[version, other])
        for version, other in zip(pair, ("bob/right", "ada/left"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["done", "leads back"]


def test_who_may(adapter: Adapter, bob: User) -> None:
    version = _versions(adapter)[0]
    for act in (
        lambda: services.yank_version(user=bob, version=version, reason="x"),
        lambda: services.deprecate_version(user=bob, version=version, message="x"),
    ):
        with pytest.raises(Forbidden):
            act()
    adapter.collaborators.create(user=bob, role="write")
    assert services.yank_version(user=bob, version=version, reason="x").yank_reason == "x"
