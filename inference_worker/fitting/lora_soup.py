"""``lora_soup``: one weight per adapter and layer, learnt by gradient (Prabhakar et al., LoRA Soups, arXiv 2410.13025).

Only the weights are trained, a few dozen numbers; base and adapters stay as they are. The paper trains on a small share
of the skills' own data, as is done here with the adapters' examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import torch
from transformers import PreTrainedModel

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

    The state with the least loss on the held-out examples is the result, the start included: learning longer than
    helps harms nothing. ``progress`` may raise to stop. Deterministic for a seed on one machine.
    """
    fit, held = split(owners, held_out, seed)
    checked = answers.rows(held or fit)
    device = answers.ids.device
    first = torch.tensor(list(start), dtype=torch.float32, device=device).repeat(len(mixed.groups), 1)
    weights = first.clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([weights], lr=rate, weight_decay=0.0)
    best, best_loss, course = first, _loss(model, mixed, checked, first), []
    held_start, every = best_loss, max(1, steps // 20)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (steps - step) / steps
        mixed.set(weights)
        chosen = Random(f"soup:{seed}:{step}").sample(fit, min(batch, len(fit)))
        loss = answers.rows(sorted(chosen)).loss(model)
        optimizer.zero_grad(set_to_none=True)
        (weights.grad,) = torch.autograd.grad(loss, [weights])
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            now = _loss(model, mixed, checked, weights.detach())
            if now < best_loss:
                best, best_loss = weights.detach().clone(), now
            course.append(round(best_loss, 6))
            progress((step + 1) / steps, f"loss {now:.4f} on held-out examples after {step + 1} steps")
    table = [tuple(round(float(value), 6) for value in row) for row in best]
    learnt = answers.rows(fit)
    end = torch.tensor(table, device=device)
    return Fitted(
        weights=dict(zip(mixed.groups, table, strict=True)),
        fit_start=_loss(model, mixed, learnt, first),
        fit_end=_loss(model, mixed, learnt, end),
        held_start=held_start,
        held_end=_loss(model, mixed, checked, end),
        course=tuple(course),
        rounds=steps,
    )


@torch.no_grad()
def _loss(model: PreTrainedModel, mixed: WeightedSum, rows: Answers, weights: torch.Tensor) -> float:
    mixed.set(weights)
    return float(rows.loss(model))
