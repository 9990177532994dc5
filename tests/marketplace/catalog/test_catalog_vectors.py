"""Asking for vectors, writing them, and the index over them."""

from __future__ import annotations

import io
import random
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding, ExamplePrompt
from marketplace.catalog import meaning, services, tasks, texts, vector_index
from marketplace.catalog.recorders import record_embeddings
from marketplace.jobs.models import Job
from marketplace.jobs.selectors import jobs_of

pytestmark = pytest.mark.django_db


def result_of(job: Job, vector: list[float]) -> dict[str, Any]:
    keys = [item["key"] for item in job.request["items"]]
    return {"encoder": settings.ENCODER, "dim": len(vector), "vectors": dict.fromkeys(keys, vector)}


@pytest.fixture
def adapter(make_adapter: Any, ada: User) -> Adapter:
    return make_adapter(ada, "bank-intents", title="Bank intents", description="Sorts questions.", tags=["bank"])


def test_texts_are_what_a_reader_sees(adapter: Adapter) -> None:
    assert texts.texts_of(adapter) == {"description": ("Bank intents. Sorts questions. bank",)}
    ExamplePrompt.objects.create(adapter=adapter, position=1, prompt="Where is my card?")
    ExamplePrompt.objects.create(adapter=adapter, position=0, prompt=" Top up failed ")
    ExamplePrompt.objects.create(adapter=adapter, position=2, prompt="  ")
    assert texts.texts_of(adapter)["examples"] == ("Top up failed", "Where is my card?")


def test_request_asks_for_what_is_missing_and_only_once(adapter: Adapter, ada: User) -> None:
    job = services.request_embeddings(adapter)
    assert job is not None
    assert (job.kind, job.owner, job.subject["adapter"]) == ("embed", ada, adapter.pk)
    assert job.request["encoder"] == settings.ENCODER
    assert [item["key"] for item in job.request["items"]] == ["description"]
    assert services.request_embeddings(adapter) is None
    ExamplePrompt.objects.create(adapter=adapter, prompt="Where is my card?")
    more = services.request_embeddings(adapter)
    assert more is not None
    assert [item["key"] for item in more.request["items"]] == ["description", "examples"]


def test_result_is_stored_and_then_nothing_is_missing(adapter: Adapter) -> None:
    job = services.request_embeddings(adapter)
    assert job is not None
    record_embeddings(job, result_of(job, [0.6, 0.8]))
    stored = Embedding.objects.get()
    assert (stored.kind, stored.encoder) == ("description", settings.ENCODER)
    assert list(stored.embedding) == pytest.approx([0.6, 0.8])
    Job.objects.update(state=Job.State.SUCCEEDED)
    assert services.request_embeddings(adapter) is None
    assert services.request_embeddings(adapter, force=True) is not None


def test_vectors_of_texts_that_changed_meanwhile_are_dropped(adapter: Adapter) -> None:
    job = services.request_embeddings(adapter)
    assert job is not None
    Adapter.objects.filter(pk=adapter.pk).update(description="Something else.")
    record_embeddings(job, result_of(job, [0.6, 0.8]))
    assert not Embedding.objects.exists()


def test_vectors_of_a_deleted_adapter_are_dropped(adapter: Adapter) -> None:
    job = services.request_embeddings(adapter)
    assert job is not None
    Adapter.objects.filter(pk=adapter.pk).update(deleted_at=adapter.created_at)
    record_embeddings(job, result_of(job, [0.6, 0.8]))
    assert not Embedding.objects.exists()


def test_vectors_of_texts_that_are_gone_are_deleted(adapter: Adapter) -> None:
    example = ExamplePrompt.objects.create(adapter=adapter, prompt="Where is my card?")
    job = services.request_embeddings(adapter)
    assert job is not None
    record_embeddings(job, result_of(job, [0.6, 0.8]))
    assert Embedding.objects.count() == 2
    example.delete()
    services.request_embeddings(adapter)
    assert Embedding.objects.get().kind == "description"


def test_jobs_of_the_site_itself_do_not_clutter_the_owners_list(adapter: Adapter, ada: User) -> None:
    job = services.request_embeddings(adapter)
    assert job is not None
    assert not jobs_of(ada).exists()
    assert jobs_of(ada, kind="embed").get() == job


def test_reembed_queues_for_every_adapter_and_drops_old_encoders(adapter: Adapter, make_adapter: Any) -> None:
    make_adapter(adapter.owner, "second")
    out = io.StringIO()
    call_command("reembed", stdout=out)
    assert "Queued 2 embedding jobs" in out.getvalue()
    assert Job.objects.count() == 2
    call_command("reembed", stdout=out)
    assert "Queued 0" in out.getvalue()
    Embedding.objects.create(adapter=adapter, encoder="old", kind="description", text_digest="", embedding=[1, 0])
    with pytest.raises(SystemExit):
        call_command("reembed", drop=settings.ENCODER, stderr=io.StringIO())


def test_beat_asks_for_what_is_missing(adapter: Adapter, make_adapter: Any) -> None:
    make_adapter(adapter.owner, "fresh")
    unchecked = make_adapter(adapter.owner, "unchecked")
    type(unchecked.current.artifact).objects.filter(pk=unchecked.current.artifact_id).update(state="invalid")
    Adapter.objects.exclude(name="fresh").update(updated_at=adapter.created_at - timedelta(hours=1))
    assert tasks.tend_vectors() == {"requested": 1, "indexed": 0}
    assert Job.objects.get().subject["adapter"] == adapter.pk
    assert tasks.tend_vectors() == {"requested": 0, "indexed": 0}
    job = Job.objects.get()
    record_embeddings(job, result_of(job, [0.6, 0.8]))
    Job.objects.update(state=Job.State.FAILED)
    assert tasks.request_missing() == 0
    Embedding.objects.all().delete()
    assert tasks.request_missing() == 1


def fill(owner: User, count: int, dimensions: int) -> None:
    """``count`` visible adapters with random unit-ish vectors, made in bulk."""
    first = owner.adapters.get()
    numbers = random.Random(7)
    rows = [Adapter(owner=owner, name=f"n{n}", visibility="public", current_id=first.current_id) for n in range(count)]
    Adapter.objects.bulk_create(rows)
    Embedding.objects.bulk_create(
        Embedding(
            adapter=row,
            encoder=settings.ENCODER,
            kind="description",
            text_digest="",
            embedding=[numbers.gauss(0, 1) for _ in range(dimensions)],
        )
        for row in rows
    )


@pytest.mark.django_db(transaction=True)
def test_index_is_made_once_used_and_agrees_with_the_exact_scan(
    adapter: Adapter, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ada, 1500, 16)
    try:
        assert vector_index.dimensions_of(settings.ENCODER) == 16
        assert tasks.index_vectors() is False
        monkeypatch.setattr(tasks, "EXACT_UP_TO", 1000)
        assert tasks.index_vectors() is True
        assert tasks.index_vectors() is False
        assert vector_index.has_index(settings.ENCODER)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE adapters_embedding")
            cursor.execute("ANALYZE adapters_adapter")
        query = [1.0] + [0.0] * 15
        candidates = Adapter.objects.filter(deleted_at=None)
        exact = meaning.closest(candidates, query, settings.ENCODER, 10)
        assert len(exact) == 10
        monkeypatch.setattr(meaning, "EXACT_UP_TO", 100)
        walked = meaning.closest(candidates, query, settings.ENCODER, 10)
        assert len(set(exact) & set(walked)) >= 9
        with connection.cursor() as cursor:
            cursor.execute(
                "EXPLAIN SELECT adapter_id FROM adapters_embedding WHERE encoder = %s "
                "ORDER BY embedding::halfvec(16) <=> %s::halfvec(16) LIMIT 20",
                [settings.ENCODER, str(query)],
            )
            assert vector_index.index_name(settings.ENCODER) in str(cursor.fetchall())
    finally:
        vector_index.drop_vector_index(settings.ENCODER)
    assert not vector_index.has_index(settings.ENCODER)


@pytest.mark.django_db(transaction=True)
def test_a_half_made_index_is_made_again(adapter: Adapter, ada: User) -> None:
    fill(ada, 3, 4)
    out = io.StringIO()
    name = vector_index.index_name(settings.ENCODER)
    try:
        call_command("ensure_vector_index", stdout=out)
        assert "was made" in out.getvalue()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name])
        assert not vector_index.has_index(settings.ENCODER)
        assert vector_index.ensure_vector_index(settings.ENCODER) is True
    finally:
        vector_index.drop_vector_index(settings.ENCODER)
    call_command("ensure_vector_index", encoder="never-used", stdout=out)
    assert "nothing to index" in out.getvalue()
