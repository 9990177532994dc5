"""Recipes: read, followed, made again, and filled into the form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, Lineage, Version
from marketplace.compositions import services
from marketplace.compositions.lab import recipes
from marketplace.core.errors import Conflict, NotFound
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from tests.marketplace.compositions.conftest import MakeAdapter, Members, succeed

pytestmark = pytest.mark.django_db


def recipe_of(members: Members) -> MergeRecipe:
    return MergeRecipe(
        method="svd",
        output={"rank": 4},
        parents=tuple(
            RecipeParent(
                label=adapter.full_name,
                weight=weight,
                config=adapter.current.artifact.config_blob_id,
                weights=adapter.current.artifact.weights_blob_id,
            )
            for adapter, weight in members
        ),
    )


@pytest.fixture
def merged(pair: Members, make_adapter: MakeAdapter, ada: User) -> Adapter:
    """A merge of both with its recipe and lineage."""
    made = make_adapter(ada, "both", base="tiny", origin="merge")
    Version.objects.filter(pk=made.current_id).update(recipe=recipe_of(pair).model_dump(mode="json"))
    for position, (parent, weight) in enumerate(pair):
        Lineage.objects.create(
            child=made.current, parent=parent.current, weight=weight, operation="svd", position=position
        )
    made.current.refresh_from_db()
    return made


def outputs(config: str, weights: str) -> MergeResult:
    files = (
        OutputFile(path="adapter_config.json", sha256=config, git_sha1=config[:40], size=1),
        OutputFile(path="adapter_model.safetensors", sha256=weights, git_sha1=weights[:40], size=1),
    )
    return MergeResult(files=files, recipe={"method": "svd"}, modules=1, rank=4, seconds=0.1)


def test_a_replay_to_the_same_bytes_makes_nothing_new(merged: Adapter, ada: User, client: Any) -> None:
    job = recipes.replay_merge(user=ada, adapter=merged)
    request = MergeRequest.model_validate(job.request)
    assert (request.method, request.output.rank, request.weights) == ("svd", 4, (1.0, -0.5))
    artifact = merged.current.artifact
    succeed(job, outputs(artifact.config_blob_id, artifact.weights_blob_id))
    assert job.result["replay"]["identical"] is True
    assert Adapter.objects.count() == 3
    client.force_login(ada)
    assert "Byte for byte" in client.get(f"/jobs/{job.pk}").content.decode()


@pytest.mark.parametrize("purged", [False, True])
def test_a_replay_of_what_went_meanwhile_is_kept(
    merged: Adapter, ada: User, bob: User, client: Any, purged: bool
) -> None:
    """Under the name that whoever asked knew; what it is called by now is not theirs to read."""
    written = [blob_store().put_bytes(data) for data in (b'{"peft_type": "LORA"}', b"weights")]
    rows = [Blob.objects.create(sha256=info.sha256, git_sha1=info.git_sha1, size=info.size) for info in written]
    artifact = Artifact.objects.create(config_blob=rows[0], weights_blob=rows[1], state="valid")
    Version.objects.filter(pk=merged.current_id).update(artifact=artifact)
    job = recipes.replay_merge(user=bob, adapter=Adapter.objects.get(pk=merged.pk))
    Adapter.objects.filter(pk=merged.pk).update(name="secret-plan", visibility="private")
    if purged:
        Version.objects.filter(pk=merged.current_id).delete()
    succeed(job, outputs(*(info.sha256 for info in written)))
    assert job.result["replay"].items() >= {"of": "ada/both", "identical": True, "gone": True}.items()
    assert job.result["adapter"] == "bob/both-again"
    client.force_login(bob)
    page = client.get(f"/jobs/{job.pk}").content.decode()
    assert "no longer here for you" in page
    assert "secret-plan" not in page


def test_a_replay_takes_the_versions_of_then(merged: Adapter, pair: Members, ada: User, make_adapter: Any) -> None:
    then = pair[1][0].current
    newer = make_adapter(ada, "newer").current
    Version.objects.filter(pk=newer.pk).update(adapter=pair[1][0])
    Adapter.objects.filter(pk=pair[1][0].pk).update(current=newer)
    job = recipes.replay_merge(user=ada, adapter=merged)
    assert job.subject["members"][1]["version"] == then.pk


def test_replays_need_a_recipe_and_its_parents(merged: Adapter, pair: Members, ada: User) -> None:
    with pytest.raises(Conflict, match="not made by a merge"):
        recipes.replay_merge(user=ada, adapter=pair[0][0])
    Adapter.objects.filter(name="past").update(visibility="private")
    with pytest.raises(NotFound):
        recipes.replay_merge(user=ada, adapter=Adapter.objects.get(pk=merged.pk))


def test_a_refused_replay_names_nobody_whom_the_reader_may_not_see(merged: Adapter, pair: Members, ada: User) -> None:
    Adapter.objects.filter(name="past").update(visibility="private")
    # The lineage is gone with the version, the recipe still has its name.
    Lineage.objects.filter(child=merged.current, position=1).delete()
    with pytest.raises(NotFound) as fault:
        recipes.replay_merge(user=ada, adapter=Adapter.objects.get(pk=merged.pk))
    assert "bob" not in fault.value.message


def test_a_recipe_finds_its_parents_by_digest(pair: Members, ada: User, client: Any) -> None:
    table = recipe_of(pair).model_dump(mode="json")
    for parent in table["parents"]:
        parent["label"] = "somebody/else"
    client.force_login(ada)
    body = {"name": "by-recipe", "recipe": table}
    accepted = client.post("/api/v1/merges/recipes/", body, content_type="application/json")
    assert accepted.status_code == 202
    job = Job.objects.get(pk=accepted.json()["id"])
    assert [files["label"] for files in job.request["adapters"]] == ["ada/plural", "bob/past"]
    table["parents"][0]["weights"] = "0" * 64
    missing = client.post("/api/v1/merges/recipes/", body | {"name": "x2"}, content_type="application/json")
    assert missing.status_code == 404
    broken = client.post(
        "/api/v1/merges/recipes/", {"name": "x3", "recipe": {"kind": "x"}}, content_type="application/json"
    )
    assert broken.status_code == 400


def test_recipes_are_read_without_names_of_hidden_parents(merged: Adapter, ada: User, client: Any) -> None:
    Adapter.objects.filter(name="past").update(visibility="private")
    file = client.get("/ada/both/recipe.json")
    assert file["Content-Disposition"] == 'attachment; filename="both-recipe.json"'
    assert [parent["label"] for parent in json.loads(file.content)["parents"]] == ["ada/plural", ""]
    assert client.get("/api/v1/adapters/ada/both/recipe/").json()["parents"][1]["label"] == ""
    assert client.get("/ada/plural/recipe.json").status_code == 404


def test_short_forms_of_the_output(pair: Members, ada: User) -> None:
    job = services.create_merge(user=ada, name="short", members=pair, method="cat", rank=4, dtype="float16")
    assert job.request["output"] == MergeRequest.model_validate(job.request).output.model_dump(mode="json")
    assert (job.request["output"]["rank"], job.request["output"]["dtype"]) == (4, "float16")


MERGEKIT = """
merge_method: task_arithmetic
base_model: tiny
models:
  - model: tiny+ada/plural
    parameters: {weight: 1.0}
  - model: tiny+bob/past
    parameters: {weight: -0.5}
"""


def test_mergekit_files_in_and_out(merged: Adapter, ada: User, client: Any) -> None:
    client.force_login(ada)
    file = client.get("/ada/both/mergekit.yaml")
    assert file["Content-Type"] == "application/yaml"
    assert "tiny+bob/past" in file.content.decode()
    assert client.get("/api/v1/adapters/ada/both/recipe/?as=mergekit").json()["mergekit"] == file.content.decode()
    body = {"name": "from-mergekit", "mergekit": MERGEKIT}
    accepted = client.post("/api/v1/merges/recipes/", body, content_type="application/json")
    assert accepted.status_code == 202, accepted.content
    request = Job.objects.get(pk=accepted.json()["id"]).request
    assert request["weights"] == [1.0, -0.5]
    wrong = body | {"mergekit": MERGEKIT.replace("task_arithmetic", "passthrough")}
    refused = client.post("/api/v1/merges/recipes/", wrong | {"name": "x"}, content_type="application/json")
    assert refused.status_code == 400
    assert "passthrough" in refused.json()["message"]
    assert client.post("/api/v1/merges/recipes/", {"name": "y"}, content_type="application/json").status_code == 400


def test_hidden_parents_make_no_mergekit_file(merged: Adapter, client: Any) -> None:
    Adapter.objects.filter(name="past").update(visibility="private")
    assert client.get("/api/v1/adapters/ada/both/recipe/?as=mergekit").status_code == 409
    sent = client.get("/ada/both/mergekit.yaml", follow=True)
    assert "A parent of this merge is private" in sent.content.decode()


@pytest.mark.parametrize("kind", ["recipe", "mergekit"])
def test_a_file_fills_in_the_form(pair: Members, ada: User, client: Any, kind: str) -> None:
    client.force_login(ada)
    text = recipe_of(pair).model_dump_json() if kind == "recipe" else MERGEKIT
    sent = client.post("/combine/from-file", {"text": text}, follow=True)
    form = sent.context["form"]
    assert [(member.adapter.full_name, member.weight) for member in form.members] == [
        ("ada/plural", "1"),
        ("bob/past", "-0.5"),
    ]
    assert form.method == ("svd" if kind == "recipe" else "task_arithmetic")
    broken = client.post("/combine/from-file", {"text": "{]"}, follow=True)
    assert "cannot be read" in broken.content.decode()


def test_a_recipe_is_followed_with_the_weights_that_were_found(pair: Members, ada: User) -> None:
    learned = recipe_of(pair).model_copy(update={"method": "lorahub"})
    request = recipes.plan_recipe(user=ada, recipe=learned, versions=[]).request
    assert (request.fit, request.weights) == (None, (1.0, -0.5))


def test_the_page_follows_a_recipe_to_the_letter(
    pair: Members, ada: User, client: Any, make_adapter: MakeAdapter
) -> None:
    text = recipe_of(pair).model_copy(update={"method": "lorahub"}).model_dump_json()
    then, newer = pair[1][0].current, make_adapter(ada, "newer").current
    Version.objects.filter(pk=newer.pk).update(adapter=pair[1][0])
    Adapter.objects.filter(pk=pair[1][0].pk).update(current=newer)
    client.force_login(ada)
    first = client.post("/combine/from-file", {"text": text}).content.decode()
    assert "Of bob/past the file means an earlier version" in first
    assert "finds its weights again" in first
    assert not Job.objects.exists()
    nameless = client.post("/combine/from-file", {"text": text, "make": "1"})
    assert nameless.status_code == 422
    assert "lorahub" in nameless.content.decode()
    sent = {"text": text, "make": "1", "name": "again", "key": "k"}
    made = [client.post("/combine/from-file", sent)["Location"] for _ in range(2)]
    job = Job.objects.get(kind="merge")
    assert made == [f"/jobs/{job.pk}"] * 2
    assert job.subject["members"][1]["version"] == then.pk
    assert (job.request["fit"], job.request["weights"]) == (None, [1.0, -0.5])
