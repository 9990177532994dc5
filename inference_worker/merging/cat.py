"""``cat``: the exact weighted sum; ranks add up (PEFT ``cat``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference_worker.contracts.merge_methods import CatOptions
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged, ModuleStack


def merge_cat(stacks: Sequence[ModuleStack], rank: int | None, options: CatOptions, seed: int) -> list[Merged]:
    """Stack ``[w_i s_i A_i]`` and ``[B_i]``; with ``rotate`` turn the rank space at random, which leaves Δ as it is.

    The whole factor goes onto A, so B keeps the bits of its sources.
    """
    return [_merge_one(stack, options, seed) for stack in stacks]


def _merge_one(stack: ModuleStack, options: CatOptions, seed: int) -> Merged:
    a = stack.A * stack.scale.float().unsqueeze(1)
    if not options.rotate:
        return Merged(a, stack.B.clone(), error=0.0)
    size = stack.size
    noise = torch.from_numpy(module_generator(seed, stack.name).standard_normal((size, size)))
    rotation = torch.linalg.qr(noise).Q.to(stack.A)  # (n, n), orthogonal
    return Merged(rotation.T @ a, stack.B @ rotation, error=0.0)
