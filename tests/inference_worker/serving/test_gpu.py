"""The CUDA path: the same texts and logits as on the CPU, within the arithmetic's tolerance."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from tiny_bases import ARCHITECTURES, make_row, members, peft_logits, resolve, save_adapter, save_base

from inference_worker.contracts.generate import GenerateRequest, Sampling, WeightedAdapter
from inference_worker.serving.base_loader import load_base
from inference_worker.serving.model_runner import ModelRunner
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

PROMPTS = [[5, 9, 11], [40, 41, 42, 43, 44, 45, 46, 47, 48]]
ANSWER = [60, 61, 62]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.3)])
@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_logits_on_the_device(architecture: str, dtype: str, tolerance: float, tmp_path: Path) -> None:
    files = save_base(tmp_path / "base", architecture)
    adapter = save_adapter(files, tmp_path / "one", targets=ARCHITECTURES[architecture][1])
    base = load_base(files, EngineSettings.model_validate({"device": "cuda", "dtype": dtype}))
    runner = ModelRunner(base)
    rows = [make_row(PROMPTS[0], members(base, (adapter, 1.0))), make_row(PROMPTS[1], members(base))]
    steps = [runner.prefill(rows)]
    for token in ANSWER:
        for row in rows:
            row.tokens.append(token)
        steps.append(runner.decode())
    found = torch.stack(steps, dim=1).float().cpu()
    for row, prompt, weighted in zip(found, PROMPTS, ([(adapter, 1.0)], []), strict=True):
        expected = peft_logits(files, weighted, [*prompt, *ANSWER])[len(prompt) - 1 :]
        torch.testing.assert_close(row, expected, atol=tolerance, rtol=tolerance)


def test_the_engine_on_the_device(tmp_path: Path) -> None:
    files = save_base(tmp_path / "base")
    adapter = save_adapter(files, tmp_path / "one", targets=["q_proj", "up_proj"])
    texts = []
    for device in ("cpu", "cuda"):
        with EnginePool(EngineSettings.model_validate({"device": device, "dtype": "float32"})) as pool:
            request = GenerateRequest(
                request="r",
                base=files,
                adapters=(WeightedAdapter(adapter=adapter),),
                prompt="the cat",
                sampling=Sampling(max_tokens=8, temperature=0.5, top_p=0.9, seed=1),
                deadline=time.time() + 60,
            )
            texts.append("".join(event.text for event in pool.submit(request, resolve)))
    assert texts[0] == texts[1]
