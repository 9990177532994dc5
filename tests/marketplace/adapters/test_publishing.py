"""Publishing, versions, edits, visibility, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import cards, selectors, services
from marketplace.adapters.models import Adapter, Artifact, Embedding, Upload, Version
from marketplace.adapters.services.card_files import current_card
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, fail_inspection, run_inspection

pytestmark = pytest.mark.django_db

FIELDS: dict[str, Any] = {
    "title": "Plural nouns",
    "description": "Turns nouns into plurals.",
    "license": "MIT",
    "tags": ["Grammar", "nouns", "grammar"],
    "prompt_format": {"template": "{prompt}\nOutput:", "stop": ["\n"]},
    "examples": [{"prompt": "cat", "expected": "cats"}, ("dog", "dogs"), {"prompt": "mouse", "public": True}],
}


def _publish(user: User, upload: Upload, name: str = "plural", **fields: Any) -> Adapter:
    return services.publish_upload(user=user, upload=upload, name=name, **{**FIELDS, **fields})


def test_publish_writes_version_files_card_search_and_audit(
    ada: User, base: Base, make_upload: MakeUpload, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        adapter = _publish(ada, make_upload(ada), visibility="public")
    adapter = Adapter.objects.get(pk=adapter.pk)
    assert (adapter.full_name, adapter.license, adapter.tags) == ("ada/plural", "mit", ["grammar", "nouns"])
    assert (adapter.base, adapter.base_name) == (base, "brickyard/wordsmith-v1")
    version = adapter.current
    assert version is not None
    assert len(version.commit) == 40
    assert [file.path for file in version.files.all()] == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert [(e.prompt, e.expected, e.public) for e in adapter.examples.all()] == [
        ("cat", "cats", False),
        ("dog", "dogs", False),
        ("mouse", "", True),
    ]
    front, body = cards.split(current_card(adapter))
    assert front["title"] == "Plural nouns"
    assert front["license"] == "mit"
    assert front["tags"] == ["grammar", "nouns"]
    assert front["base_model"] == "brickyard/wordsmith-v1"
    assert front["library_name"] == "peft"
    assert PromptFormat.model_validate(front["prompt_format"]) == PromptFormat(
        template="{prompt}\nOutput:", stop=("\n",)
    )
    assert "Turns nouns into plurals." in body
    assert Adapter.objects.filter(search="plurals").exists()
    assert AuditEntry.objects.filter(action="adapter.publish", target="ada/plural", actor=ada).count() == 1
    assert Upload.objects.get().state == Upload.State.PUBLISHED
    # One job to dispatch (the check); the request for vectors stands among the callbacks.
    assert any("request_embeddings" in repr(callback) for callback in callbacks)


def test_pending_adapter_is_its_owners_alone_until_it_is_valid(ada: User, bob: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada, check=False), visibility="public")
    assert selectors.get_adapter(user=ada, owner="ada", name="PLURAL") == adapter
    with pytest.raises(NotFound):
        selectors.get_adapter(user=bob, owner="ada", name="plural")
    run_inspection(Job.objects.get(kind="inspect"))
    assert selectors.get_adapter(user=bob, owner="ADA", name="plural").base_name == "brickyard/wordsmith-v1"


def test_becoming_valid_asks_for_vectors(
    ada: User, make_upload: MakeUpload, django_capture_on_commit_callbacks: Any
) -> None:
    adapter = _publish(ada, make_upload(ada, check=False))
    with django_capture_on_commit_callbacks(execute=True):
        run_inspection(Job.objects.get(kind="inspect"))
    job = Job.objects.get(kind="embed")
    assert job.subject["adapter"] == adapter.pk
    assert {item["key"] for item in job.request["items"]} == {"description", "examples"}


def test_invalid_and_refused_uploads_are_not_published(ada: User, bob: User, make_upload: MakeUpload) -> None:
    broken = {**adapter_files(), "adapter_model.safetensors": b"\x10\0\0\0\0\0\0\0nonsense........"}
    upload = make_upload(ada, broken)
    with pytest.raises(Conflict) as caught:
        _publish(ada, upload)
    assert caught.value.code == "artifact_invalid"
    assert caught.value.extra["problems"]
    refused = make_upload(ada, {"README.md": b"x"})
    with pytest.raises(Conflict, match="refused"):
        _publish(ada, refused)
    with pytest.raises(Forbidden):
        _publish(bob, make_upload(ada))
    assert Adapter.objects.count() == 0


def test_an_upload_is_published_once(ada: User, make_upload: MakeUpload) -> None:
    upload = make_upload(ada)
    _publish(ada, upload)
    with pytest.raises(Conflict, match="already published as ada/plural"):
        _publish(ada, Upload.objects.get(pk=upload.pk), name="other")


def test_every_field_at_fault_is_named(ada: User, make_upload: MakeUpload) -> None:
    with pytest.raises(Invalid) as caught:
        _publish(
            ada,
            make_upload(ada),
            name="-bad",
            visibility="secret",
            title="x" * 121,
            license="no good!",
            tags=["<b>"],
            prompt_format={"template": "no place", "unknown": 1},
            examples=[{"prompt": "", "expected": "answer"}],
        )
    assert set(caught.value.extra["fields"]) == {
        "name", "visibility", "title", "license", "tags", "prompt_format", "examples",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["settings", "x.git", "a/b", "", "a" * 97, "ünicode"])
def test_reserved_and_bad_names(ada: User, make_upload: MakeUpload, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        _publish(ada, make_upload(ada), name=name)
    assert list(caught.value.extra["fields"]) == ["name"]


def test_names_are_unique_per_owner_and_never_used_twice(ada: User, bob: User, make_upload: MakeUpload) -> None:
    first = _publish(ada, make_upload(ada))
    _publish(bob, make_upload(bob))
    with pytest.raises(Conflict, match="already have an adapter named plural"):
        _publish(ada, make_upload(ada), name="Plural")
    services.delete_adapter(user=ada, adapter=first)
    with pytest.raises(Conflict, match="deleted"):
        _publish(ada, make_upload(ada))


def test_base_by_answer_when_the_config_names_none(ada: User, base: Base, make_upload: MakeUpload) -> None:
    unknown = {"base_model_name_or_path": "./out"}
    adapter = _publish(ada, make_upload(ada, **unknown), base="wordsmith-v1")
    assert adapter.base == base
    base.shapes = {}
    base.save()
    with pytest.raises(Invalid, match="does not fit wordsmith-v1") as caught:
        _publish(ada, make_upload(ada, **unknown), name="other", base="wordsmith-v1")
    assert list(caught.value.extra["fields"]) == ["base"]
    with pytest.raises(Invalid, match="no base “nothing”"):
        _publish(ada, make_upload(ada, **unknown), name="other", base="nothing")


def test_uploaded_card_keeps_its_words_and_keys(ada: User, make_upload: MakeUpload) -> None:
    card = b"---\nlicense: gpl-3.0\ndatasets: [x/y]\n---\n# Mine\n\nMy own words.\n"
    adapter = _publish(ada, make_upload(ada, {**adapter_files(), "README.md": card}))
    front, body = cards.split(current_card(adapter))
    assert front["license"] == "mit"
    assert front["datasets"] == ["x/y"]
    assert body == "\n# Mine\n\nMy own words.\n"


def test_card_edit_is_a_commit_on_the_same_artefact(ada: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada))
    first = adapter.current
    assert first is not None
    jobs = Job.objects.filter(kind="inspect").count()
    edited = services.edit_adapter(user=ada, adapter=adapter, description="Makes plurals.", tags=["plural"])
    second = edited.current
    assert second is not None
    assert (second.parent, second.artifact) == (first, first.artifact)
    assert second.commit != first.commit
    assert "Makes plurals." in current_card(edited)
    assert "Turns nouns" not in current_card(edited)
    assert edited.title == "Plural nouns"
    assert Job.objects.filter(kind="inspect").count() == jobs
    changed = {file.path for file in second.files.all()} - {
        file.path for file in second.files.all() if first.files.filter(path=file.path, blob=file.blob).exists()
    }
    assert changed == {"README.md"}
    assert Adapter.objects.filter(search="makes").exists()
    assert not Adapter.objects.filter(search="turns").exists()


def test_edit_without_change_makes_no_commit(ada: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada))
    services.edit_adapter(user=ada, adapter=adapter, title="Plural nouns", examples=[("cat", "cats")])
    assert Version.objects.count() == 1
    assert adapter.examples.count() == 1


def test_new_version_keeps_the_card(ada: User, bob: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada))
    first = adapter.current
    assert first is not None
    with pytest.raises(Conflict, match="same bytes"):
        services.publish_upload(user=ada, upload=make_upload(ada), adapter=adapter)
    with pytest.raises(NotFound):  # It is private, so it is not even there for others.
        services.publish_upload(user=bob, upload=make_upload(bob, seed=1), adapter=adapter)
    updated = services.publish_upload(user=ada, upload=make_upload(ada, seed=1), adapter=adapter, message="Trained on")
    second = updated.current
    assert second is not None
    assert (second.parent, second.message) == (first, "Trained on")
    assert second.artifact != first.artifact
    assert second.prompt_format["stop"] == ["\n"]
    assert "Turns nouns into plurals." in current_card(updated)
    assert selectors.get_version(adapter=updated, revision="main") == second
    assert selectors.get_version(adapter=updated, revision=first.commit[:7]) == first
    for revision in (first.commit[:6], "0" * 40, "dev", "%_%_%_%"):
        with pytest.raises(NotFound):
            selectors.get_version(adapter=updated, revision=revision)


def test_moderated_adapters_cannot_be_changed(ada: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada))
    Adapter.objects.update(moderation="quarantined")
    for change in (
        lambda: services.edit_adapter(user=ada, adapter=adapter, title="x"),
        lambda: services.set_visibility(user=ada, adapter=adapter, visibility="public"),
        lambda: services.delete_adapter(user=ada, adapter=adapter),
    ):
        with pytest.raises(Forbidden, match="quarantined by a moderator"):
            change()
    assert Adapter.objects.get().deleted_at is None


def test_visibility(ada: User, bob: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada))
    with pytest.raises(NotFound):
        services.set_visibility(user=bob, adapter=adapter, visibility="public")
    assert services.set_visibility(user=ada, adapter=adapter, visibility="public").visibility == "public"
    with pytest.raises(Forbidden, match="Only ada"):
        services.set_visibility(user=bob, adapter=adapter, visibility="private")
    with pytest.raises(Invalid):
        services.set_visibility(user=ada, adapter=adapter, visibility="secret")
    Adapter.objects.update(private_reason="A licence forbids it.", visibility="private")
    with pytest.raises(Conflict, match="A licence forbids it") as caught:
        services.set_visibility(user=ada, adapter=adapter, visibility="public")
    assert caught.value.code == "must_stay_private"


def test_invalid_adapter_cannot_become_public(ada: User, make_upload: MakeUpload) -> None:
    adapter = _publish(ada, make_upload(ada, check=False))
    fail_inspection(Job.objects.get(kind="inspect"))
    assert Artifact.objects.get().state == Artifact.State.INVALID
    with pytest.raises(Conflict, match="not accepted"):
        services.set_visibility(user=ada, adapter=Adapter.objects.get(pk=adapter.pk), visibility="public")


def test_deletion_hides_and_keeps_the_bytes_of_others(ada: User, bob: User, make_upload: MakeUpload) -> None:
    mine, theirs = _publish(ada, make_upload(ada)), _publish(bob, make_upload(bob))
    Embedding.objects.create(adapter=mine, encoder="x", kind="description", text_digest="0", embedding=[1.0, 0.0])
    services.delete_adapter(user=ada, adapter=mine)
    with pytest.raises(Gone, match="You can restore it until"):
        selectors.get_adapter(user=ada, owner="ada", name="plural")
    assert not Embedding.objects.exists()
    assert theirs.current is not None
    assert all(blob_store().has(file.blob_id) for file in theirs.current.files.all())
