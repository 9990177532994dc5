"""Jobs of a harmless kind whose recorders the test decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.bases import BaseShapesRequest
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.jobs import JobFault, JobOutcome, LogLine
from marketplace.accounts.models import User
from marketplace.jobs import recorders
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job

MakeJob = Callable[..., Job]
MakeOutcome = Callable[..., JobOutcome]


@pytest.fixture(autouse=True)
def _no_recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "_on_success", {})
    monkeypatch.setattr(recorders, "_on_failure", {})
    monkeypatch.setattr(recorders, "_checks", {})
    monkeypatch.setattr(recorders, "_on_retry", {})
    monkeypatch.setattr(recorders, "_limited", {})


@pytest.fixture
def ada(make_person: Callable[..., User]) -> User:
    return make_person("ada")


@pytest.fixture
def make_job(ada: User) -> MakeJob:
    def make(*, state: str = "queued", **fields: Any) -> Job:
        request = BaseShapesRequest(base=BaseFiles(name="tiny", source="/nowhere"))
        job = create_job(
            owner=fields.pop("owner", ada), kind="base_shapes", request=request, subject={"thing": 1}, title="Read tiny"
        )
        Job.objects.filter(pk=job.pk).update(state=state, **fields)
        job.refresh_from_db()
        return job

    return make


@pytest.fixture
def make_outcome() -> MakeOutcome:
    def make(job: Job, *, code: str = "", retryable: bool = False, cancelled: bool = False, attempt: int = 0) -> Any:
        now = time.time()
        fault = JobFault(code=code, message="It went wrong.", retryable=retryable) if code else None
        status = "cancelled" if cancelled else "failed" if fault else "succeeded"
        return JobOutcome(
            job=str(job.pk),
            attempt=attempt or job.attempt,
            status=status,
            result={"answer": 42} if status == "succeeded" else None,
            fault=fault,
            log=(LogLine(at=now, message="Done."),),
            started_at=now - 2,
            finished_at=now,
            peak_memory_mb=99,
        )

    return make
