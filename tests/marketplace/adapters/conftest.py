"""Small real adapters, and the check of the engine run in place of a worker."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from inference_worker.adapter_format import inspect_adapter
from inference_worker.contracts.inspect import InspectRequest
from inference_worker.contracts.jobs import JobFault, JobOutcome
from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Upload
from marketplace.adapters.uploads.incoming import IncomingFile
from marketplace.bases.models import Base
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome
from tests.marketplace.adapters.tus_client import Tus

BASE_NAME = "brickyard/wordsmith-v1"
WIDTH = 16
MODULES = [f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(2) for part in "qv"]


def adapter_files(*, seed: int = 0, rank: int = 4, width: int = WIDTH, **config: Any) -> dict[str, bytes]:
    """A LoRA adapter as PEFT writes it, random, for a Llama of two layers."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in MODULES:
        tensors[f"base_model.model.{name}.lora_A.weight"] = rng.normal(size=(rank, width)).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = rng.normal(size=(width, rank)).astype(np.float32)
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE_NAME,
        "r": rank,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        **config,
    }
    return {"adapter_config.json": json.dumps(fields).encode(), "adapter_model.safetensors": save(tensors)}


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return target.getvalue()


def incoming(files: Mapping[str, bytes]) -> list[IncomingFile]:
    return [IncomingFile.receive(path, [data], len(data)) for path, data in files.items()]


def left_behind() -> list[Path]:
    """Files that an upload forgot in the scratch folder."""
    return [path for path in blob_store().scratch.glob("*") if path.is_file()]


def run_inspection(job: Job) -> None:
    """What the inspect worker does with the job, in this process."""
    request = InspectRequest.model_validate(job.request)
    store = blob_store()
    result = inspect_adapter(
        store.path(request.adapter.config), store.path(request.adapter.weights), request.base_shapes
    )
    _report(job, status="succeeded", result=result.model_dump(mode="json"))


def fail_inspection(job: Job) -> None:
    _report(job, status="failed", fault=JobFault(code="out_of_memory", message="The check ran out of memory."))


def _report(job: Job, **outcome: Any) -> None:
    now = time.time()
    record_outcome(JobOutcome(job=str(job.pk), attempt=job.attempt, started_at=now, finished_at=now, **outcome))


MakeUpload = Callable[..., Upload]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> None:
    """A blob store of the test's own."""
    settings.BLOB_STORE_URL = f"file://{tmp_path / 'blobs'}"


@pytest.fixture
def make_upload(db: None, django_capture_on_commit_callbacks: Any) -> MakeUpload:
    """``make_upload(user, files=None, check=True, **adapter_files_arguments)``."""

    def make(user: User, files: Mapping[str, bytes] | None = None, *, check: bool = True, **arguments: Any) -> Upload:
        upload = services.create_upload(user=user, files=incoming(files or adapter_files(**arguments)))
        if check and upload.artifact_id:
            for job in Job.objects.filter(kind="inspect", subject__artifact=upload.artifact_id, state="queued"):
                run_inspection(job)
            upload.refresh_from_db()
        return upload

    return make


@pytest.fixture
def base(db: None) -> Base:
    """The base of ``adapter_files`` with its shapes read."""
    shapes = {name: [WIDTH, WIDTH] for name in MODULES}
    return Base.objects.create(
        name="wordsmith-v1", source="/models/wordsmith-v1", state=Base.State.READY, shapes=shapes, license="apache-2.0"
    )


@pytest.fixture
def tus(ada: User) -> Tus:
    return Tus(ada)
