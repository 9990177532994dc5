"""The shipped base with shipped adapters as accepted ones, and evaluations run in place of a worker."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_worker.contracts.jobs import JobFault, JobOutcome
from inference_worker.contracts.merge import MergeRequest
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import run_handler
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, ExamplePrompt, Lineage, Version
from marketplace.bases.models import Base
from marketplace.compositions.members import Member
from marketplace.core.store import blob_store
from marketplace.evaluations import suites
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome

SHIPPED = Path(__file__).parents[3] / "inference_worker" / "testbed" / "shipped"
MakeShipped = Callable[..., Adapter]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> None:
    """A blob store of the test's own."""
    settings.BLOB_STORE_URL = f"file://{tmp_path / 'blobs'}"


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight questions of one task in place of one of each: the same way, and quick."""
    monkeypatch.setattr(suites, "BUILTIN", (("testbed:plural", "Probes", 8, True),))


@pytest.fixture
def base(db: None) -> Base:
    return Base.objects.create(
        name="wordsmith-v1", source=str(SHIPPED / "base"), state=Base.State.READY, task="CAUSAL_LM"
    )


def _blob(path: Path) -> Blob:
    info = blob_store().put_file(path)
    return Blob.objects.get_or_create(sha256=info.sha256, defaults={"git_sha1": info.git_sha1, "size": info.size})[0]


@pytest.fixture
def make_shipped(base: Base) -> MakeShipped:
    """``make_shipped(owner, name, examples=10, **fields)``: a shipped adapter, public and accepted."""

    def make(owner: User, name: str, *, shipped: str = "", examples: int = 10, **fields: Any) -> Adapter:
        folder = SHIPPED / "adapters" / (shipped or name)
        meta = json.loads((folder / "meta.json").read_text())
        artifact, _ = Artifact.objects.get_or_create(
            config_blob=_blob(folder / "adapter_config.json"),
            weights_blob=_blob(folder / "adapter_model.safetensors"),
            defaults={"state": Artifact.State.VALID, "rank": 8, "base": base, "summary": {"features": []}},
        )
        fields.setdefault("visibility", Adapter.Visibility.PUBLIC)
        adapter = Adapter.objects.create(owner=owner, name=name, base=base, base_name=base.name, **fields)
        adapter.current = Version.objects.create(
            adapter=adapter,
            artifact=artifact,
            commit=f"{adapter.pk:040x}",
            author=owner,
            message="First version",
            prompt_format=meta["prompt_format"],
        )
        adapter.save(update_fields=["current"])
        for position, example in enumerate(meta["examples"][:examples]):
            ExamplePrompt.objects.create(adapter=adapter, position=position, public=position == 0, **example)
        return adapter

    return make


@pytest.fixture
def make_merge(base: Base, make_shipped: MakeShipped, tmp_path: Path) -> Callable[..., Adapter]:
    """``make_merge(owner, parents, method="cat")``: the engine's own merge of them, at full weights."""

    def make(owner: User, parents: list[Adapter], method: str = "cat") -> Adapter:
        request = MergeRequest(
            adapters=tuple(Member(parent, parent.current, 1.0).files for parent in parents),
            weights=(1.0,) * len(parents),
            method=method,
        )
        files = {file.path: file for file in run_handler_here("merge", request, tmp_path).files}
        blobs = [
            Blob.objects.create(sha256=file.sha256, git_sha1=file.git_sha1, size=file.size)
            for file in (files["adapter_config.json"], files["adapter_model.safetensors"])
        ]
        made = make_shipped(owner, "both", shipped="reverse-words", examples=0, origin="merge")
        made.current.artifact = Artifact.objects.create(
            config_blob=blobs[0], weights_blob=blobs[1], state="valid", rank=16, base=base, summary={"features": []}
        )
        made.current.save()
        for position, parent in enumerate(parents):
            Lineage.objects.create(
                child=made.current, parent=parent.current, weight=1.0, operation=method, position=position
            )
        return made

    return make


def run_handler_here(kind: str, request: Any, folder: Path, job: str = "here") -> Any:
    """What a worker does with a request, in this process."""
    workdir = Path(tempfile.mkdtemp(dir=folder))
    reports = os.open(os.devnull, os.O_WRONLY)
    try:
        context = JobContext(blob_store(), workdir, "", reports, job=job)
        return run_handler(kind, request if isinstance(request, dict) else request.model_dump(mode="json"), context)
    finally:
        os.close(reports)


def run_evaluation(job: Job, folder: Path) -> None:
    """What the batch worker does with the job."""
    result = run_handler_here(job.kind, job.request, folder, str(job.pk))
    report(job, status="succeeded", result=result.model_dump(mode="json"))


def fail_evaluation(job: Job, message: str = "It ran out of memory.") -> None:
    report(job, status="failed", fault=JobFault(code="out_of_memory", message=message))


def report(job: Job, **outcome: Any) -> None:
    now = time.time()
    record_outcome(JobOutcome(job=str(job.pk), attempt=job.attempt, started_at=now, finished_at=now, **outcome))


@pytest.fixture
def run_waiting(tmp_path: Path) -> Callable[[], list[Job]]:
    """Run every evaluation that waits; the jobs."""

    def run() -> list[Job]:
        jobs = list(Job.objects.filter(kind="evaluate", state=Job.State.QUEUED).order_by("created_at"))
        for job in jobs:
            run_evaluation(job, tmp_path)
            job.refresh_from_db()
            assert job.state == Job.State.SUCCEEDED, job.error_message
        return jobs

    return run
