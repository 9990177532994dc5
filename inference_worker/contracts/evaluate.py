"""Evaluate: a composition of a base and weighted adapters on a suite of examples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inference_worker.contracts.common import Contract

Metric = Literal["exact_match", "token_f1", "perplexity"]
METRICS: tuple[Metric, ...] = ("exact_match", "token_f1", "perplexity")


class EvaluationSettings(Contract):
    """How a suite is run. Decoding is greedy, so a result is one number and not a draw."""

    metrics: tuple[Metric, ...] = Field(default=("exact_match", "token_f1"), min_length=1)
    #: At most so many examples, the same ones for every composition; None for all.
    limit: int | None = Field(default=None, ge=1)
    #: Chooses the examples under ``limit`` and the resamples of the bootstrap.
    seed: int = 0
    max_tokens: int = Field(default=64, ge=1, le=4096)
    resamples: int = Field(default=2000, ge=100, le=100_000)


class Estimate(Contract):
    """A mean over ``n`` examples with the bootstrap's 95 % interval; for perplexity, of the whole."""

    value: float
    low: float
    high: float
    n: int


class Outcome(Contract):
    """One example: what was written, and how it scored. ``logprob`` is the expected answer's, over ``tokens`` of it."""

    index: int
    task: str
    prompt: str
    expected: tuple[str, ...]
    answer: str
    exact_match: float | None = None
    token_f1: float | None = None
    logprob: float | None = None
    answer_tokens: int = 0


class Evaluation(Contract):
    """``overall``, ``tasks`` and ``clusters`` map metrics to estimates; ``cached`` outcomes were not computed again."""

    suite: str
    suite_digest: str
    base: str
    composition: tuple[tuple[str, float], ...]
    settings: EvaluationSettings
    overall: dict[str, Estimate]
    tasks: dict[str, dict[str, Estimate]]
    clusters: dict[str, dict[str, Estimate]]
    outcomes: tuple[Outcome, ...]
    #: Tokens that were read and written for the outcomes that are not cached, and the seconds that it took.
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cached: int
