"""Members whose weight is 0 everywhere are absent, on the site as in the worker; others that stand in the way can be
left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions import services
from marketplace.compositions.lab import recipes, sweeps
from marketplace.core.errors import Invalid
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db
NOWHERE = [{"modules": "0-31", "factor": 0.0}]


@pytest.fixture
def plain(make_adapter: Callable[..., Adapter], ada: User) -> Adapter:
    return _measured(make_adapter(ada, "plain", base="tiny", license="mit"))


@pytest.fixture
def dora(make_adapter: Callable[..., Adapter], ada: User) -> Adapter:
    """What no merge takes: DoRA, for another task, of other shapes, of a licence that forbids merges."""
    adapter = make_adapter(ada, "dora", base="tiny", license="cc-by-nd-4.0")
    return _measured(adapter, width=32, features=["dora"], task="SEQ_CLS")


def _measured(
    adapter: Adapter, *, width: int = 16, features: list[str] | None = None, task: str = "CAUSAL_LM"
) -> Adapter:
    assert adapter.current is not None
    artifact = adapter.current.artifact
    artifact.modules = [
        {"name": f"model.layers.{layer}.q_proj", "rank": 8, "d_in": width, "d_out": width, "norm": 1.0}
        for layer in range(2)
    ]
    artifact.summary = {"features": features or [], "task_type": task}
    artifact.save()
    return adapter


def test_weight_0_is_absence(plain: Adapter, dora: Adapter, ada: User) -> None:
    verdict = services.plan_verdict(user=ada, members=[(plain, 1.0), (dora, 0.0)])
    assert verdict["mergeable"]
    assert (verdict["licence"]["license"], verdict["licence"]["publishable"]) == ("mit", True)
    assert not services.plan_verdict(user=ada, members=[(plain, 1.0), (dora, 0.5)])["mergeable"]
    job = services.create_merge(user=ada, name="both", members=[(plain, 1.0), (dora, 0.0)], method="svd")
    assert job.subject["licence"]["license"] == "mit"


def test_who_is_absent_is_no_parent(plain: Adapter, dora: Adapter, ada: User) -> None:
    """Nothing of it is in the merge, so neither recipe nor lineage names it, and quarantining it concerns no merge."""
    layers = [[], NOWHERE, [{"modules": "0", "factor": 0.0}]]
    members = [(plain, 1.0), (dora, 1.0), (plain, 0.5)]
    for name, more, kept, factors in (
        ("one", {"members": [(dora, 0.0), (plain, 1.0)]}, (1.0,), ()),
        ("two", {"members": members, "layer_weights": layers}, (1.0, 0.5), (0, 1)),
    ):
        job = services.create_merge(user=ada, name=name, method="svd", **more)
        request = MergeRequest.model_validate(job.request)
        assert (request.weights, tuple(map(len, request.layer_weights))) == (kept, factors)
        assert {files.label for files in request.adapters} == {"ada/plain"}
        versions = [member["version"] for member in job.subject["members"]]
        assert versions == [plain.current_id] * len(kept), "of which the lineage is made"
        assert AuditEntry.objects.filter(action="merge.create").latest("pk").detail["members"] == ["ada/plain"] * len(
            kept
        )


def test_recipes_of_before_do_without_who_is_absent(plain: Adapter, dora: Adapter, ada: User) -> None:
    parents = [
        RecipeParent(weight=weight, config=chosen.current.artifact.config_blob_id, weights=digest)
        for chosen, weight, digest in (
            (plain, 1.0, plain.current.artifact.weights_blob_id),  # type: ignore[union-attr]
            (dora, 0.0, "0" * 64),
        )
    ]
    recipe = MergeRecipe(method="svd", parents=tuple(parents))
    assert recipes.plan_recipe(user=ada, recipe=recipe, versions=[]).names == ["ada/plain"]


def test_so_is_the_factor_0_in_every_layer(plain: Adapter, dora: Adapter, ada: User) -> None:
    members, groups = [(plain, 1.0), (dora, 1.0)], [[], NOWHERE]
    assert services.plan_verdict(user=ada, members=members, layer_weights=groups)["mergeable"]
    in_one = [[], [{"modules": "0", "factor": 0.0}]]
    assert not services.plan_verdict(user=ada, members=members, layer_weights=in_one)["mergeable"]
    faulty = [[], [{"modules": "0-31", "factor": "much"}]]
    assert not services.plan_verdict(user=ada, members=members, layer_weights=faulty)["mergeable"]
    job = services.create_merge(user=ada, name="both", members=members, method="svd", layer_weights=groups)
    assert job.subject["licence"]["license"] == "mit"


def test_nothing_but_zeros_is_refused_as_such(plain: Adapter, ada: User) -> None:
    with pytest.raises(Invalid, match="All weights are zero"):
        services.create_merge(user=ada, name="none", members=[(plain, 0.0)], method="svd")


def test_a_sweep_looks_at_each_point(plain: Adapter, dora: Adapter, ada: User) -> None:
    _measured(dora, width=32, features=["dora"])
    asked = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    members = [(plain, 1.0), (dora, 0.0)]

    def sweep(*weights: list[float]) -> Job:
        axes = sweeps.Axes(weights=weights)
        return sweeps.create_sweep(user=ada, axes=axes, asked=asked, members=members, method="svd")

    assert len(sweep([1.0, 0.0], [0.5, 0.0]).request["points"]) == 2
    with pytest.raises(Invalid, match="ada/dora can only be carried through alone"):
        sweep([1.0, 0.0], [1.0, 1.0])


def test_what_stands_in_the_way_can_be_left_out(plain: Adapter, dora: Adapter, ada: User, client: Any) -> None:
    """By a button beside the refusal, which is a plain submission of the form."""
    client.force_login(ada)
    chosen = {"with": ["ada/plain", "ada/dora"], "weight": ["1", "1"], "method": "svd"}
    page = client.get("/combine/", chosen)
    assert page.context["verdict"]["leave_out"] == ["ada/dora"]
    text = page.content.decode()
    body = {"members": [{"adapter": name} for name in chosen["with"]]}
    check = client.post("/api/v1/merges/check/", body, content_type="application/json").json()
    assert (check["mergeable"], check["leave_out"]) == (False, ["ada/dora"])
    refused = client.post("/api/v1/merges/", body | {"method": "svd", "name": "x"}, content_type="application/json")
    assert refused.json()["extra"]["leave_out"] == ["ada/dora"]
    assert "Leave it out, or choose it alone." in text
    assert ">Leave out ada/dora</button>" in text
    without = client.get("/combine/", {**chosen, "drop": "ada/dora"})
    assert [member.adapter.name for member in without.context["form"].members] == ["plain"]
    assert without.context["verdict"]["leave_out"] == []
    alone = client.get("/combine/", {"with": "ada/dora", "weight": "0.5", "method": "svd"})
    assert "Give it the weight 1." in alone.content.decode()
    assert alone.context["verdict"]["leave_out"] == []
