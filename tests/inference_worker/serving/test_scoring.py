"""Log-probabilities of given texts, against transformers and PEFT, alone and in one batch with generations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_bases import resolve, save_adapter, save_base, tiny_tokenizer
from transformers import AutoModelForCausalLM

from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.serving import engine as engine_module
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

TEXTS = [("the cat sat", " on the mat"), ("a", " dog"), ("the cat", " sat on a very long mat, and then it slept")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterFiles]:
    folder = tmp_path_factory.mktemp("adapter")
    return folder, save_adapter(base, folder, targets=["q_proj", "v_proj", "up_proj"], rank=4, seed=3)


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(EngineSettings(device="cpu", dtype="float32")) as pool:
        yield pool


def score(
    pool: EnginePool, base: BaseFiles, prompt: str, text: str | None, *adapters: AdapterFiles, **more: Any
) -> Any:
    fields = {
        "request": f"score-{time.monotonic_ns()}",
        "base": base,
        "adapters": tuple(WeightedAdapter(adapter=files) for files in adapters),
        "prompt": prompt,
        "continuation": text,
        "deadline": time.time() + 60,
        **more,
    }
    return pool.submit(GenerateRequest(**fields), resolve)


def last(handle: Any) -> GenerateEvent:
    return list(handle)[-1]


def reference(model: Any, prompt: str, text: str) -> tuple[list[float], bool]:
    """One forward pass over prompt and text by transformers alone."""
    tokenizer = tiny_tokenizer()
    before, whole = tokenizer(prompt)["input_ids"], tokenizer(prompt + text)["input_ids"]
    assert whole[: len(before)] == before
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
    rows = logits[len(before) - 1 : -1]
    wanted = torch.tensor(whole[len(before) :])
    return rows.gather(-1, wanted[:, None])[:, 0].tolist(), bool((rows.argmax(-1) == wanted).all())


def test_scores_are_transformers_own(pool: EnginePool, base: BaseFiles) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.source).eval()
    handles = [score(pool, base, prompt, text) for prompt, text in TEXTS]
    for (prompt, text), handle in zip(TEXTS, handles, strict=True):
        expected, greedy = reference(model, prompt, text)
        event = last(handle)
        assert event.finish_reason == "scored"
        assert event.logprobs == pytest.approx(expected, abs=1e-4)
        assert (event.greedy, event.completion_tokens) == (greedy, len(expected))


def test_adapters_count_and_share_the_batch_with_generations(
    pool: EnginePool, base: BaseFiles, adapter: tuple[Path, AdapterFiles]
) -> None:
    folder, files = adapter
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.source), folder).eval()
    alone = "".join(e.text for e in score(pool, base, "the cat", None, sampling=Sampling(max_tokens=20)))
    writing = score(pool, base, "the cat", None, sampling=Sampling(max_tokens=20))
    scored = [score(pool, base, prompt, text, files) for prompt, text in TEXTS]
    for (prompt, text), handle in zip(TEXTS, scored, strict=True):
        assert last(handle).logprobs == pytest.approx(reference(model, prompt, text)[0], abs=1e-4)
    assert "".join(event.text for event in writing) == alone


def test_what_greedy_decoding_writes_is_greedy(pool: EnginePool, base: BaseFiles) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base.source).eval(), tiny_tokenizer()
    found = 0
    for prompt in ("the cat", "a dog sat", "the mat", "on the", "cat", "sat on a mat", "the dog", "a cat"):
        before = tokenizer(prompt)["input_ids"]
        with torch.inference_mode():
            token = int(model(input_ids=torch.tensor([before])).logits[0, -1].argmax())
        text = tokenizer.decode([token])
        if tokenizer(prompt + text)["input_ids"] == [*before, token]:
            assert last(score(pool, base, prompt, text)).greedy
            found += 1
    assert found


def test_few_logits_at_a_time_give_the_same(pool: EnginePool, base: BaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    together = [last(score(pool, base, prompt, text)).logprobs for prompt, text in TEXTS]
    monkeypatch.setattr(engine_module, "MAX_LOGITS", 1)
    handles = [score(pool, base, prompt, text) for prompt, text in TEXTS]
    for handle, expected in zip(handles, together, strict=True):
        assert last(handle).logprobs == pytest.approx(expected, abs=1e-5)


def test_a_base_without_chat_template_says_so(pool: EnginePool, base: BaseFiles) -> None:
    event = last(score(pool, base, "the cat", "sat", prompt_format=PromptFormat(kind="chat")))
    assert event.error_code == "no_chat_template"


def test_too_long_texts_are_refused_by_name(pool: EnginePool, base: BaseFiles) -> None:
    event = last(score(pool, base, "the cat", " sat" * 400))
    assert event.error_code == "prompt_too_long"
