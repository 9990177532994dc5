"""Check large adapters in a real inspect worker: seconds and peak memory of the job's child process.

    python -m benchmarks.inspection [--only mistral,modules,embeddings,factors] [--repeat 3]

Starts Redis and an inspect worker as the demo starts it, puts plans into a blob store in a temporary folder, sends the
hints, and reads the outcomes that the worker writes: the time from the start to the end of the child under its
guardian, and the most resident memory that the kernel counted for it (wait4), libraries included. Values are random,
as spread as in trained adapters.

Not named inspect.py: Python puts a script's folder first on its path, and the standard library has a module inspect.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from celery import Celery

from benchmarks.merge import SHAPES
from inference_worker.blobs import BlobInfo, BlobStore
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.inspect import InspectRequest
from inference_worker.contracts.jobs import KINDS, JobOutcome, JobPlan, plan_name, result_name
from inference_worker.roles import ROLES
from marketplace.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parent.parent
LAYERS, VOCABULARY, WIDTH = 32, 128_256, 4096

Table = dict[str, tuple[int, ...]]


def linear_modules(rank: int) -> Table:
    """LoRA factors of all seven linear modules of every layer of a Mistral-7B."""
    table: Table = {}
    for layer in range(LAYERS):
        for name, (d_out, d_in) in SHAPES.items():
            stem = f"base_model.model.model.layers.{layer}.{name}"
            table |= {f"{stem}.lora_A.weight": (rank, d_in), f"{stem}.lora_B.weight": (d_out, rank)}
    return table


def saved_embeddings() -> Table:
    """A small adapter that carries whole embeddings, as training with new tokens saves them."""
    whole = {f"base_model.model.{name}.weight": (VOCABULARY, WIDTH) for name in ("model.embed_tokens", "lm_head")}
    return {**linear_modules(8), **whole}


def large_factors() -> Table:
    """One module whose factors alone are two gigabytes: rank 1024 on a head of a million tokens."""
    stem = "base_model.model.lm_head"
    return {f"{stem}.lora_A.weight": (1024, WIDTH), f"{stem}.lora_B.weight": (972_800, 1024)}


#: Name -> (tensors, what differs in the config).
ADAPTERS: dict[str, tuple[Table, dict[str, object]]] = {
    "mistral": (linear_modules(16), {"r": 16}),
    "modules": (linear_modules(384), {"r": 384}),
    "embeddings": (saved_embeddings(), {"r": 8, "modules_to_save": ["embed_tokens", "lm_head"]}),
    "factors": (large_factors(), {"r": 1024, "target_modules": ["lm_head"]}),
}


def config_of(changes: dict[str, object]) -> bytes:
    targets = [name.rpartition(".")[2] for name in SHAPES]
    plain = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "lora_alpha": 16, "target_modules": targets}
    return json.dumps({**plain, **changes}).encode()


def weights_of(table: Table, seed: int = 0) -> Iterator[bytes]:
    """A safetensors file of random bfloat16 numbers, piece by piece."""
    header, position = {}, 0
    for name, shape in table.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(header).encode()
    yield len(raw).to_bytes(8, "little") + raw
    generator = np.random.default_rng(seed)
    for shape in table.values():
        left = int(np.prod(shape))
        while left:
            count = min(left, 1 << 22)
            numbers = generator.standard_normal(count, dtype=np.float32) * np.float32(0.02)
            yield (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
            left -= count


@contextlib.contextmanager
def inspect_worker(environment: dict[str, str], log: Path) -> Iterator[None]:
    """A worker of the queue ``inspect``, ready to work."""
    role = ROLES["inspect"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *role.command(node=f"benchmark-{os.getpid()}@%h")],
            env={**os.environ, **role.environment, **environment},
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 120
        while "ready." not in log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def check(store: BlobStore, app: Celery, files: dict[str, BlobInfo]) -> JobOutcome:
    """One job from its hint to its outcome."""
    adapter = AdapterFiles(label="benchmark", config=files["config"].sha256, weights=files["weights"].sha256)
    request = InspectRequest(adapter=adapter)
    job = str(uuid.uuid4())
    plan = JobPlan(
        job=job, attempt=1, kind="inspect", request=request.model_dump(mode="json"), limits=KINDS["inspect"].limits
    )
    store.put_document(plan_name(job, 1), plan.model_dump_json().encode())
    app.send_task("inference_worker.run_job", args=[job, 1], queue="inspect")
    while (document := store.get_document(result_name(job, 1))) is None:
        time.sleep(0.05)
    return JobOutcome.model_validate_json(document)


def report(name: str, files: dict[str, BlobInfo], outcomes: list[JobOutcome]) -> None:
    for outcome in outcomes:
        if outcome.result is None or not outcome.result["valid"]:
            raise RuntimeError(f"{name}: {outcome.fault or outcome.result}")
    seconds = [outcome.finished_at - outcome.started_at for outcome in outcomes]
    most = max(outcome.peak_memory_mb for outcome in outcomes)
    modules = len((outcomes[0].result or {})["modules"])
    print(
        f"{name:11} {files['weights'].size / 1e6:6.0f} MB {modules:4} modules  median {statistics.median(seconds):6.2f}"
        f" s ({min(seconds):.2f}–{max(seconds):.2f})  peak {most} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ADAPTERS), help="which adapters, with commas between")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brickyard-benchmark-") as folder:
        home = Path(folder)
        redis = EmbeddedRedis(home / "redis")
        try:
            environment = {"REDIS_URL": redis.start(), "BLOB_STORE_URL": f"file://{home / 'blobs'}"}
            environment |= {"CELERY_BROKER_URL": redis.broker_url, "SECRET_KEY": "", "DATABASE_URL": ""}
            app = Celery("benchmark", broker=redis.broker_url, set_as_current=False)
            store = BlobStore(environment["BLOB_STORE_URL"])
            with inspect_worker(environment, home / "worker.log"):
                for name in options.only.split(","):
                    table, changes = ADAPTERS[name]
                    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
                    files = {
                        "config": store.put_bytes(config_of(changes)),
                        "weights": store.put_chunks(weights_of(table, seed)),
                    }
                    report(name, files, [check(store, app, files) for _ in range(options.repeat)])
                    store.delete(files["weights"].sha256)
        finally:
            redis.stop()


if __name__ == "__main__":
    main()
