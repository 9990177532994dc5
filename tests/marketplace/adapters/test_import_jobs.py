"""From a source to an upload: the job, what becomes of its result, pages and REST."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.fetch import FetchRequest, FetchResult
from inference_worker.contracts.jobs import JobFault, JobOutcome
from inference_worker.fetching import FetchSettings
from inference_worker.fetching.fetch import fetch
from marketplace.accounts.models import User
from marketplace.adapters.imports.services import MAX_OPEN, Publication, start_import
from marketplace.adapters.models import Adapter, PartialUpload, Upload
from marketplace.core.errors import Invalid, NotAuthenticated, QuotaExceeded, TooManyRequests
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome, retry_job
from marketplace.moderation.models import AuditEntry, Block
from tests.inference_worker.fetching.loopback import COMMIT, Loopback, serving
from tests.marketplace.adapters.conftest import adapter_files, zip_of

pytestmark = pytest.mark.django_db


def finish(job: Job, files: dict[str, bytes], **more: Any) -> Job:
    """What the fetch worker reports when it has fetched ``files``."""
    stored = []
    for path, data in files.items():
        info = blob_store().put_bytes(data)
        stored.append(OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
    result = FetchResult(files=tuple(stored), origin="https://hub.example/ada/lora", **more)
    return report(job, status="succeeded", result=result.model_dump(mode="json"))


def report(job: Job, **outcome: Any) -> Job:
    now = time.time()
    record_outcome(JobOutcome(job=str(job.pk), attempt=job.attempt, started_at=now, finished_at=now, **outcome))
    job.refresh_from_db()
    return job


def test_a_fetch_becomes_an_upload_that_is_checked(ada: User) -> None:
    job = start_import(user=ada, source="ada/lora@v1")
    request = FetchRequest.model_validate(job.request)
    assert (request.source.kind, request.max_seconds) == ("hub", 3600)
    assert job.title == "Import of ada/lora@v1"
    card = b"---\nlicense: mit\ntitle: Plural\n---\n# Plural\n"
    finish(job, {**adapter_files(), "README.md": card}, revision=COMMIT)
    assert job.state == Job.State.SUCCEEDED
    upload = Upload.objects.get(pk=job.result["upload"])
    assert (upload.owner, upload.state) == (ada, Upload.State.READY)
    assert upload.suggested["license"] == "mit"
    assert (upload.suggested["source"], upload.suggested["source_revision"]) == ("https://hub.example/ada/lora", COMMIT)
    assert {file["path"] for file in upload.files} == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert Job.objects.filter(kind="inspect", subject__artifact=upload.artifact_id).count() == 1
    actions = list(AuditEntry.objects.values_list("action", flat=True))
    assert {"import.start", "upload.create", "import.finish"} <= set(actions)


def test_a_fetched_zip_goes_through_the_same_checks(ada: User) -> None:
    job = finish(start_import(user=ada, source="https://example.org/a.zip"), {"a.zip": zip_of(adapter_files())})
    assert job.result["state"] == "ready"
    job = finish(start_import(user=ada, source="https://example.org/b.zip"), {"b.zip": b"PK\x05\x06" + bytes(18)})
    upload = Upload.objects.get(pk=job.result["upload"])
    assert (job.state, upload.state) == (Job.State.SUCCEEDED, Upload.State.REFUSED)
    assert upload.problems
    assert upload.suggested["source"]


def test_quota_before_and_on_arrival(ada: User, settings: Any) -> None:
    files = adapter_files()
    needed = sum(len(data) for data in files.values())
    ada.quota_bytes = needed - 1
    ada.save()
    job = start_import(user=ada, source="ada/lora")
    assert job.request["max_bytes"] == needed - 1
    finish(job, files)
    assert (job.state, job.error_code) == (Job.State.FAILED, "quota_exceeded")
    assert not Upload.objects.exists()
    ada.quota_bytes = 0
    ada.save()
    with pytest.raises(QuotaExceeded):
        start_import(user=ada, source="ada/lora")


def test_room_is_granted_once(ada: User, settings: Any) -> None:
    """Files that arrive in pieces and imports under way hold theirs; whoever tries again asks again."""
    settings.UPLOAD_MAX_BYTES = 600
    User.objects.filter(pk=ada.pk).update(quota_bytes=1000)
    PartialUpload.objects.create(owner=ada, path="a", length=100, expires_at=timezone.now() + timedelta(days=1))
    first, second = (start_import(user=ada, source=f"ada/lora{number}") for number in range(2))
    assert (first.request["max_bytes"], second.request["max_bytes"]) == (600, 300)
    with pytest.raises(QuotaExceeded, match="under way"):
        start_import(user=ada, source="ada/third")
    # An operator's list of many is counted on arrival.
    listed = start_import(user=ada, source="ada/fourth", publication=Publication("fourth", {}))
    assert listed.request["max_bytes"] == 600
    for job in (first, listed):
        cancel_job(user=ada, job=job)
    third = start_import(user=ada, source="ada/third")
    assert third.request["max_bytes"] == 600
    with pytest.raises(QuotaExceeded, match="under way"):
        retry_job(user=ada, job=first)
    cancel_job(user=ada, job=second)
    assert retry_job(user=ada, job=first).request["max_bytes"] == 300


def test_bytes_that_were_taken_down_do_not_come_back(ada: User) -> None:
    files = adapter_files()
    Block.objects.create(sha256=hashlib.sha256(files["adapter_model.safetensors"]).hexdigest(), reason="Malware")
    job = finish(start_import(user=ada, source="ada/lora"), files)
    assert job.result["state"] == "refused"
    assert Upload.objects.get().problems[0]["code"] == "weights_taken_down"


def test_a_command_publishes_at_once(ada: User) -> None:
    publication = Publication("plural", {"visibility": "public", "title": "Plurals"})
    job = start_import(user=ada, source="ada/lora", publication=publication)
    finish(job, adapter_files())
    adapter = Adapter.objects.get()
    assert (adapter.full_name, adapter.title, adapter.visibility) == ("ada/plural", "Plurals", "public")
    assert adapter.current is not None
    assert adapter.current.message == "Imported from ada/lora"
    assert job.result["adapter"] == "ada/plural"
    again = start_import(user=ada, source="ada/lora", publication=publication)
    finish(again, adapter_files(seed=1))
    assert (again.state, again.error_code) == (Job.State.FAILED, "name_taken")


def test_who_may_import_and_how_many_at_once(ada: User, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(NotAuthenticated):
        start_import(user=AnonymousUser(), source="ada/lora")  # type: ignore[arg-type]
    first = start_import(user=ada, source="ada/lora", idempotency_key="once")
    assert start_import(user=ada, source="ada/lora", idempotency_key="once") == first
    for number in range(MAX_OPEN - 1):
        start_import(user=ada, source=f"ada/lora{number}")
    with pytest.raises(TooManyRequests):
        start_import(user=ada, source="ada/more")
    with pytest.raises(Invalid):
        start_import(user=ada, source="nonsense")


def test_a_closed_account_gets_nothing(ada: User) -> None:
    job = start_import(user=ada, source="ada/lora")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    finish(job, adapter_files())
    assert (job.state, job.error_code) == (Job.State.FAILED, "forbidden")
    assert not Upload.objects.exists()


def test_rest(ada: User, client: Client) -> None:
    assert client.post("/api/v1/imports/", {"source": "ada/lora"}, "application/json").status_code == 401
    client.force_login(ada)
    answer = client.post("/api/v1/imports/", {"source": "ada/lora"}, "application/json")
    assert (answer.status_code, answer.json()["kind"], answer.json()["state"]) == (202, "fetch", "queued")
    answer = client.post("/api/v1/imports/", {"source": "nonsense"}, "application/json")
    assert answer.status_code == 400
    assert "owner/name" in answer.json()["extra"]["fields"]["source"][0]


def test_the_page_leads_to_the_job_and_on_to_the_upload(ada: User, client: Client) -> None:
    assert client.get("/import/").status_code == 302
    client.force_login(ada)
    assert b"Import an adapter" in client.get("/import/").content
    assert b'href="/import/"' in client.get("/upload/").content
    answer = client.post("/import/", {"source": "http://example.org/a.zip"})
    assert answer.status_code == 400
    assert b"not encrypted" in answer.content
    answer = client.post("/import/", {"source": "ada/lora"})
    job = Job.objects.get(kind="fetch")
    assert answer["Location"] == f"/jobs/{job.pk}"
    assert b"Import of ada/lora" in client.get(f"/jobs/{job.pk}").content
    finish(job, adapter_files())
    page = client.get(f"/jobs/{job.pk}").content.decode()
    assert f'href="/upload/{job.result["upload"]}"' in page
    assert client.get(f"/upload/{job.result['upload']}").status_code == 200
    assert b"Import of ada/lora" in client.get("/import/").content


def test_a_failed_fetch_says_why_and_can_be_tried_again(ada: User, client: Client) -> None:
    job = start_import(user=ada, source="ada/lora")
    fault = JobFault(code="fetch_failed", message="There is no model ada/lora on huggingface.co, or it is private.")
    report(job, status="failed", fault=fault)
    client.force_login(ada)
    page = client.get(f"/jobs/{job.pk}").content.decode()
    assert "or it is private" in page
    client.post(f"/jobs/{job.pk}/retry")
    job.refresh_from_db()
    assert (job.state, job.attempt) == (Job.State.QUEUED, 2)


@pytest.fixture
def hub(settings: Any) -> Any:
    with serving() as server:
        settings.IMPORT_HUB_URL = server.url
        settings.IMPORT_ALLOWED_HOSTS = [server.allowed]
        yield server


def test_from_a_hub_to_an_adapter(ada: User, hub: Loopback, tmp_path: Path) -> None:
    """The worker's own code between the plan and the result."""
    files = adapter_files()
    hub.repositories["lists/reverse"] = {**files, "README.md": b"---\nlicense: mit\n---\n# Reverse\n", "x.bin": b"1"}
    job = start_import(user=ada, source=f"{hub.url}/lists/reverse/tree/main")
    done = fetch(
        FetchRequest.model_validate(job.request),
        FetchSettings(allowed_hosts=frozenset({hub.allowed})),
        tmp_path / "partial",
        lambda fraction, message: None,
        lambda message: None,
    )
    finish(job, {name: path.read_bytes() for name, path in done.files}, revision=done.revision)
    upload = Upload.objects.get(pk=job.result["upload"])
    assert upload.state == Upload.State.READY
    assert upload.suggested["license"] == "mit"
    assert upload.problems == []
