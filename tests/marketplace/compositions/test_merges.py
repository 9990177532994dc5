"""Merges as the marketplace sees them: who may, what is planned, what becomes of the result."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.jobs import JobOutcome
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_fit import FoundWeights
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.bases.models import Base
from marketplace.compositions import services
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome, retry_job
from marketplace.moderation.models import AuditEntry

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]


def measured(adapter: Adapter, *, width: int = 16, modules: list[str] | None = None, **summary: Any) -> Adapter:
    """Give the adapter's artefact what an inspection would have found."""
    artifact = adapter.current.artifact
    artifact.modules = [
        {"name": name, "rank": artifact.rank, "d_in": width, "d_out": width, "norm": 1.0, "effective_rank": 2.0}
        for name in modules or MODULES
    ]
    artifact.summary = {"features": [], **summary}
    artifact.save()
    return adapter


@pytest.fixture
def pair(make_adapter: MakeAdapter, ada: User, bob: User) -> list[tuple[Adapter, float]]:
    plural = make_adapter(ada, "plural", base="tiny", license="mit", tags=["morphology"], description="Plurals.")
    past = make_adapter(bob, "past", base="tiny", license="cc-by-4.0", rank=4, tags=["morphology", "verbs"])
    return [(measured(plural), 1.0), (measured(past), -0.5)]


def merge(user: User, members: list[tuple[Adapter, float]], **arguments: Any) -> Job:
    arguments = {"name": "both", "method": "lego", "rank": 8} | arguments
    return services.create_merge(user=user, members=members, **arguments)


def finish(
    job: Job, *, recipe: dict[str, Any] | None = None, found: FoundWeights | None = None, **files: bytes
) -> None:
    """The outcome of a worker that wrote ``files``."""
    store = blob_store()
    contents = {
        "adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "tiny"}',
        "adapter_model.safetensors": hashlib.sha256(str(job.pk).encode()).digest(),
        "recipe.json": b"{}",
        **files,
    }
    outputs = []
    for path, data in contents.items():
        info = store.put_bytes(data)
        outputs.append(OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
    result = MergeResult(
        files=tuple(outputs), recipe=recipe or {"method": "lego"}, modules=2, rank=8, seconds=0.1, found=found
    )
    now = time.time()
    outcome = JobOutcome(
        job=str(job.pk),
        attempt=job.attempt,
        status="succeeded",
        result=result.model_dump(mode="json"),
        started_at=now,
        finished_at=now,
    )
    record_outcome(outcome)
    record_outcome(outcome)  # A second report of the same attempt changes nothing.


def test_plan_is_closed(pair: list[tuple[Adapter, float]], ada: User) -> None:
    job = merge(ada, pair, options={"restarts": 2}, seed=7)
    request = MergeRequest.model_validate(job.request)
    assert [files.label for files in request.adapters] == ["ada/plural", "bob/past"]
    assert request.adapters[1].weights == pair[1][0].current.artifact.weights_blob_id
    assert (request.weights, request.method, request.output.rank, request.seed) == ((1.0, -0.5), "lego", 8, 7)
    assert request.options["restarts"] == 2
    assert AuditEntry.objects.get(action="merge.create").detail["members"] == ["ada/plural", "bob/past"]


def test_result_becomes_a_private_adapter_with_lineage(pair: list[tuple[Adapter, float]], ada: User) -> None:
    job = merge(ada, pair)
    finish(job)
    made = Adapter.objects.get(owner=ada, name="both")
    assert (made.visibility, made.origin, made.license) == ("private", "merge", "cc-by-4.0")
    assert made.tags == ["morphology", "verbs", "merge"]
    parents = [(row.parent.adapter.full_name, row.weight) for row in made.current.parents.all()]
    assert parents == [("ada/plural", 1.0), ("bob/past", -0.5)]
    assert made.current.recipe == {"method": "lego"}
    assert {file.path for file in made.current.files.all()} >= {"README.md", "recipe.json", "adapter_config.json"}
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert job.result["adapter"] == "ada/both"
    assert Adapter.objects.count() == 3


def test_weights_found_by_layer_are_one_number_in_the_lineage(pair: list[tuple[Adapter, float]], ada: User) -> None:
    job = merge(ada, pair)
    Version.objects.filter(adapter__name="past").update(prompt_format={"kind": "plain", "template": "Past: {prompt}"})
    layers = [[0.2, -0.4], [1.5, 0.5]]
    parents = [
        {"weight": 1.0, "layer_weights": [{"modules": str(i), "factor": w} for i, w in enumerate(row)]}
        for row in layers
    ]
    losses = FoundWeights(fit_start=2.0, fit_end=1.0, held_start=2.0, held_end=1.5, rounds=3)
    finish(job, recipe={"method": "lora_soup", "parents": parents}, found=losses)
    made = Adapter.objects.get(owner=ada, name="both")
    assert [row.weight for row in made.current.parents.all()] == pytest.approx([0.3, 1.0])
    assert made.current.fitted_on_half
    assert made.current.prompt_format["template"] == "Past: {prompt}"
    assert "measured on the other half" in made.description


def test_nothing_that_is_handed_on_names_a_private_parent(pair: list[tuple[Adapter, float]], ada: User) -> None:
    Adapter.objects.filter(name="plural").update(visibility="private", tags=["secret"], description="My plan.")
    job = merge(ada, [(Adapter.objects.get(name="plural"), 1.0), pair[1]])
    table = {"method": "lego", "parents": [{"label": "ada/plural"}, {"label": "bob/past"}]}
    report = {"adapters": ["ada/plural", "bob/past"], "modules": [{"name": "q_proj"}]}
    names = {"recipe.json": json.dumps(table).encode(), "merge_report.json": json.dumps(report).encode()}
    finish(job, recipe=table, **names)
    made = Adapter.objects.get(owner=ada, name="both")
    told = f"{made.description} {made.tags} {made.current.message}"
    for file in made.current.files.exclude(path="adapter_model.safetensors"):
        with blob_store().open(file.blob_id) as stream:
            told += stream.read().decode()
    assert all(word not in told for word in ("plural", "secret", "My plan"))
    assert made.description.startswith("Merged from bob/past and a private adapter by lego.")
    assert "bob/past" in told
    assert made.current.recipe == table  # Shown to each reader as far as they may see the parents.


def test_name_taken_meanwhile_loses_nothing(
    pair: list[tuple[Adapter, float]], ada: User, make_adapter: MakeAdapter
) -> None:
    job = merge(ada, pair)
    make_adapter(ada, "Both")
    finish(job)
    job.refresh_from_db()
    assert job.result["adapter"] == "ada/both-2"


#: What may happen to a parent between the plan and its result → the words with which the merge is refused then.
WITHDRAWN = [
    ({"visibility": "private"}, NotFound, "bob/past is no longer yours"),
    ({"deleted_at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}, NotFound, "bob/past is no longer yours"),
    ({"moderation": "quarantined"}, NotFound, "bob/past is no longer yours"),
]


@pytest.mark.parametrize(("change", "fault", "words"), WITHDRAWN, ids=["private", "deleted", "quarantined"])
def test_retry_asks_again_whether_the_parents_may_be_used(
    pair: list[tuple[Adapter, float]], ada: User, change: dict[str, Any], fault: type[Exception], words: str
) -> None:
    job = cancel_job(user=ada, job=merge(ada, pair))
    Adapter.objects.filter(name="past").update(**change)
    with pytest.raises(fault, match=words):
        retry_job(user=ada, job=job)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (Job.State.CANCELLED, 1)
    assert not AuditEntry.objects.filter(action="job.retry").exists()
    Adapter.objects.filter(name="past").update(visibility="public", deleted_at=None, moderation="visible")
    assert retry_job(user=ada, job=job).attempt == 2


@pytest.mark.parametrize(("change", "fault", "words"), WITHDRAWN, ids=["private", "deleted", "quarantined"])
def test_a_parent_withdrawn_while_the_merge_ran_fails_it(
    pair: list[tuple[Adapter, float]], ada: User, change: dict[str, Any], fault: type[Exception], words: str
) -> None:
    job = merge(ada, pair)
    Adapter.objects.filter(name="past").update(**change)
    finish(job)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert words in job.error_message
    assert not Adapter.objects.filter(name="both").exists()


def test_a_parents_newer_version_that_waits_for_its_check_stops_no_merge(
    pair: list[tuple[Adapter, float]], ada: User, make_adapter: MakeAdapter, bob: User
) -> None:
    job = merge(ada, pair)
    newer = make_adapter(bob, "newer").current
    Artifact.objects.filter(pk=newer.artifact_id).update(state="pending")
    Adapter.objects.filter(name="past").update(current=newer)
    finish(job)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED


def test_no_derivatives_stays_private_with_the_reason(pair: list[tuple[Adapter, float]], ada: User) -> None:
    Adapter.objects.filter(name="past").update(license="cc-by-nd-4.0")
    pair[1][0].refresh_from_db()
    job = merge(ada, pair)
    finish(job)
    made = Adapter.objects.get(name="both")
    assert "NoDerivatives" in made.private_reason


def test_idempotency_key_returns_the_first_job(pair: list[tuple[Adapter, float]], ada: User) -> None:
    first = merge(ada, pair, idempotency_key="once")
    assert merge(ada, pair, idempotency_key="once").pk == first.pk
    assert Job.objects.filter(kind="merge").count() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "magic"}, "no merge method “magic”"),
        ({"options": {"restart": 3}}, "restart"),
        ({"options": {"restarts": 0}}, "restarts"),
        ({"rank": 0}, "rank"),
        ({"name": "-x"}, "begin and end with a letter or digit"),
    ],
)
def test_faults_are_named(pair: list[tuple[Adapter, float]], ada: User, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        merge(ada, pair, **arguments)
    assert not Job.objects.exists()


def test_name_in_use_is_a_conflict(pair: list[tuple[Adapter, float]], ada: User) -> None:
    with pytest.raises(Conflict, match="named plural"):
        merge(ada, pair, name="Plural")


def test_a_name_is_claimed_while_its_merge_is_under_way(
    pair: list[tuple[Adapter, float]], ada: User, bob: User
) -> None:
    first = merge(ada, pair, name="Bricks")
    with pytest.raises(Conflict, match="under way") as refused:
        merge(ada, pair, name="bricks")
    assert refused.value.code == "name_taken"
    assert "name" in refused.value.extra["fields"]
    assert Job.objects.filter(kind="merge").count() == 1
    cancel_job(user=ada, job=first)
    assert merge(ada, pair, name="bricks").pk != first.pk


def test_visitors_sign_in_first(pair: list[tuple[Adapter, float]]) -> None:
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(NotAuthenticated):
        merge(AnonymousUser(), pair)  # type: ignore[arg-type]


def test_foreign_private_member_does_not_exist(pair: list[tuple[Adapter, float]], ada: User) -> None:
    Adapter.objects.filter(name="past").update(visibility="private")
    pair[1][0].refresh_from_db()
    with pytest.raises(NotFound, match="no longer yours to use") as fault:
        merge(ada, pair)
    assert "past" not in fault.value.message, "it may have got this name since"


def test_invalid_member_is_refused_in_words(pair: list[tuple[Adapter, float]], ada: User) -> None:
    artifact = pair[0][0].current.artifact
    artifact.state = Artifact.State.INVALID
    artifact.save()
    with pytest.raises(Invalid, match="ada/plural cannot be used: it is not accepted"):
        merge(ada, pair)


def test_shapes_that_differ_are_refused_by_module(pair: list[tuple[Adapter, float]], ada: User) -> None:
    measured(pair[1][0], width=32)
    with pytest.raises(Invalid, match=r"q_proj is 16×16 in ada/plural and 32×32 in bob/past"):
        merge(ada, pair)


def test_verdict_rows(pair: list[tuple[Adapter, float]], ada: User) -> None:
    measured(pair[1][0], modules=MODULES[:1])
    verdict = services.plan_verdict(user=ada, members=pair)
    rows = {row["code"]: row for row in verdict["checks"]}
    assert verdict["mergeable"]
    assert verdict["rank_sum"] == 12
    assert rows["base"]["value"] == "tiny"
    assert rows["overlap"]["value"] == "1 of 2"
    assert rows["ranks"]["value"] == "8, 4"
    assert verdict["licence"]["license"] == "cc-by-4.0"


def test_verdict_says_near_duplicates_and_other_bases(
    pair: list[tuple[Adapter, float]], ada: User, make_adapter: MakeAdapter
) -> None:
    signature = [1.0] + [0.0] * 255
    for adapter, _ in pair:
        Artifact.objects.filter(pk=adapter.current.artifact_id).update(signature=signature)
    other = Base.objects.create(name="other", source="x", state=Base.State.READY)
    Adapter.objects.filter(name="past").update(base=other)
    members = [(Adapter.objects.get(pk=adapter.pk), weight) for adapter, weight in pair]
    rows = {row["code"]: row for row in services.plan_verdict(user=ada, members=members)["checks"]}
    assert rows["similarity"]["ok"] is None
    assert rows["similarity"]["value"] == "about 1.00"
    assert rows["base"]["ok"] is None


def test_rest_flow(pair: list[tuple[Adapter, float]], ada: User, client: Any) -> None:
    members = [{"adapter": "ada/plural"}, {"adapter": "bob/past", "weight": 0.5}]
    methods = client.get("/api/v1/merges/methods/").json()
    assert {"cat", "linear", "svd", "lego"} <= {method["name"] for method in methods}
    assert client.post("/api/v1/merges/check/", {"members": members}, content_type="application/json").json()[
        "mergeable"
    ]
    body = {"name": "via-rest", "method": "cat", "members": members}
    refused = client.post("/api/v1/merges/", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    client.force_login(ada)
    accepted = client.post("/api/v1/merges/", body, content_type="application/json")
    assert accepted.status_code == 202
    assert Job.objects.get(pk=accepted.json()["id"]).kind == "merge"
    wrong = client.post("/api/v1/merges/", {**body, "method": "magic"}, content_type="application/json")
    assert wrong.status_code == 400
    assert "method" in wrong.json()["extra"]["fields"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "task_arithmetic", "options": {"scaling": -1.0}}, "can only be carried through at weight 1"),
        ({"method": "svd", "layer_weights": [[{"modules": "q_proj", "factor": 0.5}]]}, "at weight 1 and scaling 1"),
        ({"method": "iso_c"}, "brings all directions to one strength"),
    ],
)
def test_magnitudes_are_refused_as_the_worker_does(
    arguments: dict[str, Any], words: str, pair: list[tuple[Adapter, float]], ada: User
) -> None:
    dora = measured(pair[0][0], features=["dora"])
    with pytest.raises(Invalid, match=words):
        merge(ada, [(dora, 1.0)], rank=None, **arguments)
