"""``lora_soup``: one weight per adapter and layer, learnt by gradient (Prabhakar et al., LoRA Soups, arXiv 2410.13025).

Only the weights are trained, a few dozen numbers; base and adapters stay as they are. The paper trains on a small share
of the skills' own data, as is done here with the adapters' examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedModel

from inference_worker.fitting.answer_loss import AnswerLoss
from inference_worker.fitting.examples import Answers, split
from inference_worker.fitting.result import Fitted
from inference_worker.fitting.weighted_sum import WeightedSum


def learn_weights(
    model: PreTrainedModel,
    mixed: WeightedSum,
    answers: Answers,
    owners: Sequence[int],
    *,
    start: Sequence[float],
    steps: int = 60,
    rate: float = 0.03,
    batch: int = 16,
    held_out: float = 0.25,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
) -> Fitted:
    """AdamW on the weights (groups, K), from ``start`` in every layer, the rate falling linearly to zero.

    The state with the least loss on the held-out examples (on the fitted ones where none is held out) is the result,
    the start included: learning longer than helps harms nothing. ``progress`` may raise to stop. Deterministic for a
    seed on one machine.
    """
    fit, held = split(owners, held_out, seed)
    learnt = AnswerLoss(model, answers.rows(fit))
    kept = AnswerLoss(model, answers.rows(held)) if held else None
    device = answers.ids.device
    first = torch.tensor(list(start), dtype=torch.float32, device=device).repeat(len(mixed.groups), 1)

    def step_loss(step: int) -> AnswerLoss:
        chosen = Random(f"soup:{seed}:{step}").sample(fit, min(batch, len(fit)))
        return AnswerLoss(model, answers.rows(sorted(chosen)))

    best, course = _train(mixed, first, step_loss, kept or learnt, steps, rate, progress)
    table = [tuple(round(float(value), 6) for value in row) for row in best]
    end = torch.tensor(table, device=device)
    return Fitted(
        weights=dict(zip(mixed.groups, table, strict=True)),
        fit_start=_loss(mixed, learnt, first),
        fit_end=_loss(mixed, learnt, end),
        held_start=_loss(mixed, kept, first) if kept else None,
        held_end=_loss(mixed, kept, end) if kept else None,
        course=course,
        rounds=steps,
    )


def _train(
    mixed: WeightedSum,
    first: Tensor,
    step_loss: Callable[[int], AnswerLoss],
    judge: AnswerLoss,
    steps: int,
    rate: float,
    progress: Callable[[float, str], None],
) -> tuple[Tensor, tuple[float, ...]]:
    """The best weights by ``judge``, and its best value each time that it was asked (about 20 times)."""
    weights = first.clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([weights], lr=rate, weight_decay=0.0)
    best, least, course = first, _loss(mixed, judge, first), []
    every = max(1, steps // 20)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (steps - step) / steps
        mixed.set(weights)
        weights.grad = torch.zeros_like(weights)
        for part in step_loss(step).parts():
            weights.grad += torch.autograd.grad(part, [weights])[0]
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            now = _loss(mixed, judge, weights.detach())
            if now < least:
                best, least = weights.detach().clone(), now
            course.append(round(least, 6))
            progress((step + 1) / steps, f"loss {now:.4f} after {step + 1} steps")
    return best, tuple(course)


def _loss(mixed: WeightedSum, of: AnswerLoss, weights: Tensor) -> float:
    mixed.set(weights)
    return of.value()
