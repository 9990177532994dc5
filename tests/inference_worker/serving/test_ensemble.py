"""Ensembles: what several members write together, against PEFT's own logits averaged token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_bases import peft_logits, resolve, save_adapter, save_base, tiny_tokenizer

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.generate import GenerateRequest, Sampling, WeightedAdapter
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sampling import average_logprobs
from inference_worker.serving.settings import EngineSettings

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

Adapters = list[AdapterFiles]
Weighted = list[tuple[AdapterFiles, float]]
PROMPT = "the cat sat"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    def make(seed: int) -> AdapterFiles:
        folder: Path = tmp_path_factory.mktemp(f"adapter{seed}")
        return save_adapter(base, folder, targets=["q_proj", "v_proj", "up_proj"], rank=4, seed=seed)

    return [make(seed) for seed in (3, 4, 5)]


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(EngineSettings(device="cpu", dtype="float32", max_rows=8)) as pool:
        yield pool


def ask(
    pool: EnginePool,
    base: BaseFiles,
    weighted: Weighted,
    strategy: str = "ensemble",
    **more: Any,
) -> Any:
    fields = {
        "request": f"ensemble-{time.monotonic_ns()}",
        "base": base,
        "adapters": tuple(WeightedAdapter(adapter=files, weight=weight) for files, weight in weighted),
        "strategy": strategy,
        "prompt": PROMPT,
        "sampling": Sampling(max_tokens=8),
        "deadline": time.time() + 60,
        **more,
    }
    return pool.submit(GenerateRequest(**fields), resolve)


def text_of(handle: Any) -> str:
    events = list(handle)
    assert events[-1].kind == "done", events[-1].error
    return "".join(event.text for event in events)


def error_of(handle: Any) -> str:
    last = list(handle)[-1]
    assert last.kind == "error"
    return str(last.error)


def averaged(base: BaseFiles, weighted: Weighted, tokens: list[int]) -> torch.Tensor:
    """Mean log-probabilities (tokens, vocabulary), each member in a PEFT model of its own."""
    total = sum(weight for _, weight in weighted)
    parts = [weight / total * peft_logits(base, [(files, 1.0)], tokens).log_softmax(-1) for files, weight in weighted]
    return torch.stack(parts).sum(0).log_softmax(-1)


def written_slowly(base: BaseFiles, weighted: Weighted, count: int) -> list[int]:
    tokens = list(tiny_tokenizer()(PROMPT)["input_ids"])
    start = len(tokens)
    for _ in range(count):
        tokens.append(int(averaged(base, weighted, tokens)[-1].argmax()))
    return tokens[start:]


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0), (3.0, 0.5, 1.0)])
def test_an_ensemble_writes_by_the_mean_log_probability(
    pool: EnginePool, base: BaseFiles, adapters: Adapters, shares: tuple[float, ...]
) -> None:
    weighted = list(zip(adapters, shares, strict=True))
    # Beside rows of other kinds, one of them another ensemble.
    others = [ask(pool, base, [(adapters[0], 1.0)], "mix"), ask(pool, base, weighted[:2])]
    wanted = tiny_tokenizer().decode(written_slowly(base, weighted, 8), skip_special_tokens=True)
    found = text_of(ask(pool, base, weighted))
    assert found
    assert wanted.startswith(found.rstrip())
    assert text_of(ask(pool, base, weighted)) == found
    assert all(text_of(other) is not None for other in others)


def test_an_ensemble_scores_by_the_mean_log_probability(pool: EnginePool, base: BaseFiles, adapters: Adapters) -> None:
    weighted = [(adapters[0], 2.0), (adapters[1], 1.0)]
    tokenizer, text = tiny_tokenizer(), " on the mat"
    before, whole = tokenizer(PROMPT)["input_ids"], tokenizer(PROMPT + text)["input_ids"]
    logprobs = averaged(base, weighted, whole)[len(before) - 1 : -1]
    wanted = logprobs.gather(-1, torch.tensor(whole[len(before) :])[:, None])[:, 0]
    last = list(ask(pool, base, weighted, continuation=text))[-1]
    assert torch.allclose(torch.tensor(last.logprobs), wanted, atol=1e-4)


def test_an_ensemble_of_one_is_that_one_and_of_none_the_base(
    pool: EnginePool, base: BaseFiles, adapters: Adapters
) -> None:
    assert text_of(ask(pool, base, [(adapters[0], 0.3)])) == text_of(ask(pool, base, [(adapters[0], 1.0)], "mix"))
    assert text_of(ask(pool, base, [])) == text_of(ask(pool, base, [], "mix"))


def test_what_is_no_vote_is_refused(pool: EnginePool, base: BaseFiles, adapters: Adapters) -> None:
    assert "shares of a vote" in error_of(ask(pool, base, [(adapters[0], 1.0), (adapters[1], -0.5)]))
    with EnginePool(EngineSettings(device="cpu", dtype="float32", max_rows=2)) as narrow:
        assert "runs 2 rows at once" in error_of(ask(narrow, base, [(files, 1.0) for files in adapters]))
        # The engine is unharmed and holds nothing.
        assert text_of(ask(narrow, base, [(adapters[0], 1.0), (adapters[1], 1.0)]))


def test_many_ensembles_at_once_leave_nothing_behind(pool: EnginePool, base: BaseFiles, adapters: Adapters) -> None:
    pairs = [(adapters[i % 3], adapters[(i + 1) % 3]) for i in range(9)]
    alone = [text_of(ask(pool, base, [(a, 1.0), (b, 1.0)])) for a, b in pairs[:3]]
    handles = [ask(pool, base, [(a, 1.0), (b, 1.0)]) for a, b in pairs]
    handles[4].cancel()
    texts = [list(handle) for handle in handles]
    for number, events in enumerate(texts):
        if number != 4:
            assert "".join(event.text for event in events) == alone[number % 3]
    engine = next(iter(pool.residency()["bases"]))
    assert engine["running"] == 0
    assert all(adapter["users"] == 0 for adapter in engine["adapters"])


def test_the_average_is_a_distribution() -> None:
    logits = torch.randn(3, 2, 7)
    found = average_logprobs(logits, (0.2, 0.3, 0.5))
    assert torch.allclose(found.exp().sum(-1), torch.ones(2))
    product = torch.einsum("k,kpv->pv", torch.tensor([0.2, 0.3, 0.5]), logits.log_softmax(-1)).exp()
    assert torch.allclose(found.exp(), product / product.sum(-1, keepdim=True), atol=1e-6)
