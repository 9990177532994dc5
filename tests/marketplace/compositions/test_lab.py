"""Previews, sweeps and recipes as the marketplace sees them: who may, what is planned, what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import QueryDict

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.evaluate import Estimate
from inference_worker.contracts.jobs import JobOutcome, partial_name
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_preview import (
    MergePreviewRequest,
    MergePreviewResult,
    PreviewAnswer,
    PreviewColumn,
)
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from inference_worker.contracts.merge_sweep import MergeSweepRequest, MergeSweepResult, PairedDifference, SweepCell
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Lineage, Version
from marketplace.bases.models import Base
from marketplace.compositions import services
from marketplace.compositions.forms import parameters_of, read_form
from marketplace.compositions.halves import is_for_fitting
from marketplace.compositions.lab import previews, recipes, sweeps
from marketplace.compositions.lab.sweep_chart import chart_of, table_of
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound, TooManyRequests
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationSuite
from marketplace.jobs import checking
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome
from marketplace.moderation.models import AuditEntry

MakeAdapter = Callable[..., Adapter]
Members = list[tuple[Adapter, float]]
pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(make_adapter: MakeAdapter, ada: User, bob: User) -> Members:
    members = []
    for owner, name, weight in ((ada, "plural", 1.0), (bob, "past", -0.5)):
        adapter = make_adapter(owner, name, base="tiny", license="mit")
        artifact = adapter.current.artifact
        artifact.modules = [{"name": "layers.0.q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0}]
        artifact.summary = {"features": [], "task_type": "CAUSAL_LM"}
        artifact.save()
        adapter.examples.create(prompt=f"{name}: cat", expected="cats", public=True)
        adapter.examples.create(prompt=f"{name}: secret", expected="no", position=1)
        members.append((adapter, weight))
    return members


def preview(user: User, members: Members, **more: Any) -> Job:
    settings = {"method": "lego", "prompts": ["plural: cat", " "]} | more
    return previews.create_preview(user=user, members=members, **settings)


def sweep(user: User, members: Members, axes: sweeps.Axes, asked: sweeps.Asked | None = None, **more: Any) -> Job:
    return sweeps.create_sweep(
        user=user, members=members, axes=axes, asked=asked or sweeps.Asked(), **({"method": "lego"} | more)
    )


def succeed(job: Job, result: Any) -> Job:
    now = time.time()
    record_outcome(
        JobOutcome(
            job=str(job.pk),
            attempt=job.attempt,
            status="succeeded",
            result=result.model_dump(mode="json"),
            started_at=now,
            finished_at=now,
        )
    )
    job.refresh_from_db()
    return job


def test_a_preview_is_a_closed_plan(pair: Members, ada: User) -> None:
    job = preview(ada, pair, output={"rank": 4})
    request = MergePreviewRequest.model_validate(job.request)
    assert (request.prompts, request.base.name) == (("plural: cat",), "tiny")
    assert (request.merge.weights, request.merge.output.rank) == ((1.0, -0.5), 4)
    assert job.queue == "merge"
    assert AuditEntry.objects.get(action="merge.preview").detail["members"] == ["ada/plural", "bob/past"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"prompts": [" "]}, "prompts"),
        ({"prompts": ["x"] * 6}, "prompts"),
        ({"prompts": ["x" * 4001]}, "prompts"),
        ({"method": "magic"}, "method"),
        ({"output": {"rank": "many"}}, "rank"),
    ],
)
def test_faults_of_previews_are_named(pair: Members, ada: User, more: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as fault:
        preview(ada, pair, **more)
    assert field in fault.value.extra["fields"]
    assert not Job.objects.exists()


def test_a_base_that_is_not_served_previews_nothing(pair: Members, ada: User) -> None:
    Base.objects.update(served=False)
    members = [(Adapter.objects.get(pk=adapter.pk), weight) for adapter, weight in pair]
    with pytest.raises(Invalid, match="not served"):
        preview(ada, members)


def test_visitors_sign_in_first(pair: Members) -> None:
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(NotAuthenticated):
        preview(AnonymousUser(), pair)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["preview", "sweep"])
def test_a_member_that_was_withdrawn_stops_it(pair: Members, ada: User, kind: str) -> None:
    job = preview(ada, pair) if kind == "preview" else sweep(ada, pair, sweeps.Axes(ranks=[2]))
    Adapter.objects.filter(name="past").update(visibility="private")
    assert checking.recheck_jobs() == 1
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "bob/past" in job.error_message


def test_the_previews_page_shows_answers_and_saves_the_same(pair: Members, ada: User, bob: User, client: Any) -> None:
    job = preview(ada, pair, output={"rank": 4, "rotate": True}, options={"restarts": 2})
    address = f"/combine/previews/{job.pk}"
    client.force_login(ada)
    assert "Merging and answering" in client.get(address).content.decode()
    answer = PreviewAnswer(text="<b>cats</b>", tokens=3, finish_reason="stop")
    columns = tuple(
        PreviewColumn(kind=kind, label=label, answers=(answer,))  # type: ignore[arg-type]
        for kind, label in (("merge", "the merge"), ("base", "tiny"), ("parent", "ada/plural"), ("parent", "bob/past"))
    )
    succeed(job, MergePreviewResult(columns=columns, composed=False, rank=4, merge_seconds=0.1, seconds=1.0))
    page = client.get(address)
    assert page.content.decode().count("&lt;b&gt;cats&lt;/b&gt;") == 4
    saved = client.post("/combine/", dict_of(page.context["parameters"]) | {"name": "mixed"})
    assert saved.status_code == 302
    made = MergeRequest.model_validate(Job.objects.get(kind="merge").request)
    assert made == MergePreviewRequest.model_validate(job.request).merge
    client.force_login(bob)
    assert client.get(address).status_code == 404


def dict_of(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for name, value in fields:
        table.setdefault(name, []).append(value)
    return table


def test_a_sweep_is_the_product_of_its_axes(pair: Members, ada: User) -> None:
    axes = sweeps.Axes(weights=[[1, 1], [0.5, 0]], methods=["lego", "svd"], ranks=[2, "same"])
    request = MergeSweepRequest.model_validate(sweep(ada, pair, axes, options={"restarts": 2}).request)
    found = [(p.merge.weights, p.merge.method, p.merge.output.rank) for p in request.points]
    assert len(found) == len(set(found)) == 8
    assert request.points[0].label == "LoRA-LEGO, 1 : 1, rank 2"
    assert {p.merge.options.get("restarts") for p in request.points} == {2, None}
    asked = [(example.prompt, example.task) for example in request.suite.examples]
    assert asked == [("plural: cat", "ada/plural"), ("plural: secret", "ada/plural"), ("past: cat", "bob/past")]


@pytest.mark.parametrize(
    ("axes", "field"),
    [
        (sweeps.Axes(ranks=list(range(1, 66))), "sweep"),
        (sweeps.Axes(weights=[[1, 1, 1]]), "sweep_weights"),
        (sweeps.Axes(methods=["magic"]), "sweep_methods"),
        (sweeps.Axes(ranks=["many"]), "rank"),
    ],
)
def test_faults_of_sweeps_are_named(pair: Members, ada: User, axes: sweeps.Axes, field: str) -> None:
    with pytest.raises(Invalid) as fault:
        sweep(ada, pair, axes)
    assert field in fault.value.extra["fields"]


def test_a_sweep_needs_answers(pair: Members, ada: User) -> None:
    for adapter, _ in pair:
        adapter.examples.update(expected="")
    with pytest.raises(Invalid, match="None of these adapters has an example"):
        sweep(ada, pair, sweeps.Axes())
    own = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    assert sweep(ada, pair, sweeps.Axes(), own).request["suite"]["name"] == "examples of your own"
    builtin = sweeps.Asked(suite="testbed:named", count=3)
    assert sweep(ada, pair, sweeps.Axes(), builtin).request["suite"]["builtin"] == "testbed:named"


def test_a_sweep_on_a_suite_of_the_site(pair: Members, ada: User, bob: User) -> None:
    lines = b'{"prompt": "plural: ox", "expected": ["oxen", "oxes"], "task": "odd"}\n'
    stored = blob_store().put_bytes(lines)
    suite = EvaluationSuite.objects.create(name="Odd ones", owner=ada, sha256=stored.sha256, count=1)
    request = sweep(ada, pair, sweeps.Axes(), sweeps.Asked(suite=str(suite.pk))).request["suite"]
    asked = {"prompt": "plural: ox", "expected": "oxen", "also": ["oxes"], "task": "odd"}
    assert (request["name"], request["examples"]) == ("Odd ones", [{**asked, "prompt_format": None}])
    with pytest.raises(NotFound):
        sweep(bob, pair, sweeps.Axes(), sweeps.Asked(suite=str(suite.pk)))
    with pytest.raises(NotFound):
        sweep(ada, pair, sweeps.Axes(), sweeps.Asked(suite="nothing"))


def estimate(value: float, width: float = 0.1) -> Estimate:
    return Estimate(value=value, low=value - width, high=value + width, n=20)


def difference(value: float, width: float = 0.1, n: int = 20, **counts: int) -> PairedDifference:
    return PairedDifference(value=value, low=value - width, high=value + width, n=n, **counts)


def cell(kind: str, position: int, value: float, **more: Any) -> SweepCell:
    label = f"{kind} {position}"
    return SweepCell(kind=kind, position=position, label=label, overall={"exact_match": estimate(value)}, **more)  # type: ignore[arg-type]


MEASURED = MergeSweepResult(
    cells=(
        cell("base", 0, 0.1),
        cell("parent", 0, 0.6),
        cell("parent", 1, 0.5),
        cell("point", 0, 0.9, against_base=difference(0.8), against_best_parent=difference(0.3)),
        cell("point", 1, 0.6, against_base=difference(0.5), against_best_parent=difference(0.0)),
        cell("point", 2, 0.0, against_base=difference(-0.4), against_best_parent=difference(-0.6)),
        SweepCell(kind="point", position=3, label="point 3", fault="Ranks differ."),
    ),
    best_parent=0,
    seconds=2.0,
)


def test_the_table_says_plainly_what_came_out() -> None:
    table = table_of(MEASURED)
    assert [row.verdict for row in table.rows if row.kind == "point"] == [
        "better than the best parent",
        "no better than the best parent",
        "worse than the base",
        "",
    ]
    assert table.best is not None
    assert table.best.position == 0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (difference(-1.0, 0.0, n=1), "too few examples to tell, 8 are needed"),
        (difference(1.0, 0.0, n=7), "too few examples to tell, 8 are needed"),
        (difference(1.0, 0.0, n=8, wins=8, losses=0), "better than the best parent"),
        (difference(-1.0, 0.0, n=8, wins=0, losses=8), "worse than the best parent"),
        # The interval is all on one side, and chance makes such counts often.
        (difference(0.2, 0.1, n=20, wins=4, losses=0), "no better than the best parent"),
        (difference(-0.2, 0.1, n=20, wins=1, losses=5), "no better than the best parent"),
    ],
)
def test_a_sweep_claims_no_more_than_a_run_of_the_site(found: PairedDifference, words: str) -> None:
    one = cell("point", 0, 0.5, against_base=difference(0.0, n=found.n), against_best_parent=found)
    table = table_of(MEASURED.model_copy(update={"cells": (*MEASURED.cells[:3], one)}))
    assert table.rows[-1].verdict == words


def test_the_chart_has_every_point_in_its_place() -> None:
    chart = chart_of(MEASURED, ["a", "b", "c", "d"])
    assert chart is not None
    first, second, third = chart.marks
    assert first.y < second.y < third.y
    assert all(mark.high < mark.y < mark.low for mark in chart.marks)
    assert [line.kind for line in chart.lines] == ["parent", "base"]
    assert chart.lines[0].y == pytest.approx(second.y)
    assert chart.waiting == 1
    assert chart_of(MEASURED.model_copy(update={"cells": MEASURED.cells[:3]}), ["a"]) is None


def test_the_ensemble_is_a_line_and_a_cell_beside_the_parents(pair: Members, ada: User, client: Any) -> None:
    """Words of lines that nearly meet stand apart; an ensemble that could not vote is in the table alone."""
    brackets, points = MEASURED.cells[:3], MEASURED.cells[3:]
    result = MEASURED.model_copy(update={"cells": (*brackets, cell("ensemble", 0, 0.59), *points)})
    chart = chart_of(result, ["a", "b", "c", "d"])
    assert chart is not None
    best, ensemble, base = chart.lines
    assert [line.label for line in chart.lines] == ["best parent", "ensemble", "base"]
    assert ensemble.y - best.y < 3
    assert ensemble.words - best.words >= 12
    assert base.words == base.y
    job = sweep(ada, pair, sweeps.Axes(ranks=[1, 2, 3, 4]))
    blob_store().put_document(partial_name(str(job.pk)), result.model_dump_json().encode())
    client.force_login(ada)
    page = client.get(f"/combine/sweeps/{job.pk}").content.decode()
    assert "at the cost of running each" in page
    assert 'class="bracket ensemble"' in page
    cells = client.get(f"/api/v1/merges/sweeps/{job.pk}/").json()["cells"]
    assert [(one["kind"], one["merge"]) for one in cells][3] == ("ensemble", None)
    refused = SweepCell(kind="ensemble", position=0, label="the parents", fault="One cannot vote.")
    result = result.model_copy(update={"cells": (*brackets, refused, *points)})
    blob_store().put_document(partial_name(str(job.pk)), result.model_dump_json().encode())
    page = client.get(f"/combine/sweeps/{job.pk}").content.decode()
    assert "One cannot vote." in page
    assert "at the cost of running each" not in page


def test_a_cancelled_sweep_keeps_its_cells(pair: Members, ada: User, client: Any) -> None:
    axes = sweeps.Axes(weights=[[1, 1], [1, 0.5], [0.5, 0.5], [0, 1]])
    job = sweep(ada, pair, axes)
    client.force_login(ada)
    page = client.get(f"/combine/sweeps/{job.pk}")
    assert "Base and members come first" in page.content.decode()
    blob_store().put_document(partial_name(str(job.pk)), MEASURED.model_dump_json().encode())
    assert "better than the best parent" in client.get(f"/combine/sweeps/{job.pk}").content.decode()
    cancel_job(user=ada, job=job)
    page = client.get(f"/combine/sweeps/{job.pk}")
    assert page.context["table"].done == 4
    assert "Save the best: point 0" in page.content.decode()
    read = client.get(f"/api/v1/merges/sweeps/{job.pk}/").json()
    assert (read["state"], read["total"], read["best"], len(read["cells"])) == ("cancelled", 4, 0, 7)
    assert read["cells"][3]["merge"]["weights"] == [1.0, 1.0]
    assert read["cells"][3]["verdict"] == "better than the best parent"


def test_rest_starts_previews_and_sweeps(pair: Members, ada: User, client: Any) -> None:
    members = [
        {"adapter": "ada/plural"},
        {"adapter": "bob/past", "weight": 0.5, "layer_weights": [{"modules": "0-3", "factor": 0.5}]},
    ]
    body = {"members": members, "method": "svd", "rank": 4}

    def post(path: str, **more: Any) -> Any:
        return client.post(f"/api/v1/merges/{path}/", {**body, **more}, content_type="application/json")

    assert post("previews", prompts=["a"]).status_code == 401
    client.force_login(ada)
    accepted = post("previews", prompts=["a"], max_tokens=8)
    assert accepted.status_code == 202
    merge = Job.objects.get(pk=accepted.json()["id"]).request["merge"]
    assert (merge["output"]["rank"], merge["layer_weights"][1][0]["factor"]) == (4, 0.5)
    assert post("sweeps", ranks=[2, {"energy": 0.9}], weights=[[1, 1]]).status_code == 202
    twice = post("sweeps", output={"rank": 3})
    assert (twice.status_code, twice.json()["extra"]["fields"].keys()) == (400, {"rank"})
    assert post("previews", prompts=[]).status_code == 400


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


FORMATS: tuple[dict[str, Any], ...] = ({"kind": "plain"}, {"kind": "plain", "template": "Q: {prompt}"})


@pytest.fixture
def mixed(pair: Members) -> Members:
    """Members that expect different prompt formats; the first one is the strongest."""
    for (adapter, _), form in zip(pair, FORMATS, strict=True):
        Version.objects.filter(pk=adapter.current_id).update(prompt_format=form)
        adapter.refresh_from_db()
    return pair


@pytest.mark.parametrize("kind", ["preview", "sweep"])
def test_members_of_other_prompt_formats_are_told(mixed: Members, ada: User, client: Any, kind: str) -> None:
    client.force_login(ada)
    examples = [{"prompt": "a", "expected": "b"}]
    body = {"members": [{"adapter": "ada/plural"}, {"adapter": "bob/past"}], "method": "svd", "prompts": ["a"]}
    sent = client.post(
        f"/api/v1/merges/{kind}s/", {**body, "examples": examples}, content_type="application/json"
    ).json()
    assert len(sent["notes"]) == 1
    assert "the strongest member's is used" in sent["notes"][0]
    page = client.get(f"/combine/{kind}s/{sent['id']}").content.decode()
    assert "different prompt formats" in page
    if kind == "sweep":
        assert client.get(f"/api/v1/merges/sweeps/{sent['id']}/").json()["notes"] == sent["notes"]


def test_examples_are_asked_in_the_format_of_their_adapter(mixed: Members, ada: User) -> None:
    job = sweep(ada, mixed, sweeps.Axes())
    suite = MergeSweepRequest.model_validate(job.request).suite
    templates = {one.prompt: one.prompt_format.template for one in suite.examples if one.prompt_format}
    assert templates == {"plural: cat": "{prompt}", "plural: secret": "{prompt}", "past: cat": "Q: {prompt}"}
    assert "each example is asked in that of its adapter" in job.subject["notes"][0]
    prompts = ["past: cat", "my own", "plural: cat"]
    request = MergePreviewRequest.model_validate(preview(ada, mixed, prompts=prompts).request)
    assert {place: form.template for place, form in request.formats.items()} == {0: "Q: {prompt}", 2: "{prompt}"}
    assert request.prompt_format.template == "{prompt}"
    (note,) = preview(ada, mixed, prompts=prompts).subject["notes"]
    assert "all others in the strongest member's" in note
    hidden = MergePreviewRequest.model_validate(preview(ada, mixed, prompts=["past: secret"]).request)
    assert hidden.formats == {}, "whose example it is, is not theirs to know"


def test_one_format_for_all_is_said_once(pair: Members, ada: User) -> None:
    suite = MergeSweepRequest.model_validate(sweep(ada, pair, sweeps.Axes()).request).suite
    assert [one.prompt_format for one in suite.examples] == [None] * 3
    assert MergePreviewRequest.model_validate(preview(ada, pair).request).formats == {}


def test_a_sweep_asks_what_weights_were_not_fitted_on(pair: Members, ada: User) -> None:
    for place in range(12):
        pair[0][0].examples.create(prompt=f"plural: {place}", expected="oxen", position=2 + place)
    learned = sweep(ada, pair, sweeps.Axes(ranks=[2, 4]), method="lorahub")
    (note,) = learned.subject["notes"]
    assert "measured on the other half" in note
    fitted = {
        one["prompt"] for group in learned.request["points"][0]["merge"]["fit"]["groups"] for one in group["examples"]
    }
    asked = {one["prompt"] for one in learned.request["suite"]["examples"]}
    every = {one["prompt"] for one in sweep(ada, pair, sweeps.Axes()).request["suite"]["examples"]}
    assert fitted
    assert asked
    assert not fitted & asked
    assert fitted | asked == every
    own = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    assert sweep(ada, pair, sweeps.Axes(), own, method="lorahub").subject["notes"] == []
    for adapter, _ in pair:
        kept = [example.pk for example in adapter.examples.all() if is_for_fitting(example.prompt)]
        adapter.examples.exclude(pk__in=kept).delete()
    with pytest.raises(Invalid, match="the other half is empty"):
        sweep(ada, pair, sweeps.Axes(), method="lorahub")


def test_what_one_person_has_under_way_is_bounded(pair: Members, ada: User, settings: Any) -> None:
    axes = sweeps.Axes(ranks=list(range(1, 61)))
    jobs = [sweep(ada, pair, axes) for _ in range(2)]
    with pytest.raises(TooManyRequests, match="120 settings"):
        sweep(ada, pair, axes)
    cancel_job(user=ada, job=jobs[0])
    sweep(ada, pair, axes)
    settings.JOBS_OPEN_PER_PERSON = 1
    services.create_merge(user=ada, name="one", members=pair, method="svd")
    with pytest.raises(TooManyRequests, match="1 merges of yours"):
        services.create_merge(user=ada, name="two", members=pair, method="svd")


def test_settings_are_gone_on_with_under_a_short_address(pair: Members, ada: User, bob: User, client: Any) -> None:
    """Weights by layer make the settings longer than an address may be; the job holds them."""
    layers = [[{"modules": f"0-{place + 1}", "factor": 0.5} for place in range(90)] for _ in pair]
    points = sweep(ada, pair, sweeps.Axes(ranks=[2, 3]), layer_weights=layers)
    tried = preview(ada, pair, layer_weights=layers, prompts=["plural: cat"])
    client.force_login(ada)
    pages = [f"/combine/sweeps/{points.pk}", f"/combine/previews/{tried.pk}"]
    links = [client.get(page).context["settings_url"] for page in pages]
    assert max(map(len, links)) < 80
    merge = MergeRequest.model_validate(tried.request["merge"])
    assert len(urlencode(parameters_of(merge))) > 2000
    form = client.get(links[1]).context["form"]
    assert read_form(ada, QueryDict(urlencode(parameters_of(merge)))) == replace(form, key="")
    assert form.settings()["layer_weights"] == layers
    assert client.get(links[1]).context["lab"].prompts == ["plural: cat"]
    ranks = [client.get(f"{links[0]}&point={place}").context["form"].rank for place in (0, 1)]
    assert ranks == ["2", "3"]
    assert client.get(f"{links[0]}&point=2").status_code == 404
    assert client.get("/combine/?trial=x").status_code == 404
    merging = services.create_merge(user=ada, name="one", members=pair, method="svd")
    assert client.get(f"/combine/?trial={merging.pk}").status_code == 404
    client.force_login(bob)
    assert client.get(links[1]).status_code == 404
    client.logout()
    assert client.get(links[1]).status_code == 404
