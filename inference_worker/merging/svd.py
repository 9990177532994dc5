"""``svd``: the best approximation of the weighted sum by a given rank, exact and without the dense matrix."""

from __future__ import annotations

from collections.abc import Sequence

from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.merging.core import Core, truncate
from inference_worker.merging.leading import leading_part
from inference_worker.merging.stack import Merged, ModuleStack


def merge_svd(stacks: Sequence[ModuleStack], rank: int | None, options: NoOptions, seed: int) -> list[Merged]:
    """Rank-k truncated SVD of ΔΣ = B·diag(scale)·A (Eckart and Young, 1936), by way of its n×n core, or
    where k is small beside n = Σr from its first singular vectors alone.

    k defaults to the largest rank among the adapters, and is at most what the module can have.
    """
    return [_merge_one(stack, rank) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None) -> Merged:
    found = leading_part(stack, rank or max(stack.ranks))
    if found is not None:
        root = found.sigma.sqrt().to(found.u)
        return Merged((found.v * root).T.contiguous(), found.u * root, error=found.error)
    core = Core.of(stack)
    return truncate(stack, core.left, core.right, core.total(), rank)
