"""Health, readiness and metrics against the real servers of the test session, and against servers that are away."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client

from inference_worker import roles
from marketplace.core.health import parts
from marketplace.core.health.metrics import REQUESTS
from marketplace.core.health.middleware import RequestMetrics

ROLES = ["marketplace_worker", "live_worker", "inspect_worker", "embed_worker", "fetch_worker", "batch_worker"]


@pytest.fixture(autouse=True)
def _fresh_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test asks the workers anew; none of them runs here."""
    monkeypatch.setattr(parts, "_roles", parts._Remembered(parts._ping, parts._ping_lifetime))
    monkeypatch.setattr(parts, "_PING_SECONDS", 0.05)
    monkeypatch.setattr(parts, "_parts", parts._Remembered(parts.all_parts, lambda found: 0.0))


def readyz(client: Client) -> tuple[int, dict[str, object], dict[str, dict[str, object]]]:
    answer = client.get("/readyz")
    body = answer.json()
    return answer.status_code, body, body["parts"]


def test_healthz_asks_nobody(client: Client) -> None:
    """No ``django_db`` mark: a query would fail the test."""
    answer = client.get("/healthz")
    assert answer.json() == {"status": "ok", "version": settings.VERSION}
    assert answer["Cache-Control"].startswith("max-age=0")


@pytest.mark.django_db
def test_readyz_names_missing_workers_and_serves_all_the_same(client: Client) -> None:
    status, body, found = readyz(client)
    assert (status, body["status"], body["missing"]) == (200, "degraded", ROLES)
    assert all(found[name]["ok"] for name in ("postgres", "migrations", "redis", "blob_store"))
    assert found["inspect_worker"]["message"] == "No inspect worker answers: uploads are not checked."


@pytest.mark.django_db
def test_readyz_is_ready_when_every_role_answers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_roles", parts._Remembered(lambda: frozenset(parts.WORKERS), lambda roles: 9.0))
    status, body, _ = readyz(client)
    assert (status, body["status"], body["missing"]) == (200, "ready", [])


@pytest.mark.django_db
def test_hammering_readyz_asks_the_servers_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask() -> list[parts.Part]:
        asked.append(1)
        return parts.all_parts()

    monkeypatch.setattr(parts, "_parts", parts._Remembered(ask, lambda found: 60.0))
    answers = [readyz(client)[1] for _ in range(5)]
    assert len(asked) == 1
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.django_db
def test_readyz_without_redis(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere.sock")
    monkeypatch.setattr(parts, "redis_client", lambda: nobody)
    status, body, found = readyz(client)
    assert (status, body["status"]) == (503, "unavailable")
    assert str(found["redis"]["message"]).startswith("Redis does not answer")
    assert found["postgres"]["ok"]


@pytest.mark.django_db
def test_readyz_without_postgres(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {**settings.DATABASES["default"], "OPTIONS": {}, "HOST": "/nowhere"}
    monkeypatch.setitem(settings.DATABASES, "default", elsewhere)
    status, _, found = readyz(client)
    assert status == 503
    assert not found["postgres"]["ok"]
    assert not found["migrations"]["ok"]
    assert "PostgreSQL does not answer" in str(found["postgres"]["message"])


@pytest.mark.django_db(transaction=True)
def test_readyz_with_a_missing_migration(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs' AND name = '0001_initial'")
    try:
        status, _, found = readyz(client)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('jobs', '0001_initial', now())")
    assert status == 503
    assert found["migrations"]["message"] == (
        "1 migrations are not applied, the first is jobs.0001_initial: run `manage.py migrate`."
    )
    assert readyz(client)[2]["migrations"]["ok"]


@pytest.mark.django_db
def test_readyz_with_a_store_that_cannot_be_written(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "BLOB_STORE_URL", "file:///proc/nowhere")
    status, _, found = readyz(client)
    assert status == 503
    assert "The blob store cannot be written" in str(found["blob_store"]["message"])


def value(text: str, sample: str) -> float | None:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


@pytest.mark.django_db
def test_metrics_count_requests_by_route(client: Client) -> None:
    sample = 'brickyard_http_requests_total{method="GET",route="healthz",status="200"}'
    before = value(client.get("/metrics").content.decode(), sample) or 0.0
    for _ in range(3):
        client.get("/healthz")
    text = client.get("/metrics").content.decode()
    assert value(text, sample) == before + 3
    for queue in (queue for role in roles.ROLES.values() for queue in role.queues):
        assert value(text, f'brickyard_queue_length{{queue="{queue}"}}') == 0, queue
    assert value(text, 'brickyard_worker_present{role="batch"}') == 0


async def test_metrics_count_requests_of_asynchronous_views() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=418)

    counter = REQUESTS.labels("HEAD", "(none)", "418")
    before = counter._value.get()
    pending = RequestMetrics(answer)(AsyncRequestFactory().head("/x"))
    assert not isinstance(pending, HttpResponse)
    assert (await pending).status_code == 418
    assert counter._value.get() == before + 1


@pytest.mark.django_db
def test_metrics_leave_out_what_cannot_be_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere.sock")
    monkeypatch.setattr("marketplace.core.health.metrics.redis_client", lambda: nobody)
    text = client.get("/metrics").content.decode()
    assert "brickyard_queue_length" not in text
    assert "brickyard_adapters" in text


@pytest.mark.django_db
def test_metrics_may_need_a_token(client: Client, settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.METRICS_TOKEN", "sesame", raising=False)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer Sesame"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer sesame"}).status_code == 200


@pytest.mark.django_db
def test_metrics_without_a_token_stay_on_this_machine(client: Client, settings: Any) -> None:
    """As on a server: TLS in front, no token set."""
    settings.METRICS_TOKEN, settings.METRICS_OPEN = "", False
    assert client.get("/metrics").status_code == 200
    refused = client.get("/metrics", REMOTE_ADDR="192.0.2.7")
    assert refused.status_code == 403
    assert "METRICS_TOKEN" in refused.content.decode()
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 403
    settings.METRICS_OPEN = True
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.django_db
def test_probes_answer_whatever_the_host_and_without_tls(settings: Any) -> None:
    """A container's health check asks http://127.0.0.1:8000 although only the site's name is allowed."""
    settings.ALLOWED_HOSTS = ["brickyard.example.org"]
    settings.SECURE_SSL_REDIRECT = True
    client = Client()
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = client.get(path, headers={"Host": "127.0.0.1:8000"})
        assert answer.status_code == 200, path
    assert client.post("/healthz", headers={"Host": "127.0.0.1:8000"}).status_code == 405
    assert client.get("/", headers={"Host": "127.0.0.1:8000"}).status_code == 400
    assert client.get("/", headers={"Host": "brickyard.example.org"})["Location"] == "https://brickyard.example.org/"


@pytest.mark.django_db(transaction=True)
async def test_probes_answer_under_asgi(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["brickyard.example.org"]
    answer = await AsyncClient().get("/healthz", headers={"Host": "127.0.0.1:8000"})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
