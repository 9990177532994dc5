"""``lorahub``: one weight per adapter, found without gradients (Huang et al., LoraHub, arXiv 2307.13269).

The paper searches with nevergrad; CMA-ES (pycma) is the strategy that nevergrad itself takes for so few dimensions.
The paper adds up factors; here the updates themselves are added up, so the weights mean what they say.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

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
    learnt, kept = answers.rows(fit), answers.rows(held)

    @torch.no_grad()
    def loss(weights: np.ndarray, rows: Answers) -> float:
        mixed.set(torch.tensor(weights[: len(start)], dtype=torch.float32, device=answers.ids.device))
        return float(rows.loss(model))

    def penalised(weights: np.ndarray) -> float:
        return loss(weights, learnt) + shrinkage * float(np.abs(weights[: len(start)]).mean())

    given = np.clip(np.asarray(start, dtype=np.float64), -bound, bound)
    # The strategy wants two dimensions at least; a second one without effect serves a single adapter.
    first = given if len(given) > 1 else np.append(given, 0.0)
    options = {"bounds": [-bound, bound], "maxfevals": evaluations, "seed": seed % (1 << 31) + 1, "verbose": -9}
    strategy = cma.CMAEvolutionStrategy(first, 0.3, options)
    best, best_value, course = given, penalised(given), []
    while not strategy.stop():
        points = strategy.ask()
        values = [penalised(point) for point in points]
        strategy.tell(points, values)
        if min(values) < best_value:
            best_value = min(values)
            best = np.asarray(points[int(np.argmin(values))])[: len(start)]
        course.append(round(best_value, 6))
        progress(
            min(1.0, strategy.countevals / evaluations), f"loss {best_value:.4f} after {strategy.countevals} tries"
        )
    found = tuple(round(float(weight), 6) for weight in best)
    return Fitted(
        weights=dict.fromkeys(mixed.groups, found),
        fit_start=loss(given, learnt),
        fit_end=loss(np.asarray(found), learnt),
        held_start=loss(given, kept) if held else float("nan"),
        held_end=loss(np.asarray(found), kept) if held else float("nan"),
        course=tuple(course),
        rounds=int(strategy.countevals),
    )
