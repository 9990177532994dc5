"""What somebody may not see has no name in any refusal: not by way of lineage, digests, files or jobs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.urls import reverse

from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Collaborator, Lineage, Version
from marketplace.compositions import services
from marketplace.compositions.lab import previews, recipes, sweeps
from marketplace.compositions.pairs.services import request_comparison
from marketplace.core.errors import Forbidden
from marketplace.jobs import checking
from marketplace.jobs.models import Job
from tests.marketplace.access.table import LIBRARY
from tests.marketplace.access.walking import addresses

pytestmark = pytest.mark.django_db
SECRET = "zq-secret-sauce"


def current_of(adapter: Adapter) -> Version:
    assert adapter.current is not None
    return adapter.current


def ready(adapter: Adapter) -> Adapter:
    """With what the inspection of a valid artefact leaves."""
    artifact = current_of(adapter).artifact
    artifact.modules = [{"name": "layers.0.q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0}]
    artifact.summary = {"features": [], "task_type": "CAUSAL_LM"}
    artifact.save()
    adapter.examples.create(prompt="cat", expected="cats", public=True)
    return adapter


@pytest.fixture
def secret(make_adapter: Callable[..., Adapter], ada: User, bob: User) -> Adapter:
    """Ada's private adapter that bob may read."""
    adapter = ready(make_adapter(ada, SECRET, base="tiny", license="mit", visibility="private"))
    Collaborator.objects.create(adapter=adapter, user=bob, role="read")
    return adapter


@pytest.fixture
def leaky(secret: Adapter, make_adapter: Callable[..., Adapter], bob: User, carol: User) -> Adapter:
    """Bob's private merge of it that carol may read, with its recipe and lineage."""
    made = make_adapter(bob, "leaky", base="tiny", origin="merge", visibility="private")
    Version.objects.filter(pk=current_of(made).pk).update(recipe=recipe_of(secret).model_dump(mode="json"))
    Lineage.objects.create(child=current_of(made), parent=current_of(secret), operation="svd", position=0)
    Collaborator.objects.create(adapter=made, user=carol, role="read")
    current_of(made).refresh_from_db()
    return made


@pytest.fixture
def carol(make_person: Callable[..., User]) -> User:
    return make_person("carol")


def recipe_of(adapter: Adapter) -> MergeRecipe:
    artifact = current_of(adapter).artifact
    parent = RecipeParent(
        label=adapter.full_name, weight=1.0, config=artifact.config_blob_id, weights=artifact.weights_blob_id
    )
    return MergeRecipe(method="svd", output={"rank": 4}, parents=(parent,))  # type: ignore[arg-type]


def test_a_replay_does_not_name_a_private_parent(leaky: Adapter, secret: Adapter, carol: User, client: Any) -> None:
    client.force_login(carol)
    refused = client.post("/api/v1/adapters/bob/leaky/recipe/")
    assert refused.status_code == 404
    page = client.post(reverse("adapter-replay", args=["bob", "leaky"]), follow=True).content.decode()
    for text in (refused.content.decode(), page):
        assert SECRET not in text
        assert f"the adapter with weights {current_of(secret).artifact.weights_blob_id[:12]}" in text
    assert not Job.objects.exists()


def test_a_replay_takes_the_same_bytes_of_somebody_else(leaky: Adapter, secret: Adapter, carol: User) -> None:
    own = Adapter.objects.create(owner=carol, name="mine", base=secret.base, base_name="tiny", license="mit")
    own.current = Version.objects.create(
        adapter=own, artifact=current_of(secret).artifact, commit="c" * 40, author=carol, message="First version"
    )
    own.save()
    job = recipes.replay_merge(user=carol, adapter=leaky)
    assert [files["label"] for files in job.request["adapters"]] == ["carol/mine"]
    assert SECRET not in json.dumps(job.request) + json.dumps(job.subject) + job.title


def test_a_parent_that_may_be_seen_and_not_used_says_why(leaky: Adapter, secret: Adapter, carol: User) -> None:
    Adapter.objects.filter(pk=secret.pk).update(visibility="gated")
    with pytest.raises(Forbidden, match="Ask at /ada/zq-secret-sauce/access"):
        recipes.replay_merge(user=carol, adapter=leaky)


def test_digests_of_a_private_adapter_say_nothing(secret: Adapter, carol: User, client: Any) -> None:
    """A stranger who holds the digests is refused like one who made them up."""
    client.force_login(carol)
    real = recipe_of(secret).model_dump(mode="json")
    real["parents"][0]["label"] = ""
    made_up = {**real, "parents": [{**real["parents"][0], "config": "0" * 64}]}
    answers = []
    for table in (real, made_up):
        body = {"name": "stolen", "recipe": table}
        sent = client.post("/api/v1/merges/recipes/", body, content_type="application/json")
        page = client.post("/combine/from-file", {"text": json.dumps(table), "make": "1", "name": "stolen"})
        assert (sent.status_code, page.status_code) == (404, 422)
        assert SECRET not in sent.content.decode() + page.content.decode()
        assert "Not here, or not yours to use" in page.content.decode()
        answers.append(sent.json()["message"])
    assert answers[0] == answers[1]
    assert not Job.objects.exists()


def test_a_mergekit_file_finds_no_private_adapter(secret: Adapter, carol: User, client: Any) -> None:
    """Naming one that is there gets the words of one that is not."""
    client.force_login(carol)
    answers = []
    for name in (SECRET, "not-there-at-all"):
        text = f"merge_method: task_arithmetic\nbase_model: tiny\nmodels:\n  - model: tiny+ada/{name}\n"
        body = {"name": "stolen", "mergekit": text}
        sent = client.post("/api/v1/merges/recipes/", body, content_type="application/json")
        assert sent.status_code == 404
        page = client.post("/combine/from-file", {"text": text, "make": "1", "name": "stolen"})
        assert sent.json()["message"] in page.content.decode()
        answers.append(sent.json()["message"].replace(name, "NAME"))
    assert answers[0] == answers[1]
    assert not Job.objects.exists()


def test_the_reason_to_stay_private_names_no_parent(secret: Adapter, bob: User, client: Any) -> None:
    """It stays with the merge, whose collaborators may not see the parent; who merges it reads which one it is."""
    Adapter.objects.filter(pk=secret.pk).update(private_reason="cc-by-nd-4.0 forbids it.")
    secret.refresh_from_db()
    verdict = services.plan_verdict(user=bob, members=[(secret, 1.0)])
    assert verdict["licence"]["reason"] == "A parent must stay private: cc-by-nd-4.0 forbids it."
    (row,) = [row for row in verdict["checks"] if row["code"] == "licence"]
    assert SECRET in row["detail"]
    Adapter.objects.filter(pk=secret.pk).update(private_reason=verdict["licence"]["reason"])
    secret.refresh_from_db()
    again = services.plan_verdict(user=bob, members=[(secret, 1.0)])
    assert again["licence"]["reason"] == verdict["licence"]["reason"], "said once however long the chain"


def test_reasons_of_before_lose_their_names(secret: Adapter) -> None:
    migration = importlib.import_module("marketplace.adapters.migrations.0005_reasons_without_names")
    named = "ada/a must stay private: bob/b.c must stay private: It forbids it."
    Adapter.objects.filter(pk=secret.pk).update(private_reason=named)
    migration.forget_names(apps, None)
    secret.refresh_from_db()
    assert secret.private_reason == "A parent must stay private: It forbids it."


def _jobs(user: User, adapter: Adapter, other: Adapter) -> list[Job]:
    members = [(adapter, 1.0), (other, 1.0)]
    asked = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    compared = request_comparison(user=user, members=members)
    assert compared is not None
    return [
        services.create_merge(user=user, name="mix", members=members, method="svd"),
        previews.create_preview(user=user, prompts=["a"], members=members, method="svd"),
        sweeps.create_sweep(user=user, axes=sweeps.Axes(ranks=[2]), asked=asked, members=members, method="svd"),
        compared,
    ]


def _pages(owner: str, name: str) -> Iterator[str]:
    """Every address that is read and needs no more than an adapter or nothing at all."""
    known = {"owner": owner, "name": name, "revision": "main", "path": "recipe.json", "username": owner}
    for address in addresses():
        if "get" in address.methods() and address.variables <= known.keys() and address.name not in LIBRARY:
            yield reverse(address.name, kwargs={variable: known[variable] for variable in address.variables})


@pytest.mark.parametrize("reader", ["carol", "bob"])
def test_no_page_has_a_name_that_its_reader_may_not_see(
    leaky: Adapter, secret: Adapter, make_adapter: Callable[..., Adapter], reader: str, client: Any
) -> None:
    """Carol may see the merge and not its parent. Bob, who made it, lost access, and the parent was renamed since."""
    bob = leaky.owner
    own = ready(make_adapter(bob, "own", base="tiny", license="mit"))
    _jobs(bob, secret, own)
    Collaborator.objects.filter(adapter=secret).delete()
    Adapter.objects.filter(pk=secret.pk).update(name="zq-renamed-since")
    checking.recheck_jobs()
    hidden = "zq-renamed-since" if reader == "bob" else "zq-"
    client.force_login(User.objects.get(username=reader))
    pages = [*_pages("bob", "leaky"), *(f"/jobs/{job.pk}" for job in Job.objects.all())]
    assert len(pages) > 60
    leaks, answered = [], 0
    for page in pages:
        answer = client.get(page, follow=True)
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        answered += answer.status_code == 200
        leaks += [page] if hidden.encode() in text else []
    assert leaks == []
    assert answered > 40


def test_stopped_jobs_say_the_name_of_their_plan(
    secret: Adapter, make_adapter: Callable[..., Adapter], bob: User, client: Any
) -> None:
    """Whoever lost access does not learn what it is called since."""
    own = ready(make_adapter(bob, "own", base="tiny", license="mit"))
    jobs = _jobs(bob, secret, own)
    Collaborator.objects.filter(adapter=secret).delete()
    Adapter.objects.filter(pk=secret.pk).update(name="renamed-since")
    assert checking.recheck_jobs() == len(jobs)
    client.force_login(bob)
    for job in jobs:
        job.refresh_from_db()
        assert job.state == Job.State.FAILED
        assert f"ada/{SECRET} is no longer yours to use" in job.error_message
        assert "renamed-since" not in job.error_message + client.get(f"/jobs/{job.pk}", follow=True).content.decode()
