"""Choosing the next token of every row, each by its own parameters.

Order as in transformers: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al. 2020).
Each sampled row draws from a generator of its own, so that a seed gives the same text whoever shares the batch.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence as SequenceOf

import torch
from torch import Tensor

from inference_worker.contracts.generate import Sampling


class RowSampler:
    """A row's parameters, its generator and the tokens its repetition penalty counts."""

    def __init__(self, sampling: Sampling, prompt: SequenceOf[int]) -> None:
        self.sampling = sampling
        self.generator: torch.Generator | None = None
        if sampling.temperature > 0.0:
            seed = sampling.seed if sampling.seed is not None else secrets.randbits(63)
            self.generator = torch.Generator().manual_seed(seed % (1 << 63))
        self.seen: set[int] = set(prompt) if sampling.repetition_penalty != 1.0 else set()

    def draw(self) -> float:
        """A uniform number in [0, 1)."""
        assert self.generator is not None
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def observe(self, token: int) -> None:
        """Count a chosen token for the repetition penalty."""
        if self.sampling.repetition_penalty != 1.0:
            self.seen.add(token)


def choose_tokens(logits: Tensor, samplers: SequenceOf[RowSampler]) -> list[int]:
    """The next token of each row. ``logits``: (rows, vocabulary), finite."""
    scores = logits.float()
    if any(sampler.seen for sampler in samplers):
        scores = scores.clone()  # Penalties are written in place; the logits stay the caller's.
    for row, sampler in enumerate(samplers):
        if sampler.seen:
            scores[row] = penalise(scores[row], sampler.seen, sampler.sampling.repetition_penalty)
    tokens = scores.argmax(dim=-1)
    sampled = [row for row, sampler in enumerate(samplers) if sampler.generator is not None]
    if sampled:
        chosen = [samplers[row] for row in sampled]
        drawn = draw_tokens(scores[sampled], [sampler.sampling for sampler in chosen], [s.draw() for s in chosen])
        tokens[sampled] = drawn
    picked: list[int] = tokens.tolist()
    for sampler, token in zip(samplers, picked, strict=True):
        sampler.observe(token)
    return picked


def average_logprobs(logits: Tensor, shares: SequenceOf[float]) -> Tensor:
    """Weighted mean of log-probabilities over an ensemble's members, normalised again.

    ``logits``: (members, …, vocabulary); ``shares`` sum to 1. The result (…, vocabulary) holds log-probabilities: those
    of the product of the members' distributions, each to the power of its share (Hinton 2002, product of experts).
    """
    weights = torch.tensor(shares, device=logits.device).view(-1, *[1] * (logits.dim() - 1))
    return (weights * logits.float().log_softmax(dim=-1)).sum(dim=0).log_softmax(dim=-1)


def penalise(scores: Tensor, seen: set[int], penalty: float) -> Tensor:
    """``scores`` (vocabulary,) with seen tokens divided (positive) or multiplied (negative) by ``penalty``."""
    places = torch.tensor(sorted(seen), device=scores.device)
    held = scores[places]
    return scores.index_copy(0, places, torch.where(held > 0, held / penalty, held * penalty))


def draw_tokens(scores: Tensor, parameters: SequenceOf[Sampling], uniforms: SequenceOf[float]) -> Tensor:
    """Inverse-CDF draws (rows,) from the filtered distributions of ``scores`` (rows, vocabulary)."""
    device = scores.device
    temperature = torch.tensor([max(p.temperature, 1e-5) for p in parameters], device=device)
    scores = scores / temperature[:, None]
    if any(p.top_k > 0 or p.top_p < 1.0 for p in parameters):
        ordered, order = scores.sort(dim=-1, descending=True)
        # Back in the vocabulary's order: a draw must not depend on whether another row of the batch is filtered.
        scores = torch.empty_like(scores).scatter_(-1, order, _filter_sorted(ordered, parameters))
    cumulative = scores.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    targets = torch.tensor(uniforms, device=device, dtype=torch.float64)[:, None] * cumulative[:, -1:]
    # The first place whose cumulative probability exceeds the target, so a token of probability 0 is never drawn.
    return torch.searchsorted(cumulative, targets, right=True).clamp_(max=scores.shape[-1] - 1)[:, 0]


def _filter_sorted(scores: Tensor, parameters: SequenceOf[Sampling]) -> Tensor:
    """Set what top-k and top-p exclude to −∞; ``scores`` (rows, vocabulary) in descending order."""
    device, vocabulary = scores.device, scores.shape[-1]
    ranks = torch.arange(vocabulary, device=device)
    top_k = torch.tensor([p.top_k or vocabulary for p in parameters], device=device)
    scores = scores.masked_fill(ranks >= top_k[:, None], -torch.inf)
    top_p = torch.tensor([p.top_p for p in parameters], device=device)
    probabilities = scores.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # Mass of the better tokens; the best is always kept.
    excluded = (before >= top_p[:, None]) & (top_p[:, None] < 1.0) & (ranks > 0)
    return scores.masked_fill(excluded, -torch.inf)
