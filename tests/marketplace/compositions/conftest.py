"""What tests of the merge lab share: a pair of members, previews and sweeps of them, and outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.jobs import JobOutcome
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions.lab import previews, sweeps
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome

MakeAdapter = Callable[..., Adapter]

Members = list[tuple[Adapter, float]]


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
