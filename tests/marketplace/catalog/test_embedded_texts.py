"""Texts of adapters, private examples among them, are in jobs while these run, and no longer."""

from __future__ import annotations

import json
import time
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from inference_worker.contracts.embed import EmbedRequest
from inference_worker.contracts.jobs import JobOutcome
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding
from marketplace.adapters.services.deleting import delete_adapter, purge_adapter
from marketplace.catalog.services import request_embeddings
from marketplace.core.errors import Conflict
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome, retry_job

pytestmark = pytest.mark.django_db
SECRET = "Where is the quartz?"


@pytest.fixture
def adapter(make_adapter: Any, ada: User) -> Adapter:
    made: Adapter = make_adapter(ada, "bank-intents", title="Bank intents")
    made.examples.create(prompt=SECRET, expected="here", public=False)
    return made


@pytest.fixture
def job(adapter: Adapter) -> Job:
    found = request_embeddings(adapter)
    assert found is not None
    assert SECRET in stored(found)
    return found


def stored(job: Job) -> str:
    return json.dumps(Job.objects.filter(pk=job.pk).values("request", "subject", "result", "log").get())


def test_success_leaves_vectors_alone(job: Job, adapter: Adapter) -> None:
    result = {"encoder": settings.ENCODER, "dim": 2, "vectors": {"description": [0.6, 0.8], "examples": [1.0, 0.0]}}
    now = time.time()
    outcome = JobOutcome(job=str(job.pk), attempt=1, status="succeeded", result=result, started_at=now, finished_at=now)
    assert record_outcome(outcome)
    assert Embedding.objects.filter(adapter=adapter).count() == 2
    assert SECRET not in stored(job)


def test_a_retry_takes_the_texts_of_now(job: Job, adapter: Adapter, ada: User) -> None:
    cancel_job(user=ada, job=job)
    assert SECRET not in stored(job)
    adapter.examples.update(prompt="Where is my card?")
    row = retry_job(user=ada, job=job)
    request = EmbedRequest.model_validate(row.request)
    assert {item.key: item.texts for item in request.items}["examples"] == ("Where is my card?",)
    cancel_job(user=ada, job=row)
    adapter.examples.all().delete()
    row = retry_job(user=ada, job=row)
    assert [item["key"] for item in row.request["items"]] == sorted(row.subject["digests"]) == ["description"]


def test_purging_ends_what_waits(job: Job, adapter: Adapter, ada: User) -> None:
    delete_adapter(user=ada, adapter=adapter)
    purge_adapter(user=ada, adapter=adapter)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert SECRET not in stored(job)
    with pytest.raises(Conflict, match="nothing left"):
        retry_job(user=ada, job=job)


def test_jobs_of_earlier_versions_let_go_as_well(job: Job) -> None:
    forget = import_module("marketplace.catalog.migrations.0002_forget_texts").FORGET
    for state, held in (("running", True), ("failed", False)):
        Job.objects.filter(pk=job.pk).update(state=state)
        with connection.cursor() as cursor:
            cursor.execute(forget)
        assert (SECRET in stored(job)) == held
    job.refresh_from_db()
    assert job.request == {"encoder": settings.ENCODER, "items": []}
