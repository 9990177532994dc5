"""Bases and adapters as rows with real shapes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_worker.contracts.bases import BaseShapesResult
from inference_worker.contracts.jobs import JobOutcome
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.models import Base
from marketplace.bases.shapes import summarise
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome

#: What the modules of one layer are called.
PARTS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")

MakeBase = Callable[..., Base]


def shapes(width: int, layers: int) -> dict[str, list[int]]:
    """Of a small Llama: square attention, an inner width four times the outer one."""
    return {
        f"model.layers.{layer}.{part}": [4 * width if part.startswith("mlp") else width, width]
        for layer in range(layers)
        for part in PARTS
    } | {"model.embed_tokens": [width, 99], "lm_head": [99, width]}


def modules(width: int, layers: int, *, prefix: str = "model.", parts: tuple[str, ...] = PARTS) -> list[dict[str, Any]]:
    """What a check finds in an adapter of all layers, as dumped ``ModuleStats``."""
    known = shapes(width, layers)
    return [
        {
            "name": f"{prefix}layers.{layer}.{part}", "kind": "linear", "rank": 4, "norm": 1.0, "effective_rank": 2.0,
            "d_out": known[f"model.layers.{layer}.{part}"][0], "d_in": width,
        }
        for layer in range(layers)
        for part in parts
    ]  # fmt: skip


@pytest.fixture
def make_base(db: None) -> MakeBase:
    """``make_base(name, width, layers, **fields)``: a base that was read."""

    def make(name: str, width: int = 16, layers: int = 2, **fields: Any) -> Base:
        base = Base(name=name, source=fields.pop("source", name), state=Base.State.READY, task="CAUSAL_LM", **fields)
        base.shapes = base.shapes or shapes(width, layers)
        summarise(base)
        base.save()
        return base

    return make


@pytest.fixture
def waiting(make_adapter: Any) -> Callable[..., Adapter]:
    """``waiting(owner, name, says, width, layers)``: an accepted adapter whose config says a base that is unknown."""

    def make(owner: User, name: str, says: str = "", width: int = 16, layers: int = 2, **fields: Any) -> Adapter:
        adapter: Adapter = make_adapter(owner, name, base_name=says, **fields)
        assert adapter.current is not None
        Artifact.objects.filter(pk=adapter.current.artifact_id).update(
            summary={"base_model_name": says, "task_type": "CAUSAL_LM"},
            modules=modules(width, layers),
            problems=[{"code": "base_unknown"}, {"code": "kept"}],
        )
        return Adapter.objects.select_related("current__artifact").get(pk=adapter.pk)

    return make


@pytest.fixture
def staff(make_person: Any) -> User:
    person: User = make_person("staff", is_staff=True)
    return person


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that looks like a base from outside."""
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def report(job: Job, **outcome: Any) -> None:
    now = time.time()
    record_outcome(JobOutcome(job=str(job.pk), attempt=job.attempt, started_at=now, finished_at=now, **outcome))


def finish_reading(job: Job, width: int = 16, layers: int = 2, **fields: Any) -> None:
    """What the worker does with a job ``base_shapes``."""
    read = {name: (shape[0], shape[1]) for name, shape in shapes(width, layers).items()}
    result = BaseShapesResult(
        config={"model_type": "llama", "hidden_size": width},
        shapes=read,
        fingerprint="f" * 64,
        parameters=1234,
        **fields,
    )
    report(job, status="succeeded", result=result.model_dump(mode="json"))
