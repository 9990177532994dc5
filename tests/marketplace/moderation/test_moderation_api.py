"""Reporting over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.accounts.throttling import ReportThrottle
from marketplace.moderation.models import Report

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/adapters/ada/poems/report/"


def post(client: Client, body: dict[str, Any], **options: Any) -> Any:
    return client.post(ADDRESS, body, content_type="application/json", **options)


@pytest.fixture(autouse=True)
def _adapter(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "poems")
    make_adapter(ada, "diary", visibility="private")


def test_anonymous_report(client: Client) -> None:
    answer = post(client, {"reason": "illegal", "text": "See file x."})
    assert answer.status_code == 201
    assert answer.json()["state"] == "open"
    report = Report.objects.get()
    assert (report.reporter, report.reason, report.text) == (None, "illegal", "See file x.")


def test_report_with_a_token_names_the_reporter(client: Client, bob: User) -> None:
    _, secret = create_token(user=bob, name="t", scope="write")
    assert post(client, {"reason": "spam"}, headers={"Authorization": f"Bearer {secret}"}).status_code == 201
    assert Report.objects.get().reporter == bob
    # Reporting needs no account, so it needs no scope: a token may never do less than nobody.
    _, secret = create_token(user=bob, name="t", scope="read")
    assert post(client, {"reason": "other", "text": "x"}, headers={"Authorization": f"Bearer {secret}"}).json()["id"]
    assert Report.objects.filter(reporter=bob).count() == 2


def test_private_adapters_do_not_exist_for_reporters(client: Client) -> None:
    answer = client.post("/api/v1/adapters/ada/diary/report/", {"reason": "spam"}, content_type="application/json")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert not Report.objects.exists()


def test_faults_name_the_field(client: Client) -> None:
    answer = post(client, {"reason": "ugly"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["extra"]["fields"]) == ["reason"]


def test_strangers_are_limited_more_than_members(client: Client, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReportThrottle, "THROTTLE_RATES", {"report": "3/hour", "report_anon": "1/hour"})
    assert post(client, {"reason": "spam"}).status_code == 201
    refused = post(client, {"reason": "spam"}, headers={"X-Forwarded-For": "10.9.8.7"})
    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_requests"
    assert int(refused["Retry-After"]) == refused.json()["extra"]["retry_after"] > 0
    client.force_login(bob)
    answers = [post(client, {"reason": reason}).status_code for reason in ("spam", "illegal", "privacy", "licence")]
    assert answers == [201, 201, 201, 429]
