"""A check that crashes means not accepted, and the operators see it: in the log, and by mail."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.core import mail

from marketplace.accounts.models import User
from marketplace.adapters import alerts
from marketplace.adapters.models import Artifact, Upload
from marketplace.core.redis import redis_client
from marketplace.jobs.models import Job
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, fail_inspection, run_inspection, zip_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss", "boss@example.org", "x")


@pytest.fixture(autouse=True)
def quiet() -> None:
    for key in redis_client().scan_iter("alert:*"):
        redis_client().delete(key)
    redis_client().delete("marketplace")


def crash(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def send_what_is_queued() -> int:
    """What the marketplace worker does with the queued mails; how many there were."""
    arguments = [json.loads(base64.b64decode(json.loads(text)["body"])) for text in queued()]
    for positional, *_ in arguments:
        alerts.mail_operators(*positional)
    redis_client().delete("marketplace")
    return len(arguments)


def queued() -> list[str]:
    messages = redis_client().lrange("marketplace", 0, -1)
    return [text for text in messages if json.loads(text)["headers"]["task"] == alerts.TASK]


def test_a_crashed_check_is_not_accepted_and_mailed(
    make_upload: MakeUpload,
    ada: User,
    boss: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    monkeypatch.setattr("inference_worker.adapter_format.inspect.build_layout", crash)
    upload = make_upload(ada, check=False)
    job = Job.objects.get(kind="inspect")
    with django_capture_on_commit_callbacks(execute=True):
        run_inspection(job)
    artifact = Artifact.objects.get(pk=upload.artifact_id)
    assert artifact.state == Artifact.State.INVALID
    assert [problem["code"] for problem in artifact.problems] == ["check_crashed"]
    assert send_what_is_queued() == 1
    (message,) = mail.outbox
    assert message.to == ["boss@example.org"]
    assert f"/admin/jobs/job/{job.pk}/change/" in message.body
    assert "read_layout crashed" in message.body


def test_once_mended_the_same_bytes_are_checked_again(
    make_upload: MakeUpload, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("inference_worker.adapter_format.inspect.build_layout", crash)
        upload = make_upload(ada)
    assert upload.artifact is not None
    assert upload.artifact.state == Artifact.State.INVALID
    again = make_upload(ada)
    assert again.artifact == upload.artifact
    assert again.artifact is not None
    assert Artifact.objects.get().state == Artifact.State.VALID


def test_a_check_that_could_not_be_finished_is_mailed(
    make_upload: MakeUpload, ada: User, boss: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.ADMINS = [("Operator", "ops@example.org")]
    make_upload(ada, check=False)
    with django_capture_on_commit_callbacks(execute=True):
        fail_inspection(Job.objects.get(kind="inspect"))
    assert send_what_is_queued() == 1
    (message,) = mail.outbox
    assert message.to == ["ops@example.org"]
    assert "out_of_memory" in message.body


def test_one_cause_is_mailed_once_in_a_while(boss: User, django_capture_on_commit_callbacks: Any) -> None:
    for cause in ("a", "a", "b"):
        with django_capture_on_commit_callbacks(execute=True):
            alerts.alert("upload_check_crashed", cause=cause, subject="x", body="y")
    assert send_what_is_queued() == 2


def test_the_log_has_every_one(caplog: pytest.LogCaptureFixture) -> None:
    alerts.alert("upload_check_crashed", cause="a", subject="x", body="y", job="first")
    alerts.alert("upload_check_crashed", cause="a", subject="x", body="y", job="second")
    texts = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [("first" in text, "second" in text) for text in texts] == [(True, False), (False, True)]


def test_without_an_operators_address_nothing_is_mailed() -> None:
    assert alerts.mail_operators("x", "y") == 0
    assert mail.outbox == []


@pytest.mark.parametrize("files", [adapter_files(), {"a.zip": zip_of(adapter_files())}], ids=["files", "zip"])
def test_a_crash_before_the_worker_is_not_accepted_either(
    files: dict[str, bytes],
    make_upload: MakeUpload,
    ada: User,
    boss: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    monkeypatch.setattr("marketplace.adapters.uploads.paths.fault_of", crash)
    with django_capture_on_commit_callbacks(execute=True):
        upload = make_upload(ada, files)
    assert upload.state == Upload.State.REFUSED
    assert [problem["code"] for problem in upload.problems] == ["check_crashed"]
    assert upload.artifact is None
    assert send_what_is_queued() == 1
    assert mail.outbox[0].to == ["boss@example.org"]
