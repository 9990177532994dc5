"""``task_arithmetic``: λ Σ w_i Δ_i, exact up to the rank (Ilharco et al., ICLR 2023, arXiv 2212.04089)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.contracts.merge_methods.elementwise import TaskArithmeticOptions
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.svd import merge_svd


def merge_task_arithmetic(
    stacks: Sequence[ModuleStack], rank: int | None, options: TaskArithmeticOptions, seed: int
) -> list[Merged]:
    """The sum's truncated SVD, with λ on every weight."""
    scaled = [replace(stack, scale=stack.scale * options.scaling) for stack in stacks]
    return merge_svd(scaled, rank, NoOptions(), seed)
