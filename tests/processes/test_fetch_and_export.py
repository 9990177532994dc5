"""Imports and exports in real workers: a transfer that outlives its worker, and an export of the shipped base."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import gguf
import pytest

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.export import ExportRequest
from inference_worker.contracts.fetch import FetchRequest, HubSource
from inference_worker.contracts.jobs import result_name
from marketplace.accounts.models import User
from marketplace.core.store import blob_store
from marketplace.jobs import recorders, selectors
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job
from tests.inference_worker.fetching.loopback import Handler, Loopback, serving
from tests.processes.fleet import ROOT, Fleet, wait_for

pytestmark = pytest.mark.processes

SHIPPED = ROOT / "inference_worker" / "testbed" / "shipped"
WEIGHTS = bytes(range(256)) * 4000
CDN = "/cdn/ada/lora/adapter_model.safetensors"


@pytest.fixture(autouse=True)
def _no_recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of results is the recorders' own test."""
    monkeypatch.setattr(recorders, "_on_success", {})
    monkeypatch.setattr(recorders, "_checks", {})


@pytest.fixture
def hub() -> Iterator[Loopback]:
    with serving() as server:
        server.repositories["ada/lora"] = {"adapter_config.json": b"{}", "adapter_model.safetensors": WEIGHTS}
        yield server


def start(owner: User, hub: Loopback) -> Job:
    source = HubSource(endpoint=hub.url, repository="ada/lora")
    request = FetchRequest(source=source, max_bytes=10**8)
    return create_job(owner=owner, kind="fetch", request=request, subject={})


def finished(job: Job, attempt: int = 1) -> dict[str, object]:
    name = result_name(str(job.pk), attempt)
    wait_for(lambda: blob_store().get_document(name) is not None, what=f"{job.kind} done")
    found: dict[str, object] = json.loads(blob_store().get_document(name) or b"{}")
    return found


def test_a_transfer_outlives_its_worker(fleet: Fleet, owner: User, hub: Loopback) -> None:
    """kill -9 in the middle of the weights: the next attempt asks for the rest alone."""
    fleet.environment["IMPORT_ALLOWED_HOSTS"] = hub.allowed
    fleet.marketplace()
    worker = fleet.batch(queues=("fetch",))
    go_on = threading.Event()

    def stall(handler: Handler) -> None:
        """Half of the weights, then silence until the worker is gone; whoever asks again is served."""
        del hub.special[CDN]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(WEIGHTS)))
        handler.end_headers()
        handler.wfile.write(WEIGHTS[: len(WEIGHTS) // 2])
        handler.wfile.flush()
        go_on.wait(60)
        handler.close_connection = True

    hub.special[CDN] = stall
    job = start(owner, hub)

    def in_the_middle() -> bool:
        job.refresh_from_db()
        kept = list(blob_store().scratch.glob(f"fetch-{job.pk}/*.part"))
        return any(path.stat().st_size == len(WEIGHTS) // 2 for path in kept)

    try:
        wait_for(in_the_middle, what="half of the weights are here")
        worker.kill()
        fleet.batch(queues=("fetch",))
        outcome = finished(job, attempt=2)
    finally:
        go_on.set()
    assert outcome["status"] == "succeeded", outcome["fault"]
    result = outcome["result"]
    assert isinstance(result, dict)
    assert result["resumed"] == 1
    sizes = {file["path"]: file["size"] for file in result["files"]}
    assert sizes == {"adapter_config.json": 2, "adapter_model.safetensors": len(WEIGHTS)}
    assert [headers.get("range") for headers in hub.asked(CDN)] == [None, f"bytes={len(WEIGHTS) // 2}-"]
    assert not (blob_store().scratch / f"fetch-{job.pk}").exists()


def test_a_private_address_is_refused_by_the_worker(fleet: Fleet, owner: User, hub: Loopback) -> None:
    fleet.marketplace()
    fleet.batch(queues=("fetch",))
    outcome = finished(start(owner, hub))
    fault = outcome["fault"]
    assert isinstance(fault, dict)
    assert fault["code"] == "address_refused"
    assert "private network" in fault["message"]
    assert hub.requests == []


def test_exports_of_the_shipped_base(fleet: Fleet, owner: User) -> None:
    fleet.batch(queues=("merge",))
    folder = SHIPPED / "adapters" / "opposites"
    adapter = AdapterFiles(
        label="demo/opposites",
        config=blob_store().put_file(folder / "adapter_config.json").sha256,
        weights=blob_store().put_file(folder / "adapter_model.safetensors").sha256,
    )
    base = BaseFiles(name="wordsmith-v1", source=str(SHIPPED / "base"))
    jobs = {
        name: create_job(
            owner=owner,
            kind="export",
            request=ExportRequest(format=name, adapter=adapter, base=base, max_bytes=limit),  # type: ignore[arg-type]
            subject={},
        )
        for name, limit in (("merged", 10**9), ("gguf", 10**9))
    }
    small = ExportRequest(format="merged", adapter=adapter, base=base, max_bytes=1000)
    refused = create_job(owner=owner, kind="export", request=small, subject={})
    results = {name: finished(job) for name, job in jobs.items()}
    for name, outcome in results.items():
        assert outcome["status"] == "succeeded", (name, outcome["fault"])
    merged = {file["path"]: file for file in results["merged"]["result"]["files"]}  # type: ignore[index]
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "export.json"} <= set(merged)
    assert blob_store().size(merged["model.safetensors"]["sha256"]) == merged["model.safetensors"]["size"]
    (file,) = results["gguf"]["result"]["files"]  # type: ignore[index]
    assert file["path"] == "opposites-lora-float32.gguf"
    assert gguf.GGUFReader(blob_store().path(file["sha256"])).fields["general.type"].contents() == "adapter"
    fault = finished(refused)["fault"]
    assert isinstance(fault, dict)
    assert fault["code"] == "export_too_large"
    assert selectors.full_state(refused)["kind"] == "export"
