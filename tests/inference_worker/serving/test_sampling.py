"""Sampling: exact distributions, filters as in transformers, rows independent of each other."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from inference_worker.contracts.generate import Sampling
from inference_worker.serving.sampling import RowSampler, choose_tokens, draw_tokens, penalise

VOCABULARY = 50


def logits(rows: int = 1, seed: int = 0) -> torch.Tensor:
    return 3.0 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def reference(scores: torch.Tensor, sampling: Sampling, prompt: list[int]) -> torch.Tensor:
    """The probabilities (vocabulary,) that transformers samples from."""
    processors = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return processors(torch.tensor([prompt]), scores)[0].softmax(-1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 1.0},
        {"temperature": 0.5},
        {"temperature": 1.3, "top_k": 4},
        {"temperature": 1.0, "top_p": 0.7},
        {"temperature": 0.8, "top_k": 10, "top_p": 0.9},
        {"temperature": 1.0, "top_p": 0.01},
        {"temperature": 1.0, "repetition_penalty": 1.8},
        {"temperature": 0.9, "top_k": 6, "top_p": 0.8, "repetition_penalty": 0.7},
    ],
    ids=str,
)
def test_the_distribution_is_transformers_own(parameters: dict[str, float]) -> None:
    """Equally spaced uniforms turn the inverse CDF into a histogram of the exact probabilities."""
    sampling, prompt = Sampling(**parameters), [3, 7, 7, 20]
    scores = logits(seed=len(parameters))
    expected = reference(scores, sampling, prompt)
    given = scores[0]
    if sampling.repetition_penalty != 1.0:
        given = penalise(given, set(prompt), sampling.repetition_penalty)
    draws = 4000
    uniforms = [(index + 0.5) / draws for index in range(draws)]
    tokens = draw_tokens(given.expand(draws, -1), [sampling] * draws, uniforms)
    frequencies = torch.bincount(tokens, minlength=VOCABULARY) / draws
    torch.testing.assert_close(frequencies, expected, atol=2.0 / draws, rtol=0)
    assert not frequencies[expected == 0].any(), "a filtered token has been drawn"


def test_seeded_draws_follow_the_distribution() -> None:
    """A chi-squared test over 5,000 draws of one generator."""
    scores = logits(seed=9)[:, :10]
    sampler = RowSampler(Sampling(temperature=1.0, seed=5), [])
    counts = torch.zeros(10)
    for _ in range(5000):
        counts[choose_tokens(scores, [sampler])[0]] += 1
    expected = scores[0].softmax(-1) * 5000
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < 27.9, "9 degrees of freedom, p = 0.001"


def test_temperature_zero_is_greedy_and_needs_no_generator() -> None:
    scores = logits(4)
    samplers = [RowSampler(Sampling(top_k=3, top_p=0.2), []) for _ in range(4)]
    assert all(sampler.generator is None for sampler in samplers)
    assert choose_tokens(scores, samplers) == scores.argmax(-1).tolist()


def test_rows_do_not_see_each_other() -> None:
    """Greedy, penalised and sampled rows in one step, in any company."""
    kinds = [
        Sampling(),
        Sampling(temperature=1.0, seed=1),
        Sampling(temperature=0.7, top_k=5, seed=2),
        Sampling(repetition_penalty=2.0),
        Sampling(temperature=1.5, top_p=0.6, repetition_penalty=1.3, seed=3),
    ]
    scores = logits(len(kinds), seed=4)

    def choose(rows: list[int]) -> list[int]:
        return choose_tokens(scores[rows], [RowSampler(kinds[row], [1, 2, 3]) for row in rows])

    alone = [choose([row])[0] for row in range(len(kinds))]
    assert choose([0, 1, 2, 3, 4]) == alone
    assert choose([4, 2, 0, 3, 1]) == [alone[row] for row in (4, 2, 0, 3, 1)]


def test_the_penalty_counts_what_was_chosen() -> None:
    scores = torch.tensor([[5.0, 4.9, -1.0]])
    sampler = RowSampler(Sampling(repetition_penalty=1.5), [])
    assert [choose_tokens(scores, [sampler])[0] for _ in range(2)] == [0, 1]


def test_the_caller_keeps_its_logits() -> None:
    scores = logits(2)
    before = scores.clone()
    choose_tokens(scores, [RowSampler(Sampling(repetition_penalty=2.0), [1]) for _ in range(2)])
    assert torch.equal(scores, before)
