"""Evaluations through a real batch worker: from the request to the adapter's standing, and cancelled on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, ExamplePrompt, Version
from marketplace.bases.models import Base
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun, Standing
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job
from tests.processes.fleet import ROOT, Fleet, wait_for

pytestmark = pytest.mark.processes

SHIPPED = ROOT / "inference_worker" / "testbed" / "shipped"


def _blob(path: Path) -> Blob:
    info = blob_store().put_file(path)
    return Blob.objects.create(sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)


@pytest.fixture
def adapter(owner: User) -> Adapter:
    """A shipped adapter, accepted, with its examples."""
    folder = SHIPPED / "adapters" / "reverse-words"
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    base = Base.objects.create(name="wordsmith-v1", source=str(SHIPPED / "base"), state=Base.State.READY)
    artifact = Artifact.objects.create(
        config_blob=_blob(folder / "adapter_config.json"),
        weights_blob=_blob(folder / "adapter_model.safetensors"),
        state=Artifact.State.VALID,
        base=base,
    )
    made = Adapter.objects.create(owner=owner, name="reverse-words", base=base, visibility="public")
    made.current = Version.objects.create(
        adapter=made, artifact=artifact, commit="0" * 40, author=owner, message="x", prompt_format=meta["prompt_format"]
    )
    made.save()
    for position, example in enumerate(meta["examples"]):
        ExamplePrompt.objects.create(adapter=made, position=position, **example)
    return made


def test_an_adapter_gets_its_standing(fleet: Fleet, adapter: Adapter) -> None:
    fleet.marketplace()
    fleet.batch(queues=("train",))
    evaluate_adapter(adapter)
    wait_for(lambda: Standing.objects.get(adapter=adapter).gain is not None, 240, "the adapter was measured")
    standing = Standing.objects.get(adapter=adapter)
    assert standing.verdict == "better"
    own, probe = EvaluationRun.objects.filter(artifact=adapter.current.artifact).order_by("suite__probe")
    assert own.estimates["overall"]["exact_match"]["n"] == adapter.examples.exclude(expected="").count()
    assert probe.estimates["overall"]["exact_match"]["n"] > 100, "one question of every task that the base reads"
    assert Job.objects.get(kind="evaluate").result["runs"]


def test_one_that_runs_is_cancelled(fleet: Fleet, adapter: Adapter, owner: User) -> None:
    fleet.marketplace()
    fleet.batch(queues=("train",))
    evaluate_adapter(adapter)
    job = Job.objects.get(kind="evaluate")

    def in_state(state: str) -> bool:
        job.refresh_from_db()
        return job.state == state

    wait_for(lambda: in_state("running"), 120, "a worker took it")
    cancel_job(user=owner, job=job)
    wait_for(lambda: in_state("cancelled"), 120, "it has ended")
    faults = set(EvaluationRun.objects.values_list("state", "fault"))
    assert faults == {("failed", "It was cancelled.")}
    assert Standing.objects.get(adapter=adapter).gain is None
