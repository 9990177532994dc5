"""The engine on trained adapters: the shipped base with the shipped adapters, all in one crowd of requests."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tiny_bases import adapter_files, resolve

import inference_worker.testbed
from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.generate import GenerateRequest, Sampling, WeightedAdapter
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings

EXAMPLES = 3
SHIPPED = Path(inference_worker.testbed.__file__).parent / "shipped"
BASE = BaseFiles(name="shipped", source=str(SHIPPED / "base"))


def request(directory: Path, meta: dict[str, Any], example: dict[str, str], weight: float) -> GenerateRequest:
    return GenerateRequest(
        request=f"{directory.name}-{example['prompt']}-{weight}",
        base=BASE,
        adapters=(WeightedAdapter(adapter=adapter_files(directory), weight=weight),),
        prompt=example["prompt"],
        prompt_format=PromptFormat.model_validate(meta["prompt_format"]),
        sampling=Sampling(max_tokens=24),
        deadline=time.time() + 120,
    )


def test_every_adapter_does_its_task_in_a_mixed_batch() -> None:
    """A few examples of every adapter at once, and the same with the adapter at weight 0."""
    directories = sorted(path for path in (SHIPPED / "adapters").iterdir() if path.is_dir())
    assert len(directories) >= 48
    with EnginePool(EngineSettings(device="cpu")) as pool:
        pending = []
        for directory in directories:
            meta = json.loads((directory / "meta.json").read_text())
            for example in meta["examples"][:EXAMPLES]:
                for weight in (1.0, 0.0):
                    handle = pool.submit(request(directory, meta, example, weight), resolve)
                    pending.append((directory.name, weight, example["expected"], handle))
        right: dict[tuple[str, float], int] = {}
        for name, weight, expected, handle in pending:
            text = "".join(event.text for event in handle)
            right[name, weight] = right.get((name, weight), 0) + (text.strip() == expected)
    with_adapter = {name: count for (name, weight), count in right.items() if weight}
    without = {name: count for (name, weight), count in right.items() if not weight}
    assert sum(with_adapter.values()) >= 0.8 * EXAMPLES * len(directories), with_adapter
    assert sum(without.values()) <= 0.3 * EXAMPLES * len(directories), without
