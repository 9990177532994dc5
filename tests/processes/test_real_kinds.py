"""The real kinds in real workers: inspect and merge of the shipped adapters, queries and generations."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch

from inference_worker.adapter_format import Factors, write_adapter
from inference_worker.contracts import keys
from inference_worker.contracts.bases import BaseShapesRequest
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.embed import EmbedItem, EmbedRequest
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.contracts.inspect import InspectRequest
from inference_worker.contracts.jobs import KINDS, result_name
from inference_worker.contracts.merge import MergeRequest
from marketplace.accounts.models import User
from marketplace.celery import app
from marketplace.core.live import embed_query, live_workers, queue_for
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.jobs import recorders, selectors
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job
from tests.processes.fleet import PATIENCE, ROOT, Fleet, wait_for

pytestmark = pytest.mark.processes

SHIPPED = ROOT / "inference_worker" / "testbed" / "shipped"
BASE = BaseFiles(name="wordsmith-v1", source=str(SHIPPED / "base"))


def stored(name: str) -> AdapterFiles:
    folder = SHIPPED / "adapters" / name
    config = blob_store().put_file(folder / "adapter_config.json")
    weights = blob_store().put_file(folder / "adapter_model.safetensors")
    return AdapterFiles(label=f"demo/{name}", config=config.sha256, weights=weights.sha256)


@pytest.fixture
def no_recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "_on_success", {})


@pytest.mark.usefixtures("no_recorders")
def test_inspect_embed_shapes_and_merge(fleet: Fleet, owner: User) -> None:
    """The jobs' results are read from the blob store, as the marketplace does; rows are the recorders' tests."""
    fleet.batch(queues=("inspect", "embed", "merge"))
    one, two = stored("opposites"), stored("past-tense")
    requests = {
        "inspect": InspectRequest(adapter=one),
        "embed": EmbedRequest(items=(EmbedItem(key="a", texts=("hot", "cold")),)),
        "base_shapes": BaseShapesRequest(base=BASE),
        "merge": MergeRequest(adapters=(one, two), weights=(0.5, 0.5), method="cat"),
    }
    jobs = {kind: create_job(owner=owner, kind=kind, request=request, subject={}) for kind, request in requests.items()}
    results = {}
    for kind, job in jobs.items():
        results[kind] = finished(job)
        assert results[kind]["status"] == "succeeded", results[kind]["fault"]
    inspected = KINDS["inspect"].result.model_validate(results["inspect"]["result"])
    assert inspected.valid
    assert len(inspected.signature) == 256
    assert results["embed"]["result"]["dim"] == 384
    shapes = results["base_shapes"]["result"]["shapes"]
    assert {module.name for module in inspected.modules} <= set(shapes)
    merged = KINDS["merge"].result.model_validate(results["merge"]["result"])
    assert merged.rank == 16
    assert {file.path for file in merged.files} >= {"adapter_config.json", "adapter_model.safetensors", "recipe.json"}
    assert all(blob_store().size(file.sha256) == file.size for file in merged.files)
    assert results["merge"]["log"][0]["message"] == "Opened demo/opposites."


def large_adapter(folder: Path, seed: int) -> AdapterFiles:
    """Random factors of 60 modules of 512 × 512, rank 64."""
    generator = torch.Generator().manual_seed(seed)
    factors = {
        f"model.layers.{layer}.self_attn.q_proj": Factors(
            A=torch.randn(64, 512, generator=generator), B=torch.randn(512, 64, generator=generator)
        )
        for layer in range(60)
    }
    write_adapter(folder, factors, settings={"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"})
    config = blob_store().put_file(folder / "adapter_config.json")
    weights = blob_store().put_file(folder / "adapter_model.safetensors")
    return AdapterFiles(label=folder.name, config=config.sha256, weights=weights.sha256)


@pytest.mark.usefixtures("no_recorders")
def test_worker_killed_in_mid_merge(fleet: Fleet, owner: User, tmp_path: Path) -> None:
    """kill -9 while modules are being merged: after a restart the job finishes, once, on the next attempt."""
    adapters = tuple(large_adapter(tmp_path / f"adapter-{seed}", seed) for seed in range(4))
    # Long enough to be met in the middle: some seconds of clustering.
    options = {"start": "random", "restarts": 24}
    request = MergeRequest(adapters=adapters, weights=(1.0, 0.5, 0.5, 0.25), method="lego", rank=32, options=options)
    fleet.marketplace()
    worker = fleet.batch(queues=("merge",))
    job = create_job(owner=owner, kind="merge", request=request, subject={})

    def in_the_middle() -> bool:
        job.refresh_from_db()
        return job.state == Job.State.RUNNING and selectors.live_state(job)["message"].startswith("Merging")

    wait_for(in_the_middle, what="the merge is under way")
    worker.kill()
    fleet.batch(queues=("merge",))

    def over() -> bool:
        job.refresh_from_db()
        return job.has_ended

    wait_for(over)
    first, second = (blob_store().get_document(result_name(str(job.pk), attempt)) for attempt in (1, 2))
    assert first is None
    assert json.loads(second or "{}")["status"] == "succeeded"
    assert job.attempt == 2


def finished(job: Job) -> dict[str, Any]:
    wait_for(lambda: blob_store().get_document(result_name(str(job.pk), 1)), what=job.kind)
    return json.loads(blob_store().get_document(result_name(str(job.pk), 1)))


def events_of(request: str, seconds: float = PATIENCE) -> list[GenerateEvent]:
    """All events of a generation, up to the last."""
    events: list[GenerateEvent] = []
    until = time.monotonic() + seconds
    while not events or events[-1].kind not in ("done", "error"):
        assert time.monotonic() < until, events
        entries = redis_client().xrange(keys.generation(request))
        events = [GenerateEvent.model_validate_json(fields["event"]) for _, fields in entries]
        time.sleep(0.02)
    return events


def send(request: GenerateRequest) -> None:
    app.send_task(
        "inference_worker.generate",
        kwargs={"request": request.model_dump(mode="json")},
        queue=queue_for(request.base.name),
    )


def test_live_worker(fleet: Fleet, settings, transactional_db: None) -> None:
    """A query's vector, a generation through an adapter, a cancelled one, a missing adapter, a late query."""
    assert embed_query("nobody is there") is None
    assert queue_for(BASE.name) == "generate"
    fleet.live(DEFAULT_BASE="wordsmith-v1", ENGINE_DEVICE="cpu")
    wait_for(live_workers, what="the live worker shows itself")
    (status,) = live_workers()
    assert [base.name for base in status.bases] == ["wordsmith-v1"]
    assert queue_for(BASE.name) == queue_for(BASE.source) == status.queue != "generate"

    vector = embed_query("adapters that turn words around", timeout=60)
    assert vector is not None
    assert len(vector) == 384
    assert sum(number * number for number in vector) == pytest.approx(1.0, abs=1e-4)
    assert embed_query("a second query", timeout=10) is not None

    deadline = time.time() + PATIENCE
    opposites = WeightedAdapter(adapter=stored("opposites"))
    wanted = GenerateRequest(
        request=uuid.uuid4().hex, base=BASE, adapters=(opposites,), prompt="hot cold", deadline=deadline
    )
    send(wanted)
    events = events_of(wanted.request)
    assert events[0].kind == "started"
    assert events[-1].kind == "done", events
    assert events[-1].completion_tokens > 0
    assert redis_client().ttl(keys.generation(wanted.request)) > 0

    long = wanted.model_copy(
        update={"request": uuid.uuid4().hex, "sampling": Sampling(max_tokens=400, temperature=3.0, seed=1)}
    )
    redis_client().set(keys.generation_cancel(long.request), "1", ex=60)
    send(long)
    assert embed_query("queries pass by generations", timeout=30) is not None
    assert not redis_client().exists(keys.generation(long.request)), "withdrawn before it began"

    missing = WeightedAdapter(adapter=AdapterFiles(label="demo/none", config="0" * 64, weights="0" * 64))
    broken = wanted.model_copy(update={"request": uuid.uuid4().hex, "adapters": (missing,)})
    send(broken)
    assert events_of(broken.request)[-1].error_code == "blob_missing"
