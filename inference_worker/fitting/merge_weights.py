"""From a merge's plan to its weights, for the methods that find them from examples."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge_checks import check_ranks, check_selectors
from inference_worker.contracts.merge_fit import FoundWeights, MergeFit
from inference_worker.contracts.merge_methods.fitted import LorahubOptions, LoraSoupOptions
from inference_worker.contracts.merge_output import PLAIN_OUTPUT, GroupWeight, MemberWeights, MergeOutput
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.fitting.examples import read_answers
from inference_worker.fitting.lora_soup import learn_weights
from inference_worker.fitting.lorahub import search_weights
from inference_worker.fitting.result import Fitted
from inference_worker.fitting.weighted_sum import WeightedSum
from inference_worker.merging.compatibility import names_of
from inference_worker.merging.registry import find_method, parse_options
from inference_worker.serving.base_loader import load_base
from inference_worker.serving.settings import EngineSettings


class MergeWeights(NamedTuple):
    """``weights`` and ``layers`` are as a merge takes them."""

    weights: tuple[float, ...]
    layers: tuple[MemberWeights, ...]
    found: FoundWeights


def find_weights(
    fit: MergeFit,
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    method: str,
    options: dict[str, Any],
    *,
    output: MergeOutput = PLAIN_OUTPUT,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, words: None,
) -> MergeWeights:
    """Weights for ``readers`` from the plan's examples, beginning with ``weights``, in the modules that ``output`` has.

    The loss is of the full sum, before it is cut to a rank. Settings that the merge would refuse are refused first.
    Raises ``BadInput`` and ``Refused`` naming the base, adapter or example at fault. ``progress`` may raise to stop.
    """
    chosen = find_method(method)
    parsed = parse_options(chosen, options)
    check_ranks(output, chosen.info)
    check_selectors([names_of(reader) for reader in readers], (), output)
    progress(0.0, f"Loading {fit.base.name}")
    settings = EngineSettings.from_environment(os.environ)
    base = load_base(fit.base, settings)
    suites = [
        Suite(group.name, tuple(Example(e.prompt, (e.expected,)) for e in group.examples), group.prompt_format)
        for group in fit.groups
    ]
    answers, owners = read_answers(base.tokenizer, suites, base.device, base.context)
    with WeightedSum(base.layers, readers, output) as mixed:
        common: dict[str, Any] = {"start": weights, "seed": seed, "progress": progress}
        if isinstance(parsed, LoraSoupOptions):
            found = learn_weights(base.model, mixed, answers, owners, **parsed.model_dump(), **common)
        else:
            assert isinstance(parsed, LorahubOptions)
            found = search_weights(base.model, mixed, answers, owners, **parsed.model_dump(), **common)
    return as_merge_weights(found, mixed)


def as_merge_weights(found: Fitted, mixed: WeightedSum) -> MergeWeights:
    """Weights that all layers share stand with the adapters; else they are factors on 1, layer by layer."""
    told = FoundWeights(
        fit_start=_finite(found.fit_start),
        fit_end=_finite(found.fit_end),
        held_start=_finite(found.held_start),
        held_end=_finite(found.held_end),
        rounds=found.rounds,
    )
    rows = list(found.weights.values())
    if len(set(rows)) == 1:
        return MergeWeights(rows[0], (), told)
    members = []
    for member in range(len(rows[0])):
        groups = [
            GroupWeight(modules=name, factor=row[member])
            for layer, row in found.weights.items()
            for name in mixed.selectors(member, layer)
        ]
        members.append(tuple(groups))
    return MergeWeights((1.0,) * len(members), tuple(members), told)


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and math.isfinite(loss) else None
