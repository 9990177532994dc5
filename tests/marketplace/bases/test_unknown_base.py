"""An adapter of a base that nobody registered: stored, published, found, merged; not tried. Then the base arrives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from transformers import LlamaConfig

from inference_worker.contracts.bases import BaseShapesRequest
from inference_worker.contracts.jobs import JobOutcome
from inference_worker.contracts.merge import MergeRequest
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers import base_shapes, merge
from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.linking import link_waiting
from marketplace.bases.models import Base
from marketplace.bases.services import register_base
from marketplace.catalog.selectors import search
from marketplace.catalog.types import CatalogFilters
from marketplace.compositions.services import create_merge
from marketplace.core.errors import AppError, Invalid
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome
from marketplace.playground.services import start_generation
from tests.marketplace.adapters.conftest import MODULES, MakeUpload, adapter_files, run_inspection
from tests.marketplace.adapters.conftest import make_upload as make_upload
from tests.marketplace.bases.conftest import MakeBase

pytestmark = pytest.mark.django_db

COPY = "unsloth/Meta-Llama-3.1-8B-bnb-4bit"
#: The shapes of ``adapter_files``.
SHAPES = {name: [16, 16] for name in MODULES}


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> None:
    settings.BLOB_STORE_URL = f"file://{tmp_path / 'blobs'}"


def _publish(user: User, upload: Any, name: str, **fields: Any) -> Adapter:
    said = {"title": name, "description": "Turns nouns into plurals.", "license": "mit", "visibility": "public"}
    return services.publish_upload(user=user, upload=upload, name=name, **{**said, **fields})


def _worker(handle: Any, request: Any, folder: Path) -> dict[str, Any]:
    """What the worker's process does with a job of any kind."""
    folder.mkdir()
    with Path("/dev/null").open("wb") as reports:
        context = JobContext(blobs=blob_store(), workdir=folder, encoder="", reports=reports.fileno())
        return handle(request, context).model_dump(mode="json")


def _finish(job: Job, result: dict[str, Any]) -> None:
    now = time.time()
    record_outcome(
        JobOutcome(
            job=str(job.pk), attempt=job.attempt, status="succeeded", started_at=now, finished_at=now, result=result
        )
    )


def _merge(user: User, members: list[Adapter], folder: Path) -> Adapter:
    """Planned by the marketplace, computed as by the worker, recorded and checked."""
    job = create_merge(user=user, members=[(one, 0.5) for one in members], name="both", method="cat")
    _finish(job, _worker(merge.handle, MergeRequest.model_validate(job.request), folder))
    for check in Job.objects.filter(kind="inspect", state="queued"):
        run_inspection(check)
    return Adapter.objects.select_related("current__artifact", "owner", "base").get(owner=user, name="both")


def test_stored_published_found_and_merged_but_not_tried(ada: User, make_upload: MakeUpload, tmp_path: Path) -> None:
    """Then the base is registered and read, and all of it is linked."""
    made = []
    for seed in (1, 2):
        upload = make_upload(ada, seed=seed, base_model_name_or_path=COPY)
        assert upload.artifact is not None
        assert upload.artifact.state == Artifact.State.VALID
        problem = upload.artifact.problems[0]
        assert (problem["code"], problem["severity"]) == ("base_unknown", "warning")
        assert f"{COPY} is a copy of meta-llama/Llama-3.1-8B, which this site does not hold." in problem["message"]
        made.append(_publish(ada, upload, f"plural-{seed}"))
    assert [adapter.base for adapter in made] == [None, None]
    found = search(user=AnonymousUser(), query="plurals", filters=CatalogFilters(base=COPY))
    assert {hit.adapter.full_name for hit in found.results} == {"ada/plural-1", "ada/plural-2"}
    both = _merge(ada, made, tmp_path / "merge")
    assert both.current is not None
    assert both.current.artifact.state == Artifact.State.VALID
    assert (both.base, both.base_name, both.current.artifact.rank) == (None, COPY, 8)
    with pytest.raises(AppError, match="base"):
        start_generation(user=ada, prompt="cat", members=[(made[0], 1.0)])

    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=99,
    )  # fmt: skip
    config.save_pretrained(tmp_path / "base")
    ada.is_staff = True
    ada.save()
    base = register_base(actor=ada, name="meta-llama/Llama-3.1-8B", source=str(tmp_path / "base"))
    job = Job.objects.get(kind="base_shapes")
    _finish(job, _worker(base_shapes.handle, BaseShapesRequest.model_validate(job.request), tmp_path / "reading"))
    assert link_waiting() == 3
    base.refresh_from_db()
    assert base.state == Base.State.READY
    assert {adapter.base for adapter in Adapter.objects.all()} == {base}
    assert [problem["code"] for artifact in Artifact.objects.all() for problem in artifact.problems] == []


def test_a_merge_has_the_base_that_owners_answered(
    client: Client, ada: User, make_upload: MakeUpload, make_base: MakeBase, tmp_path: Path
) -> None:
    base = make_base("org/root", shapes=SHAPES)
    make_base("org/twin", shapes=SHAPES)
    members = [
        _publish(ada, make_upload(ada, seed=seed, base_model_name_or_path="./out"), f"one-{seed}", base="org/root")
        for seed in (1, 2)
    ]
    assert _merge(ada, members, tmp_path / "merge").base == base
    # What was said while the base was unknown is said no more.
    assert client.get("/api/v1/adapters/ada/one-1/").json()["problems"] == []
    assert "cannot be tried" not in client.get("/ada/one-1").content.decode()


def test_adapters_of_other_shapes_are_not_merged(ada: User, make_upload: MakeUpload) -> None:
    one = _publish(ada, make_upload(ada, base_model_name_or_path=COPY), "one")
    other = _publish(ada, make_upload(ada, width=24, base_model_name_or_path=COPY), "other")
    with pytest.raises(AppError, match="hape"):
        create_merge(user=ada, members=[(one, 0.5), (other, 0.5)], name="both", method="cat")


@pytest.mark.parametrize("named", ["base_model: org/right", "base_model:\n- nobody/knows-this\n- org/right"])
def test_the_card_speaks_where_the_config_is_silent(
    ada: User, make_upload: MakeUpload, make_base: MakeBase, named: str
) -> None:
    right = make_base("org/right", shapes=SHAPES)
    make_base("org/wrong", 8)
    make_base("org/twin", shapes=SHAPES)
    card = f"---\n{named}\n---\n# Plurals\n".encode()
    for silence in ({"base_model_name_or_path": None}, {"base_model_name_or_path": ""}):
        upload = make_upload(ada, {**adapter_files(**silence), "README.md": card})
        adapter = _publish(ada, upload, f"by-card-{len(str(silence))}")
        assert adapter.base == right


def test_shapes_suggest_and_the_uploader_confirms(
    client: Client, ada: User, make_upload: MakeUpload, make_base: MakeBase
) -> None:
    upload = make_upload(ada, base_model_name_or_path="./out")
    client.force_login(ada)
    address = f"/api/v1/uploads/{upload.pk}/"
    assert client.get(address).json()["fits"] == []
    root = make_base("org/root", shapes=SHAPES)
    make_base("org/tuned", shapes=SHAPES, parent=root)
    told = client.get(address).json()
    assert told["fits"] == ["org/root", "org/tuned"]
    assert told["base_suggestion"]["base"] == "org/root"
    page = client.get(f"/upload/{upload.pk}").content.decode()
    assert '<option value="org/root" selected>' in page
    assert "These tensors fit org/root, and org/tuned, made from it." in page
    form = {"name": "mine", "visibility": "public", "prompt_kind": "plain", "template": "{prompt}"}
    answer = client.post(f"/upload/{upload.pk}", {**form, "base": "org/tuned"})
    assert answer.status_code == 302, answer.content.decode()
    adapter = Adapter.objects.get(name="mine")
    assert adapter.base is not None
    assert adapter.base.name == "org/tuned"
    shown = client.get("/api/v1/adapters/ada/mine/").json()
    assert (shown["base"], shown["fits"]) == ("org/tuned", ["org/root", "org/tuned"])


def test_without_an_answer_shapes_alone_decide_nothing(ada: User, make_upload: MakeUpload, make_base: MakeBase) -> None:
    make_base("org/root", shapes=SHAPES)
    upload = make_upload(ada, base_model_name_or_path="./out")
    assert _publish(ada, upload, "open").base is None
    make_base("org/narrow", 8)
    other = make_upload(ada, seed=3, base_model_name_or_path="./out")
    with pytest.raises(Invalid, match="does not fit org/narrow"):
        _publish(ada, other, "x", base="org/narrow")


def test_a_remedy_names_the_bases_that_fit(ada: User, make_upload: MakeUpload, make_base: MakeBase) -> None:
    make_base("org/named", 8)
    alone = make_upload(ada, seed=4, base_model_name_or_path="org/named")
    assert alone.artifact is not None
    assert alone.artifact.state == Artifact.State.INVALID
    assert "trained on another model than org/named" in alone.artifact.problems[0]["remedy"]
    make_base("org/right", shapes=SHAPES)
    upload = make_upload(ada, base_model_name_or_path="org/named")
    assert upload.artifact is not None
    problems = upload.artifact.problems
    assert {problem["code"] for problem in problems} == {"shape_mismatch"}
    assert problems[0]["place"] == MODULES[0]
    assert "but these tensors fit org/right." in problems[0]["remedy"]
