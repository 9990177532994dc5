"""A new version of an accepted adapter: nobody loses the accepted one by it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters import cards, recorders, selectors, services
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.services.naming import lock_names
from marketplace.bases.findings import judge_base
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict
from marketplace.jobs.models import Job
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, fail_inspection, run_inspection

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(ada: User, base: Base, make_upload: MakeUpload) -> Adapter:
    return services.publish_upload(
        user=ada, upload=make_upload(ada), name="plural", visibility="public", description="Plural nouns."
    )


def _next(user: User, adapter: Adapter, make_upload: MakeUpload, seed: int = 1, **arguments: Any) -> Version:
    """Publish other weights, unchecked; returns the new version."""
    upload = make_upload(user, check=False, seed=seed, **arguments)
    services.publish_upload(user=user, upload=upload, adapter=adapter, message=f"Seed {seed}")
    return Version.objects.order_by("-pk")[0]


def _job(version: Version) -> Job:
    return Job.objects.get(kind="inspect", state="queued", subject__artifact=version.artifact_id)


def test_others_keep_the_accepted_version_until_the_next_is(
    ada: User, bob: User, adapter: Adapter, make_upload: MakeUpload, django_capture_on_commit_callbacks: Any
) -> None:
    first = adapter.current
    second = _next(ada, adapter, make_upload)
    seen = selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert (seen.current, selectors.get_version(adapter=seen)) == (first, first)
    assert selectors.waiting_version(user=ada, adapter=seen) == second
    assert selectors.waiting_version(user=bob, adapter=seen) is None
    with django_capture_on_commit_callbacks() as callbacks:
        run_inspection(_job(second))
    seen = selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert seen.current == second
    assert selectors.waiting_version(user=ada, adapter=seen) is None
    assert any("request_embeddings" in repr(callback) for callback in callbacks)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["publish", "edit"])
def test_nobody_waits_for_whoever_waits_for_them(
    how: str, ada: User, bob: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    """Renaming, restoring and handing over hold the owner's names and then take the adapter's row."""
    adapter.collaborators.create(user=bob, role="write")
    upload = make_upload(bob, seed=1)
    held, ended = threading.Event(), []

    def rename() -> None:
        try:
            with transaction.atomic():
                lock_names(ada)
                held.set()
                writing.join(1)
                Adapter.objects.select_for_update().get(pk=adapter.pk)
            ended.append("renamed")
        finally:
            connections.close_all()

    def write() -> None:
        try:
            held.wait(10)
            if how == "publish":
                services.publish_upload(user=bob, upload=upload, adapter=adapter)
            else:
                services.edit_adapter(user=bob, adapter=adapter, title="Plurals")
            ended.append("written")
        finally:
            connections.close_all()

    renaming, writing = threading.Thread(target=rename), threading.Thread(target=write)
    for thread in (writing, renaming):
        thread.start()
    for thread in (writing, renaming):
        thread.join(30)
    assert sorted(ended) == ["renamed", "written"]


def test_what_changed_hands_meanwhile_takes_no_version(
    ada: User, bob: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    adapter.collaborators.create(user=bob, role="write")
    upload = make_upload(bob, seed=1)
    Adapter.objects.filter(pk=adapter.pk).update(owner=bob)
    for write in (
        lambda: services.publish_upload(user=bob, upload=upload, adapter=adapter),
        lambda: services.edit_adapter(user=bob, adapter=adapter, title="Plurals"),
    ):
        with pytest.raises(Conflict) as raised:
            write()
        assert raised.value.code == "handed_over"


@pytest.mark.django_db(transaction=True)
def test_a_card_is_written_while_a_check_is_recorded(
    ada: User, base: Base, make_upload: MakeUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder holds the artefact and then takes the adapters on it."""
    adapter = services.publish_upload(user=ada, upload=make_upload(ada, check=False, seed=1), name="fresh")
    assert adapter.current is not None
    job = _job(adapter.current)
    locked, ended = threading.Event(), []

    def check() -> None:
        try:
            run_inspection(job)
            ended.append("checked")
        finally:
            connections.close_all()

    def judge(*arguments: Any) -> Any:
        locked.set()
        editing.join(1)
        return judge_base(*arguments)

    monkeypatch.setattr(recorders, "judge_base", judge)

    def edit() -> None:
        try:
            locked.wait(10)
            services.edit_adapter(user=ada, adapter=adapter, title="Plurals")
            ended.append("edited")
        finally:
            connections.close_all()

    checking, editing = threading.Thread(target=check), threading.Thread(target=edit)
    for thread in (editing, checking):
        thread.start()
    for thread in (editing, checking):
        thread.join(30)
    assert ended == ["edited", "checked"]


@pytest.mark.parametrize("how", ["invalid", "failed"])
def test_a_version_that_is_not_accepted_changes_nothing_for_others(
    how: str, ada: User, bob: User, base: Base, adapter: Adapter, make_upload: MakeUpload
) -> None:
    first = adapter.current
    second = _next(ada, adapter, make_upload, width=8, base_model_name_or_path="wordsmith-v1")
    if how == "invalid":
        run_inspection(_job(second))
    else:
        fail_inspection(_job(second))
    seen = selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert (seen.current, seen.base, seen.base_name) == (first, base, "brickyard/wordsmith-v1")
    waiting = selectors.waiting_version(user=ada, adapter=seen)
    assert waiting == second
    assert waiting.artifact.problems
    third = _next(ada, adapter, make_upload, seed=2)
    run_inspection(_job(third))
    seen = selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert seen.current == third
    assert selectors.waiting_version(user=ada, adapter=seen) is None


def test_pages_and_rest_show_strangers_accepted_versions_alone(
    ada: User, bob: User, adapter: Adapter, make_upload: MakeUpload, client: Client
) -> None:
    second = _next(ada, adapter, make_upload)
    addresses = ["/ada/plural", "/ada/plural/versions", "/api/v1/adapters/ada/plural/versions/"]
    for person in (None, bob, ada):
        if person is not None:
            client.force_login(person)
        texts = [client.get(address).content.decode() for address in addresses]
        assert [("Seed 1" in text or second.commit[:8] in text) for text in texts] == [person == ada] * 3
    assert "is being checked" in texts[0]
    assert client.get("/api/v1/adapters/ada/plural/").json()["waiting"]["commit"] == second.commit
    fail_inspection(_job(second))
    texts = [client.get(address).content.decode() for address in addresses]
    assert "was not accepted" in texts[0]
    assert all("ran out of memory" in text for text in texts)
    client.force_login(bob)
    assert client.get("/api/v1/adapters/ada/plural/").json()["waiting"] is None
    assert not any("ran out of memory" in client.get(address).content.decode() for address in addresses)


def test_a_card_that_was_edited_meanwhile_is_kept(ada: User, adapter: Adapter, make_upload: MakeUpload) -> None:
    second = _next(ada, adapter, make_upload)
    edited = services.edit_adapter(user=ada, adapter=adapter, description="Makes plurals.").current
    run_inspection(_job(second))
    adapter = Adapter.objects.get(pk=adapter.pk)
    assert adapter.current is not None
    assert (adapter.current.artifact, adapter.current.parent) == (second.artifact, edited)
    assert (adapter.current.message, adapter.current.author) == ("Seed 1", ada)
    front, body = cards.split(current_card(adapter))
    assert front["description"] == "Makes plurals."
    assert "Makes plurals." in body
    assert "Plural nouns." not in body


def test_an_older_version_never_replaces_a_later_one(ada: User, adapter: Adapter, make_upload: MakeUpload) -> None:
    second, third = (_next(ada, adapter, make_upload, seed=seed) for seed in (1, 2))
    run_inspection(_job(third))
    run_inspection(_job(second))
    assert Adapter.objects.get(pk=adapter.pk).current == third


def test_the_first_version_counts_when_the_second_is_not_accepted(ada: User, make_upload: MakeUpload) -> None:
    upload = make_upload(ada, check=False)
    adapter = services.publish_upload(user=ada, upload=upload, name="plural", visibility="public")
    first = adapter.current
    assert first is not None
    second = _next(ada, adapter, make_upload)
    fail_inspection(_job(second))
    run_inspection(_job(first))
    assert Adapter.objects.get(pk=adapter.pk).current == first


@pytest.mark.parametrize("check", [True, False])
def test_the_owners_answer_about_the_base_stays(check: bool, ada: User, base: Base, make_upload: MakeUpload) -> None:
    unknown = {"base_model_name_or_path": "./out"}
    adapter = services.publish_upload(
        user=ada, upload=make_upload(ada, **unknown), name="plural", base="wordsmith-v1", visibility="public"
    )
    upload = make_upload(ada, check=check, seed=1, **unknown)
    services.publish_upload(user=ada, upload=upload, adapter=adapter)
    if not check:
        run_inspection(Job.objects.get(kind="inspect", state="queued"))
    adapter = Adapter.objects.get(pk=adapter.pk)
    assert adapter.current == Version.objects.order_by("-pk")[0]
    assert adapter.base == base
    # Weights that do not fit it drop the answer.
    upload = make_upload(ada, check=check, files=adapter_files(seed=2, width=8, **unknown))
    services.publish_upload(user=ada, upload=upload, adapter=adapter)
    if not check:
        run_inspection(Job.objects.get(kind="inspect", state="queued"))
    assert Adapter.objects.get(pk=adapter.pk).base is None
