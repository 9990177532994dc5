"""Adapters that a job made, and uploads of the same bytes at the same time."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from inference_worker.contracts.common import OutputFile
from marketplace.accounts.models import User
from marketplace.adapters import cards, selectors, services
from marketplace.adapters.models import Adapter, Artifact, Blob, Lineage, Upload
from marketplace.adapters.services.card_files import current_card
from marketplace.core.errors import Conflict, Invalid, QuotaExceeded
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, incoming, run_inspection


def _outputs(**arguments: Any) -> list[OutputFile]:
    """Files as a merge job leaves them in the store."""
    files = {**adapter_files(seed=9, **arguments), "recipe.json": b'{"method": "linear"}'}
    infos = {path: blob_store().put_bytes(data) for path, data in files.items()}
    return [
        OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
        for path, info in infos.items()
    ]


@pytest.fixture
def parents(ada: User, bob: User, make_upload: MakeUpload) -> list[Adapter]:
    return [
        services.publish_upload(user=user, upload=make_upload(user, seed=seed), name=name, visibility=visibility)
        for seed, (user, name, visibility) in enumerate([(ada, "one", "private"), (bob, "two", "public")])
    ]


def _merge(owner: User, parents: list[Adapter], **changes: Any) -> Adapter:
    return services.create_adapter_from_files(
        owner=owner,
        **{
            "name": "both",
            "origin": "merge",
            "files": _outputs(),
            "title": "Both",
            "description": "Does both.",
            "license": "mit",
            "tags": ["merge"],
            "recipe": {"method": "linear", "weights": [0.7, -0.3]},
            "lineage": [(parent.current, weight) for parent, weight in zip(parents, (0.7, -0.3), strict=True)],
            "operation": "linear",
            **changes,
        },
    )


@pytest.mark.django_db
def test_merge_has_files_recipe_lineage_card_and_check(ada: User, bob: User, parents: list[Adapter]) -> None:
    merged = Adapter.objects.get(pk=_merge(ada, parents).pk)
    assert (merged.visibility, merged.origin, merged.base_name) == ("private", "merge", "brickyard/wordsmith-v1")
    assert merged.current is not None
    assert merged.current.recipe == {"method": "linear", "weights": [0.7, -0.3]}
    assert {file.path for file in merged.current.files.all()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.json",
    }  # fmt: skip
    front, body = cards.split(current_card(merged))
    assert front["title"] == "Both"
    # Collaborators read the card, who need not see every parent.
    assert "| a private adapter | 0.7 |" in body
    assert "| bob/two | -0.3 |" in body
    assert '"method": "linear"' in body

    run_inspection(Job.objects.get(kind="inspect", state="queued"))
    assert Artifact.objects.get(pk=merged.current.artifact_id).state == Artifact.State.VALID

    found = selectors.lineage_of(user=ada, adapter=merged)
    assert [(edge.parent.adapter.name, edge.weight, edge.operation) for edge in found["parents"]] == [
        ("one", 0.7, "linear"),
        ("two", -0.3, "linear"),
    ]
    assert [edge.child.adapter.name for edge in selectors.lineage_of(user=ada, adapter=parents[1])["children"]] == [
        "both"
    ]
    # The merge is private: its public parent does not show it to others.
    assert selectors.lineage_of(user=bob, adapter=parents[1])["children"] == []


@pytest.mark.django_db
@pytest.mark.parametrize("given", [False, True], ids=["renamed", "given-away"])
def test_names_that_a_private_parent_had_are_in_no_file(
    ada: User, bob: User, make_person: Any, parents: list[Adapter], given: bool
) -> None:
    """The plan has the name of then; while the job ran, the parent got another name or another owner."""
    recipe = {"method": "linear", "parents": [{"label": "ada/one"}, {"label": "bob/two"}]}
    report = {"adapters": ["ada/one", "bob/two"]}
    files = [file for file in _outputs() if file.path not in ("recipe.json", "merge_report.json")]
    for path, table in (("recipe.json", recipe), ("merge_report.json", report)):
        info = blob_store().put_bytes(json.dumps(table).encode())
        files.append(OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
    if given:
        Adapter.objects.filter(name="one").update(owner=make_person("carol"))
    else:
        Adapter.objects.filter(name="one").update(name="uno")
    for parent in parents:
        parent.refresh_from_db()
    merged = _merge(ada, parents, recipe=recipe, files=files)
    assert merged.current is not None
    told = merged.current.message
    for file in merged.current.files.filter(path__in=["README.md", "recipe.json", "merge_report.json"]):
        with blob_store().open(file.blob_id) as stream:
            told += stream.read().decode()
    assert "bob/two" in told
    assert not any(name in told for name in ("ada/one", "ada/uno", "carol/one"))
    assert merged.current.recipe == recipe, "shown to each reader as far as they may see the parents"


@pytest.mark.django_db
def test_card_edit_of_a_merge_keeps_its_lineage(ada: User, bob: User, parents: list[Adapter]) -> None:
    merged = services.edit_adapter(user=ada, adapter=_merge(ada, parents), title="Renamed")
    assert merged.current is not None
    assert merged.current.recipe == {"method": "linear", "weights": [0.7, -0.3]}
    assert "| bob/two | -0.3 |" in current_card(merged)
    assert Lineage.objects.count() == 4
    found = selectors.lineage_of(user=ada, adapter=merged)
    assert [edge.parent.adapter.name for edge in found["parents"]] == ["one", "two"]
    assert len(selectors.lineage_of(user=ada, adapter=parents[1])["children"]) == 1


RECIPE = {
    "method": "linear",
    "parents": [{"label": "ada/one", "weights": "a" * 64}, {"label": "bob/two", "weights": "b" * 64}],
}


@pytest.mark.django_db
def test_a_merge_is_published_after_its_parents(ada: User, bob: User, parents: list[Adapter]) -> None:
    merged = _merge(ada, parents)
    run_inspection(Job.objects.get(kind="inspect", state="queued"))
    for publish in (
        lambda: services.set_visibility(user=ada, adapter=merged, visibility="public"),
        lambda: services.edit_adapter(user=ada, adapter=merged, visibility="public"),
    ):
        with pytest.raises(Conflict, match="Publish ada/one first") as caught:
            publish()
        assert (caught.value.code, caught.value.extra["parents"]) == ("parents_private", ["ada/one"])
    services.set_visibility(user=bob, adapter=parents[1], visibility="private")
    services.set_visibility(user=ada, adapter=parents[0], visibility="public")
    with pytest.raises(Conflict, match="somebody's private adapter") as caught:
        services.set_visibility(user=ada, adapter=merged, visibility="public")
    assert "bob" not in caught.value.message
    services.set_visibility(user=bob, adapter=parents[1], visibility="public")
    assert services.set_visibility(user=ada, adapter=merged, visibility="public").visibility == "public"


@pytest.mark.django_db
def test_parents_that_went_out_of_sight_are_counted_not_named(
    ada: User, bob: User, parents: list[Adapter], client: Client
) -> None:
    merged = _merge(ada, parents, recipe=RECIPE)
    run_inspection(Job.objects.get(kind="inspect", state="queued"))
    services.set_visibility(user=ada, adapter=parents[0], visibility="public")
    services.set_visibility(user=ada, adapter=merged, visibility="public")
    services.set_visibility(user=ada, adapter=parents[0], visibility="private")
    seen = selectors.get_adapter(user=bob, owner="ada", name="both")
    found = selectors.lineage_of(user=bob, adapter=seen)
    assert [edge.parent.adapter.name for edge in found["parents"]] == ["two"]
    assert found["hidden_parents"] == 1
    redacted = [{"label": "", "weights": "a" * 64}, RECIPE["parents"][1]]
    assert selectors.recipe_of(user=bob, adapter=seen) == {**RECIPE, "parents": redacted}
    assert selectors.recipe_of(user=ada, adapter=seen) == RECIPE
    client.force_login(bob)
    assert client.get("/api/v1/adapters/ada/both/").json()["recipe"]["parents"] == redacted
    assert client.get("/ada/both").context["version"].recipe["parents"] == redacted


@pytest.mark.django_db
def test_a_merge_keeps_its_licence(ada: User, parents: list[Adapter], client: Client) -> None:
    merged = _merge(ada, parents, license="cc-by-nc-4.0")
    for other in ("mit", ""):
        with pytest.raises(Invalid, match=r"stays cc-by-nc-4\.0") as caught:
            services.edit_adapter(user=ada, adapter=merged, license=other, title="New")
        assert list(caught.value.extra["fields"]) == ["license"]
    edited = services.edit_adapter(user=ada, adapter=merged, license="CC-BY-NC-4.0", title="New")
    assert (edited.license, edited.title) == ("cc-by-nc-4.0", "New")
    client.force_login(ada)
    page = client.get("/ada/both/edit")
    assert page.context["form"].fields["license"].disabled
    assert "Follows from what it was merged from." in page.content.decode()
    # What was trained has the licence that its author states.
    assert services.edit_adapter(user=ada, adapter=parents[0], license="mit").license == "mit"


@pytest.mark.django_db
def test_licence_keeps_a_merge_private(ada: User, parents: list[Adapter]) -> None:
    merged = _merge(ada, parents, private_reason="A parent forbids it.")
    with pytest.raises(Conflict, match="A parent forbids it"):
        services.set_visibility(user=ada, adapter=merged, visibility="public")
    with pytest.raises(Conflict, match="A parent forbids it"):
        services.edit_adapter(user=ada, adapter=merged, visibility="public")


@pytest.mark.django_db
def test_faults_of_a_job_are_said(ada: User, parents: list[Adapter]) -> None:
    with pytest.raises(Invalid, match=r"wrote no adapter_config\.json"):
        _merge(ada, parents, files=_outputs()[2:])
    with pytest.raises(Conflict, match="already have"):
        _merge(ada, parents, name="one")
    ada.quota_bytes = 100
    ada.save()
    with pytest.raises(QuotaExceeded):
        _merge(ada, parents)
    assert Adapter.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_bytes_from_many_at_once(make_person: Any) -> None:
    people = [make_person(f"person{number}") for number in range(6)]
    barrier = threading.Barrier(len(people))
    faults: list[BaseException] = []

    def upload(person: User) -> None:
        try:
            files = incoming(adapter_files(seed=3))
            barrier.wait(timeout=30)
            services.create_upload(user=person, files=files)
        except BaseException as fault:  # noqa: BLE001 (shown below)
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=upload, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert Upload.objects.count() == 6
    assert Artifact.objects.count() == 1
    assert Blob.objects.count() == 2
    assert Job.objects.filter(kind="inspect").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_name_is_published_once(ada: User, make_upload: MakeUpload) -> None:
    uploads = [make_upload(ada, seed=seed) for seed in range(4)]
    barrier = threading.Barrier(len(uploads))
    conflicts: list[Conflict] = []

    def publish(upload: Upload) -> None:
        try:
            barrier.wait(timeout=30)
            services.publish_upload(user=ada, upload=upload, name="same")
        except Conflict as fault:
            conflicts.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=publish, args=[upload]) for upload in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Adapter.objects.count() == 1
    assert [fault.code for fault in conflicts] == ["name_taken"] * 3
    assert Upload.objects.filter(state=Upload.State.READY).count() == 3
