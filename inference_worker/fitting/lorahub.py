"""``lorahub``: one weight per adapter, found without gradients (Huang et al., LoraHub, arXiv 2307.13269).

The paper searches with nevergrad; CMA-ES (pycma) is the strategy that nevergrad itself takes for so few dimensions.
The paper adds up factors; here the updates themselves are added up, so the weights mean what they say.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from inference_worker.fitting.answer_loss import AnswerLoss
from inference_worker.fitting.examples import Answers, split
from inference_worker.fitting.result import Fitted
from inference_worker.fitting.weighted_sum import WeightedSum

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It says at import that it cannot plot.
    import cma


def search_weights(
    model: PreTrainedModel,
    mixed: WeightedSum,
    answers: Answers,
    owners: Sequence[int],
    *,
    start: Sequence[float],
    evaluations: int = 120,
    bound: float = 1.5,
    shrinkage: float = 0.05,
    held_out: float = 0.25,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
) -> Fitted:
    """Weights in [−bound, bound] that lower the loss plus ``shrinkage`` times the mean |weight| (the paper's 0.05).

    At most ``evaluations`` passes over the fitted examples. ``progress`` may raise to stop. What was given is kept if
    nothing better is found. Deterministic for a seed on one machine.
    """
    fit, held = split(owners, held_out, seed)
    learnt = AnswerLoss(model, answers.rows(fit))
    kept = AnswerLoss(model, answers.rows(held)) if held else None

    def loss(weights: np.ndarray, of: AnswerLoss) -> float:
        mixed.set(torch.tensor(weights, dtype=torch.float32, device=answers.ids.device))
        return of.value()

    def price(weights: np.ndarray) -> float:
        return loss(weights, learnt) + shrinkage * float(np.abs(weights).mean())

    given = np.clip(np.asarray(start, dtype=np.float64), -bound, bound)
    course = _search(price, given, bound, evaluations, seed, progress)
    found = tuple(round(float(weight), 6) for weight in course.best)
    end = np.asarray(found)
    return Fitted(
        weights=dict.fromkeys(mixed.groups, found),
        fit_start=loss(given, learnt),
        fit_end=loss(end, learnt),
        held_start=loss(given, kept) if kept else None,
        held_end=loss(end, kept) if kept else None,
        course=course.values,
        rounds=course.tries,
    )


class _Course(NamedTuple):
    """The best point of a search, the best value after every round, and how many points were tried."""

    best: np.ndarray
    values: tuple[float, ...]
    tries: int


def _search(
    price: Callable[[np.ndarray], float],
    given: np.ndarray,
    bound: float,
    evaluations: int,
    seed: int,
    progress: Callable[[float, str], None],
) -> _Course:
    """CMA-ES from ``given``, which stays the best point if none is better."""
    size = len(given)
    # The strategy wants two dimensions at least; a second one without effect serves a single adapter.
    first = given if size > 1 else np.append(given, 0.0)
    options = {"bounds": [-bound, bound], "maxfevals": evaluations, "seed": seed % (1 << 31) + 1, "verbose": -9}
    strategy = cma.CMAEvolutionStrategy(first, 0.3, options)
    best, value, values = given, price(given), []
    while not strategy.stop():
        points = [np.asarray(point) for point in strategy.ask()]
        prices = [price(point[:size]) for point in points]
        strategy.tell(points, prices)
        if min(prices) < value:
            value = min(prices)
            best = points[int(np.argmin(prices))][:size]
        values.append(round(value, 6))
        tries = int(strategy.countevals)
        progress(min(1.0, tries / evaluations), f"loss {value:.4f} after {tries} tries")
    return _Course(best, tuple(values), int(strategy.countevals))
