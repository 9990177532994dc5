"""The shape of what a merge puts out: which rank each module gets, and the rotation of its rank space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_checks import INERTIA_BUDGET
from inference_worker.contracts.merge_methods import MergeMethodInfo
from inference_worker.contracts.merge_output import MOST_RANK, EnergyRank, InertiaRank, RankRule
from inference_worker.merging.core import Basis, count_nonzero
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged


@dataclass(frozen=True)
class Goal:
    """What is wished of one module: the rank that the method is asked for, the most that its result may have, the
    share of its squared singular values that has to stay, and LoRA-LEGO's budget of inertia."""

    ask: int | None = None
    most: int | None = None
    energy: float | None = None
    inertia: float | None = None

    def bound(self, total: int) -> int:
        """The largest rank that can come out for a module whose adapters' ranks add up to ``total``."""
        return max(total, self.ask or 0)


def goal_of(rule: RankRule | None, method: MergeMethodInfo, ranks: tuple[int, ...]) -> Goal:
    """The goal for a module whose adapters have ``ranks``. ``rule`` has gone through ``check_ranks``.

    Where a share is to be kept, the method is asked for the rank of the exact sum, and its result is cut afterwards.
    """
    total = min(sum(ranks), MOST_RANK)
    choose = method.rank == "choose"
    if rule is None:
        return Goal()
    if isinstance(rule, InertiaRank):
        return Goal(ask=total, inertia=rule.inertia)
    if isinstance(rule, EnergyRank):
        return Goal(ask=total if choose else None, energy=rule.energy)
    rank = max(ranks) if rule == "same" else rule
    return Goal(ask=rank if choose else None, most=rank)


def options_for(goal: Goal, options: Contract) -> Contract:
    """The method's options with the goal's budget among them."""
    return options if goal.inertia is None else options.model_copy(update={INERTIA_BUDGET: goal.inertia})


def shape_result(merged: Merged, goal: Goal, rotation: Tensor | None) -> tuple[Merged, float]:
    """Cut ``merged`` to what ``goal`` allows, and turn its rank space; returns what was cut off as a relative error.

    Cutting keeps the largest singular values (Eckart and Young): the least possible error. Turning first brings Δ into
    the form U·√Σ, √Σ·Vᵀ that depends on Δ alone, then writes B·R and Rᵀ·A. Without the first step, whoever knows the
    seed could turn back, and common blocks of A·Aᵀ and BᵀB would tell the parents apart even to who does not.

    ``rotation``: (n, n) Gaussian noise of at least the rank of ``merged``, or None.
    """
    small = goal.energy is None and (goal.most is None or merged.A.shape[0] <= goal.most)
    if small and rotation is None:
        return merged, 0.0
    left, right = Basis.of(merged.B), Basis.of(merged.A.T)
    u, sigma, vh = torch.linalg.svd(left.upper @ right.upper.T, full_matrices=False)
    keep = _kept(sigma, goal, rotation is not None)
    total = float(sigma.norm())
    cut = float(sigma[keep:].norm()) / total if total > 0.0 else 0.0
    root = sigma[:keep].sqrt()
    turn = (
        torch.eye(keep, dtype=root.dtype, device=root.device)
        if rotation is None
        else orthogonal(rotation[:keep, :keep]).to(root)
    )
    a = right.lift((vh[:keep].T * root) @ turn).T.contiguous()
    b = left.lift((u[:, :keep] * root) @ turn).contiguous()
    return Merged(a, b, error=merged.error, detail=merged.detail), cut


def _kept(sigma: Tensor, goal: Goal, exact_rank: bool) -> int:
    """How many of the descending singular values stay, at least one."""
    keep = sigma.shape[0] if goal.most is None else min(goal.most, sigma.shape[0])
    if goal.energy is not None:
        share = sigma.square().cumsum(0)
        # One more than those that do not reach the share yet; the last digit does not count as missing.
        keep = int((share < goal.energy * (1.0 - 1e-12) * share[-1]).sum()) + 1
    if goal.energy is not None or exact_rank:
        keep = min(keep, count_nonzero(sigma))  # The vectors of zeros are what rounding left of the parents.
    return max(keep, 1)


def orthogonal(noise: Tensor) -> Tensor:
    """A random orthogonal matrix from Gaussian noise, all equally likely (Mezzadri, 2007); both (n, n)."""
    q, r = torch.linalg.qr(noise)
    return q * r.diagonal().sign()


def rotation_noise(seed: int, module: str, rank: int) -> Tensor:
    """Noise for one module, (rank, rank) float64."""
    return torch.from_numpy(module_generator(seed, f"{module}\0rotation").standard_normal((rank, rank)))


def total_error(error: float | None, cut: float) -> float | None:
    """The relative error of two cuts after another, the second in what the first left."""
    return error if error is None or cut == 0.0 else (error**2 + (1.0 - error**2) * cut**2) ** 0.5
