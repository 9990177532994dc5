"""Ensembles: one text, written by several compositions that vote on every token."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from inference_worker.contracts.generate import Strategy
from inference_worker.errors import BadInput
from inference_worker.mixing.composition import Composition, compose
from inference_worker.serving.loaded_adapter import LoadedAdapter
from inference_worker.serving.sampling import average_logprobs
from inference_worker.serving.sequence import Sequence, Voice


def voices(
    strategy: Strategy, members: list[tuple[LoadedAdapter, float]]
) -> tuple[list[Composition[LoadedAdapter]], tuple[float, ...]]:
    """The compositions that a row runs, and their shares of the vote: one for a mix, one per member for an ensemble.

    Raises ``BadInput`` for weights that are no shares.
    """
    if strategy == "mix" or not members:
        return [compose(members)], (1.0,)
    weights = [weight for _, weight in members]
    if not all(0.0 < weight < math.inf for weight in weights):
        raise BadInput(
            "The weights of an ensemble are shares of a vote; give positive numbers.", code="ensemble_weights"
        )
    total = math.fsum(weights)
    return [compose([(member, 1.0)]) for member, _ in members], tuple(weight / total for weight in weights)


def by_row(lanes: list[Sequence | Voice], logits: Tensor) -> tuple[list[Sequence], Tensor]:
    """The rows among ``lanes``, and what each chooses from: its own logits, or its ensemble's log-probabilities."""
    rows = list(dict.fromkeys(lane.leader for lane in lanes))
    if len(rows) == len(lanes):
        return rows, logits
    places = {id(lane): place for place, lane in enumerate(lanes)}
    own = [logits[[places[id(lane)] for lane in row.lanes]] for row in rows]
    pairs = zip(rows, own, strict=True)
    return rows, torch.stack(
        [average_logprobs(part, row.shares) if row.voices else part[0].float() for row, part in pairs]
    )
