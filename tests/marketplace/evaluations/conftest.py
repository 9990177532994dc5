"""The shipped base with shipped adapters as accepted ones, and evaluations run in place of a worker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_worker.contracts.jobs import JobFault, JobOutcome
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import run_handler
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, ExamplePrompt, Version
from marketplace.bases.models import Base
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


def run_evaluation(job: Job, folder: Path) -> None:
    """What the batch worker does with the job, in this process."""
    workdir = folder / f"work-{job.pk}-{job.attempt}"
    workdir.mkdir()
    reports = os.open(os.devnull, os.O_WRONLY)
    try:
        context = JobContext(blob_store(), workdir, "", reports, job=str(job.pk))
        result = run_handler(job.kind, job.request, context)
    finally:
        os.close(reports)
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
