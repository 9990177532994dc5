"""``linear``: add up the factors themselves (PEFT ``linear``). Cheap, with cross terms between adapters."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.merging.stack import Merged, ModuleStack, relative_error


def merge_linear(stacks: Sequence[ModuleStack], rank: int | None, options: NoOptions, seed: int) -> list[Merged]:
    """A = Σ sign(w s)·√|w s|·A_i and B = Σ √|w s|·B_i. All adapters of a module have one rank (checked beforehand)."""
    return [_merge_one(stack) for stack in stacks]


def _merge_one(stack: ModuleStack) -> Merged:
    rank = stack.ranks[0]
    root = stack.scale.abs().sqrt()
    units = torch.arange(stack.size, device=stack.A.device)
    position = units % rank  # which unit of its adapter each row is
    fold_a = stack.scale.new_zeros(rank, stack.size)
    fold_a[position, units] = root * stack.scale.sign()
    fold_b = stack.scale.new_zeros(stack.size, rank)
    fold_b[units, position] = root
    return Merged(fold_a.float() @ stack.A, stack.B @ fold_b.float(), error=relative_error(stack, fold_b, fold_a))
