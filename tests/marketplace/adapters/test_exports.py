"""Exports: who may have what made of which adapter, how long it is kept, and how it is loaded."""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone
from reference.tiny_adapters import load_peft, logits
from reference.tiny_adapters import make_adapter as make_peft_adapter

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.export import ExportRequest, ExportResult
from inference_worker.contracts.jobs import JobOutcome
from marketplace.accounts.models import User
from marketplace.adapters import garbage, services
from marketplace.adapters.exports import selectors
from marketplace.adapters.exports.services import create_export, discard_export, offers_of
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound, TooLarge
from marketplace.core.pagination import DEFAULT_LIMIT
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome, retry_job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import MakeUpload

pytestmark = pytest.mark.django_db

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "README.md": b"# Merged\n"}


@pytest.fixture
def adapter(ada: User, make_adapter: Callable[..., Adapter]) -> Adapter:
    base = Base.objects.create(
        name="tiny", source="/models/tiny", state=Base.State.READY, parameters=1000, config={"dtype": "bfloat16"}
    )
    adapter = make_adapter(ada, "plural", license="mit")
    assert adapter.current is not None
    adapter.base = base
    adapter.save()
    artifact = adapter.current.artifact
    artifact.base, artifact.summary = base, {"task_type": "CAUSAL_LM", "features": [], "parameters": 500}
    artifact.save()
    return adapter


def finish(job: Job, files: dict[str, bytes] = FILES) -> Job:
    """What the batch worker reports."""
    stored = []
    for path, data in files.items():
        info = blob_store().put_bytes(data)
        stored.append(OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
    size = sum(file.size for file in stored)
    result = ExportResult(format=job.subject["format"], files=tuple(stored), size=size).model_dump(mode="json")
    now = time.time()
    record_outcome(
        JobOutcome(
            job=str(job.pk), attempt=job.attempt, status="succeeded", result=result, started_at=now, finished_at=now
        )
    )
    job.refresh_from_db()
    return job


def change(adapter: Adapter, *, base: dict[str, Any] | None = None, **summary: Any) -> None:
    assert adapter.current is not None
    artifact = adapter.current.artifact
    artifact.summary = {**artifact.summary, **summary}
    artifact.save()
    if base:
        Base.objects.filter(name="tiny").update(**base)
        adapter.current.artifact.refresh_from_db()
    adapter.refresh_from_db()


def test_the_plan_is_closed(ada: User, adapter: Adapter) -> None:
    job = create_export(user=ada, adapter=adapter, format="merged", dtype="float16")
    request = ExportRequest.model_validate(job.request)
    assert adapter.current is not None
    assert request.adapter.label == "ada/plural"
    assert request.adapter.weights == adapter.current.artifact.weights_blob_id
    assert (request.base.name, request.base.source, request.license) == ("tiny", "/models/tiny", "mit")
    assert (job.queue, job.subject["estimate"]) == ("merge", 2000)
    assert AuditEntry.objects.get(action="export.create").target == "ada/plural"


def test_the_same_export_is_not_made_twice(ada: User, adapter: Adapter) -> None:
    first = create_export(user=ada, adapter=adapter, format="merged")
    assert create_export(user=ada, adapter=adapter, format="merged") == first
    finish(first)
    assert create_export(user=ada, adapter=adapter, format="merged") == first
    assert create_export(user=ada, adapter=adapter, format="merged", dtype="float32") != first
    assert create_export(user=ada, adapter=adapter, format="gguf") != first


@pytest.mark.parametrize(
    ("format", "changes", "words"),
    [
        ("merged", {"task_type": "SEQ_CLS"}, "adapter for SEQ_CLS"),
        ("merged", {"features": ["layer_replication"]}, "layer replication"),
        ("gguf", {"features": ["dora", "rslora"]}, "uses: dora"),
        ("merged", {"base": {"served": False}}, "not at hand"),
        ("gguf", {"base": {"state": "failed"}}, "not at hand"),
        ("merged", {"base": {"license": "cc-by-nd-4.0"}}, "base tiny is under cc-by-nd-4.0"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_computed(
    format: str, changes: dict[str, Any], words: str, ada: User, adapter: Adapter
) -> None:
    change(adapter, **changes)
    with pytest.raises(Conflict, match=words) as fault:
        create_export(user=ada, adapter=adapter, format=format)
    assert fault.value.code == "not_exportable"
    assert not Job.objects.exists()
    assert adapter.current is not None
    offers = {offer.format: offer for offer in offers_of(adapter.current, adapter.base)}
    assert words.replace("base tiny", "tiny") in offers[format].reason or words in offers[format].reason


def test_licences_and_unknown_bases(ada: User, adapter: Adapter) -> None:
    Adapter.objects.filter(pk=adapter.pk).update(license="cc-by-nd-4.0")
    adapter.refresh_from_db()
    with pytest.raises(Conflict, match="The adapter is under cc-by-nd"):
        create_export(user=ada, adapter=adapter, format="merged")
    create_export(user=ada, adapter=adapter, format="gguf")  # Another form of the same work.
    assert adapter.current is not None
    adapter.current.artifact.base = adapter.base = None
    adapter.current.artifact.save()
    adapter.save()
    with pytest.raises(Conflict, match="base is unknown here"):
        create_export(user=ada, adapter=adapter, format="gguf")


def test_options(ada: User, adapter: Adapter) -> None:
    for wrong, field in (
        ({"format": "onnx"}, "format"),
        ({"format": "gguf", "dtype": "bfloat16"}, "dtype"),
        ({"format": "merged", "shard_bytes": 1}, "shard_bytes"),
    ):
        with pytest.raises(Invalid) as fault:
            create_export(user=ada, adapter=adapter, **wrong)  # type: ignore[arg-type]
        assert list(fault.value.extra["fields"]) == [field]


def test_room_for_exports_is_counted(ada: User, adapter: Adapter, settings: Any) -> None:
    settings.EXPORT_MAX_BYTES = 15_000
    job = create_export(user=ada, adapter=adapter, format="merged")
    assert selectors.used_bytes(ada) == 2000
    finish(job)
    assert selectors.used_bytes(ada) == sum(map(len, FILES.values()))
    other = create_export(user=ada, adapter=adapter, format="gguf")
    assert other.request["max_bytes"] == 15_000 - selectors.used_bytes(ada) + other.subject["estimate"]
    with pytest.raises(TooLarge) as fault:
        create_export(user=ada, adapter=adapter, format="merged", dtype="float32")
    assert fault.value.code == "export_too_large"
    discard_export(user=ada, job=job)
    create_export(user=ada, adapter=adapter, format="merged", dtype="float32")
    with pytest.raises(NotFound):
        selectors.get_export(user=ada, export_id=job.pk)
    with pytest.raises(Conflict):
        discard_export(user=ada, job=other)


def test_an_export_that_is_tried_again_is_counted_again(ada: User, adapter: Adapter, settings: Any) -> None:
    settings.EXPORT_MAX_BYTES = 4000
    job = create_export(user=ada, adapter=adapter, format="merged")
    cancel_job(user=ada, job=job)
    other = create_export(user=ada, adapter=adapter, format="merged", dtype="float16", shard_bytes=10**9)
    assert retry_job(user=ada, job=job).request["max_bytes"] == 2000
    cancel_job(user=ada, job=job)
    cancel_job(user=ada, job=other)
    create_export(user=ada, adapter=adapter, format="merged", dtype="float32")
    with pytest.raises(TooLarge) as fault:
        retry_job(user=ada, job=job)
    assert (fault.value.code, fault.value.extra["left"]) == ("export_too_large", 0)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_strangers_and_private_adapters(ada: User, bob: User, adapter: Adapter) -> None:
    with pytest.raises(NotAuthenticated):
        create_export(user=AnonymousUser(), adapter=adapter, format="merged")  # type: ignore[arg-type]
    job = create_export(user=bob, adapter=adapter, format="merged")
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    finish(job)
    assert (job.state, job.error_code) == (Job.State.FAILED, "not_found")
    adapter.refresh_from_db()
    with pytest.raises(NotFound):
        create_export(user=bob, adapter=adapter, format="merged")


def test_drafts_are_no_revisions_to_others(
    ada: User, bob: User, moderator: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    services.set_visibility(user=ada, adapter=adapter, visibility="public")
    services.publish_upload(user=ada, upload=make_upload(ada, check=False, seed=9), adapter=adapter)
    draft = adapter.versions.order_by("-pk")[0].commit
    for person in (bob, moderator):
        for revision in (draft, "0" * 40):
            with pytest.raises(NotFound, match=f"has no revision “{revision}”"):
                create_export(user=person, adapter=adapter, format="gguf", revision=revision)
    with pytest.raises(Invalid):
        create_export(user=ada, adapter=adapter, format="gguf", revision=draft)


def test_files_and_zip_for_whoever_asked_alone(ada: User, bob: User, adapter: Adapter, client: Client) -> None:
    job = create_export(user=bob, adapter=adapter, format="merged")
    address = f"/api/v1/exports/{job.pk}/"
    client.force_login(bob)
    assert client.get(f"{address}archive.zip").json()["code"] == "export_not_finished"
    finish(job)
    body = client.get(address).json()
    assert (body["adapter"], body["size"]) == ("ada/plural", sum(map(len, FILES.values())))
    assert {file["path"] for file in body["files"]} == set(FILES)
    for prefix in (address, f"/exports/{job.pk}/"):
        answer = client.get(f"{prefix}archive.zip")
        data = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
        assert int(answer["Content-Length"]) == len(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {
                f"ada-plural-merged/{path}": content for path, content in FILES.items()
            }
        whole = client.get(f"{prefix}files/model.safetensors")
        assert b"".join(whole.streaming_content) == FILES["model.safetensors"]  # type: ignore[attr-defined]
        part = client.get(
            f"{prefix}files/model.safetensors", headers={"Range": "bytes=10000-", "If-Range": whole["ETag"]}
        )
        assert (part.status_code, part["Content-Range"]) == (206, "bytes 10000-10239/10240")
        assert b"".join(part.streaming_content) == FILES["model.safetensors"][10000:]  # type: ignore[attr-defined]
        assert part["Content-Disposition"].startswith("attachment")
        assert client.get(f"{prefix}files/other").status_code == 404
    client.force_login(ada)
    for path in ("", "archive.zip", "files/config.json"):
        assert client.get(f"{address}{path}").status_code == 404
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    client.force_login(bob)
    assert client.get(f"{address}archive.zip").status_code == 404
    assert client.get(f"{address}files/config.json").status_code == 404


def test_a_broken_download_of_the_zip_goes_on(ada: User, bob: User, adapter: Adapter, client: Client) -> None:
    job = finish(create_export(user=bob, adapter=adapter, format="merged"))
    client.force_login(bob)
    for address in (f"/api/v1/exports/{job.pk}/archive.zip", f"/exports/{job.pk}/archive.zip"):
        head = client.head(address)
        size = int(head["Content-Length"])
        assert head["Accept-Ranges"] == "bytes"
        first = client.get(address, headers={"Range": "bytes=0-4999"})
        rest = client.get(address, headers={"Range": "bytes=5000-", "If-Range": first["ETag"]})
        assert (first.status_code, rest.status_code) == (206, 206)
        assert rest["Content-Range"] == f"bytes 5000-{size - 1}/{size}"
        data = b"".join([*first.streaming_content, *rest.streaming_content])  # type: ignore[attr-defined]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert archive.read("ada-plural-merged/model.safetensors") == FILES["model.safetensors"]
        assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 304
        Adapter.objects.filter(pk=adapter.pk).update(name="singular")
        renamed = client.get(address, headers={"Range": "bytes=5000-", "If-Range": first["ETag"]})
        assert (renamed.status_code, int(renamed["Content-Length"])) == (200, size + 2 * 2 * len(FILES))
        Adapter.objects.filter(pk=adapter.pk).update(name="plural")


def test_files_are_kept_for_some_days_and_then_go(ada: User, adapter: Adapter, settings: Any) -> None:
    job = finish(create_export(user=ada, adapter=adapter, format="merged"))
    digests = {file["sha256"] for file in job.result["files"]}
    old = (timezone.now() - dt.timedelta(days=1.5)).timestamp()
    for digest in digests:
        os.utime(blob_store().path(digest), (old, old))
    assert set(selectors.kept_digests()) == digests
    garbage.collect_garbage()
    assert all(blob_store().has(digest) for digest in digests)
    settings.EXPORT_KEEP_DAYS = 0.0
    with pytest.raises(NotFound):
        selectors.get_export(user=ada, export_id=job.pk)
    garbage.collect_garbage()
    assert not any(blob_store().has(digest) for digest in digests)


def test_rest(ada: User, adapter: Adapter, client: Client) -> None:
    address = "/api/v1/adapters/ada/plural/exports/"
    assert client.post(address, {"format": "merged"}, "application/json").status_code == 401
    assert client.get("/api/v1/exports/").status_code == 401
    client.force_login(ada)
    answer = client.post(address, {"format": "merged"}, "application/json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "export")
    assert client.post(address, {"format": "onnx"}, "application/json").status_code == 400
    (row,) = client.get("/api/v1/exports/").json()["results"]
    assert (row["id"], row["state"], row["size"], row["files"]) == (answer.json()["id"], "queued", None, [])
    job = finish(Job.objects.get())
    assert client.delete(f"/api/v1/exports/{job.pk}/").status_code == 204
    assert client.get(f"/api/v1/exports/{job.pk}/").status_code == 404


def test_pages(ada: User, bob: User, adapter: Adapter, client: Client) -> None:
    page = "/ada/plural"
    assert b'id="export"' not in client.get(page).content
    client.force_login(bob)
    content = client.get(page).content.decode()
    assert "Merged model" in content
    assert "GGUF adapter" in content
    assert b"Nothing is exported" in client.get("/exports/").content
    answer = client.post(f"{page}/export", {"format": "merged", "dtype": "same"})
    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}"
    finish(job)
    content = client.get(f"/jobs/{job.pk}").content.decode()
    assert f"/exports/{job.pk}/archive.zip" in content
    assert f"/exports/{job.pk}/files/model.safetensors" in content
    assert f"/exports/{job.pk}/archive.zip" in client.get("/exports/").content.decode()
    client.post(f"/exports/{job.pk}/discard")
    assert b"Nothing is exported" in client.get("/exports/").content
    assert f"/exports/{job.pk}" not in client.get(f"/jobs/{job.pk}").content.decode()
    answer = client.post(f"{page}/export", {"format": "onnx"}, follow=True)
    assert b"Choose one of: merged, gguf" in answer.content
    change(adapter, task_type="SEQ_CLS")
    assert "adapter for SEQ_CLS" in client.get(page).content.decode()


def test_a_renamed_adapter_is_told_by_its_name_of_today(ada: User, bob: User, adapter: Adapter, client: Client) -> None:
    job = finish(create_export(user=bob, adapter=adapter, format="merged"))
    services.rename_adapter(user=ada, adapter=adapter, name="singular")
    client.force_login(bob)
    for page in ("/exports/", "/jobs/", f"/jobs/{job.pk}"):
        content = client.get(page).content.decode()
        assert ("of ada/singular" in content, "of ada/plural" in content) == (True, False), page
    for address in (f"/api/v1/exports/{job.pk}/", "/api/v1/exports/"):
        body = client.get(address).json()
        assert (body["results"][0] if "results" in body else body)["adapter"] == "ada/singular"
    for address in (f"/api/v1/jobs/{job.pk}/", "/api/v1/jobs/"):
        body = client.get(address).json()
        assert (body["results"][0] if "results" in body else body)["title"].endswith(" of ada/singular")
    job.refresh_from_db()
    assert job.request["adapter"]["label"] == "ada/plural"  # The plan that was carried out stays as it was.
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    assert "ada/singular" not in client.get("/exports/").content.decode()


def test_many_exports_have_pages(ada: User, adapter: Adapter, client: Client) -> None:
    first = create_export(user=ada, adapter=adapter, format="merged")
    for number in range(DEFAULT_LIMIT):
        create_export(user=ada, adapter=adapter, format="merged", shard_bytes=10**9 + number)
    client.force_login(ada)
    page = client.get("/exports/")
    assert (len(page.context["rows"]), f"/jobs/{first.pk}" in page.content.decode()) == (DEFAULT_LIMIT, False)
    older = re.search(r'href="(\?cursor=[^"]+)" rel="next"', page.content.decode())
    assert older is not None
    rest = client.get(f"/exports/{older[1]}")
    assert [row["job"] for row in rest.context["rows"]] == [first]
    assert 'rel="next"' not in rest.content.decode()


def test_the_archive_loads_in_peft(ada: User, make_upload: MakeUpload, tmp_path: Path, client: Client) -> None:
    """The adapter itself is its archive: unpacked, PEFT computes with it what it computed before."""
    folder = make_peft_adapter(tmp_path / "adapter", 1, use_dora=True)
    names = ("adapter_config.json", "adapter_model.safetensors")
    upload = make_upload(ada, {name: (folder / name).read_bytes() for name in names})
    services.publish_upload(user=ada, upload=upload, name="dora", visibility="public")
    answer = client.get("/ada/dora/archive/main.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:  # type: ignore[attr-defined]
        archive.extractall(tmp_path / "out")
    (loaded,) = (tmp_path / "out").iterdir()
    assert torch.equal(logits(load_peft(loaded)), logits(load_peft(folder)))
