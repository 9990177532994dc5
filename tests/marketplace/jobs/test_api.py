"""Jobs through REST."""

from __future__ import annotations

import json
import uuid

import pytest
from rest_framework.test import APIClient

from inference_worker.contracts import keys
from marketplace.core.redis import redis_client
from marketplace.jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(ada) -> APIClient:
    client = APIClient()
    client.force_authenticate(ada)
    return client


def test_list_is_ones_own_filtered_and_paged(client, make_job, make_person) -> None:
    mine = [make_job(state="succeeded"), make_job(state="failed"), make_job(state="running")]
    make_job(owner=make_person("bob"))
    assert [row["id"] for row in client.get("/api/v1/jobs/").json()["results"]] == [str(j.pk) for j in reversed(mine)]
    ended = client.get("/api/v1/jobs/?state=succeeded&state=failed").json()["results"]
    assert {row["state"] for row in ended} == {"succeeded", "failed"}
    assert client.get("/api/v1/jobs/?kind=merge").json()["results"] == []
    first = client.get("/api/v1/jobs/?limit=2").json()
    second = client.get(first["next"]).json()
    assert ([len(first["results"]), len(second["results"])], second["next"]) == ([2, 1], None)


def test_wrong_filter_is_named(client) -> None:
    answer = client.get("/api/v1/jobs/?state=paused")
    assert answer.status_code == 400
    assert "state" in answer.json()["extra"]["fields"]


def test_strangers_see_nothing(make_job, make_person) -> None:
    job = make_job()
    anonymous, bob = APIClient(), APIClient()
    bob.force_authenticate(make_person("bob"))
    assert anonymous.get("/api/v1/jobs/").status_code == 401
    for client in (anonymous, bob):
        assert client.get(f"/api/v1/jobs/{job.pk}/").status_code == 404
        assert client.get(f"/api/v1/jobs/{job.pk}/events/").status_code == 404
    assert bob.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 404
    assert bob.get(f"/api/v1/jobs/{uuid.uuid4()}/").status_code == 404


def test_detail_shows_the_newest_progress(client, make_job) -> None:
    job = make_job(state="running")
    live = {"progress": 0.5, "message": "Merging", "log": [{"at": 1.0, "message": "Opened a."}]}
    redis_client().set(keys.job_live(str(job.pk), 1), json.dumps(live))
    body = client.get(f"/api/v1/jobs/{job.pk}/").json()
    assert (body["progress"], body["message"], body["log"]) == (0.5, "Merging", live["log"])
    assert (body["state"], body["error"], body["result"]) == ("running", None, None)


def test_waiting_jobs_know_their_place(client, make_job) -> None:
    places = [client.get(f"/api/v1/jobs/{job.pk}/").json()["waiting_before"] for job in (make_job(), make_job())]
    assert places == [0, 1]


def test_a_lists_cost_does_not_grow_with_its_jobs(client, make_job, django_assert_max_num_queries) -> None:
    jobs = [make_job() for _ in range(7)] + [make_job(state="running") for _ in range(5)]
    live = {"progress": 0.5, "message": "Reading", "log": []}
    redis_client().set(keys.job_live(str(jobs[-1].pk), 1), json.dumps(live))
    client.get("/api/v1/jobs/")
    with django_assert_max_num_queries(3):
        rows = client.get("/api/v1/jobs/").json()["results"]
    assert [row["waiting_before"] for row in reversed(rows)] == [*range(7), 0, 0, 0, 0, 0]
    assert rows[0]["message"] == "Reading"
    assert "log" not in rows[0]


def test_cancel_and_retry(client, make_job) -> None:
    job = make_job()
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").json()["state"] == "cancelled"
    again = client.post(f"/api/v1/jobs/{job.pk}/retry/").json()
    assert (again["state"], again["attempt"]) == ("queued", 2)
    refused = client.post(f"/api/v1/jobs/{job.pk}/retry/")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_ended")


def test_failed_job_carries_its_words(client, make_job) -> None:
    job = make_job(state="failed", error_code="time_limit", error_message="Too long.")
    error = client.get(f"/api/v1/jobs/{job.pk}/").json()["error"]
    assert error == {"code": "time_limit", "message": "Too long."}
    assert Job.objects.get(pk=job.pk).has_ended
