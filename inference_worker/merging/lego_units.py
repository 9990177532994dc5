"""LoRA-LEGO's units: row a_i of A with column b_i of B, brought to a form in which equal updates are equal vectors.

Permuting ranks, rescaling (c·a, b/c) and mirroring (−a, −b) leave Δ alone and must leave the result alone: scales and
weights are folded in (the sign onto b), units are balanced to ‖a‖ = ‖b‖ and ordered by size; ``kmeans`` sees to signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.sketch import MANY, sketched_gram
from inference_worker.merging.stack import ModuleStack, gram

#: Sizes closer than this count as tied and are ordered by content, so that rounding never decides the order.
TIE = 1e-5
#: So many values of a and b tell most units of one size apart.
FIRST_VALUES = 64
#: Share of the farthest place, below which two places may be one up to rounding.
APART = 1e-4


@dataclass(frozen=True)
class Units:
    """One module's units in canonical order: ``order`` maps positions to rows of the stack. (n,) and float64 unless
    said otherwise."""

    order: Tensor  # int64, zero units left out
    factor_a: Tensor  # a' = factor_a · a
    factor_b: Tensor  # b' = factor_b · b, carries the sign
    likeness: Tensor  # (n, n), inner products that clusters are made by, of (a', b') or of directions
    sizes: Tensor  # ‖(a', b')‖
    mass: Tensor  # sample weights
    exact: bool  # whether ``likeness`` is, or comes from sketches


def make_units(stacks: Sequence[ModuleStack], options: LegoOptions) -> list[Units]:
    """The units of every module as the options want them."""
    # All that runs through the factors goes first: it drives everything else out of the processor's cache.
    products = [sketched_gram(stack) if _sketched(stack, options) else gram(stack) for stack in stacks]
    return [_make_units(stack, *found, options) for stack, found in zip(stacks, products, strict=True)]


def _make_units(stack: ModuleStack, gram_a: Tensor, gram_b: Tensor, options: LegoOptions) -> Units:
    """The units of one module from A·Aᵀ and Bᵀ·B, which are overwritten."""
    norm_a, norm_b = gram_a.diagonal().clamp_min(0.0).sqrt(), gram_b.diagonal().clamp_min(0.0).sqrt()
    scale, mass = _scale_and_mass(stack, options)
    size = stack.scale.abs() * norm_a * norm_b  # ‖Δ of the unit‖
    order = _order(stack, size, mirrored=options.align_signs)
    root = scale.abs().sqrt()
    balance = (norm_b / norm_a).nan_to_num(0.0, 0.0, 0.0).sqrt() if options.balance else torch.ones_like(root)
    factor_a, factor_b = root * balance, root * scale.sign() / balance
    inner_a = gram_a.mul_(torch.outer(factor_a, factor_a))
    inner_b = gram_b.mul_(torch.outer(factor_b, factor_b))
    sizes = (inner_a.diagonal() + inner_b.diagonal()).sqrt()[order]
    if options.normalise == "each":
        inner_a, inner_b = _cosines(inner_a), _cosines(inner_b)
    likeness = (inner_a + inner_b)[order][:, order]
    if options.normalise == "joint":
        likeness = _cosines(likeness)
    exact = not _sketched(stack, options)
    return Units(order, factor_a[order], factor_b[order], likeness, sizes, mass[order], exact)


def _sketched(stack: ModuleStack, options: LegoOptions) -> bool:
    """Where inertia is a goal or is that of directions, it has to be exact; so are recipes of before."""
    return stack.size > MANY and options.start == "ward" and options.normalise == "off" and not options.inertia_budget


def _scale_and_mass(stack: ModuleStack, options: LegoOptions) -> tuple[Tensor, Tensor]:
    """What multiplies each unit, and how many copies of it there are; both (n,)."""
    if options.adapter_weights == "fold" or not stack.weights:
        return stack.scale, torch.ones_like(stack.scale)
    ranks = torch.tensor(stack.ranks, device=stack.scale.device)
    weights = torch.tensor(stack.weights, dtype=torch.float64, device=stack.scale.device).abs()
    mass = weights.repeat_interleave(ranks)
    return stack.scale / mass, mass


def _cosines(inner: Tensor) -> Tensor:
    norms = inner.diagonal().sqrt()
    return inner / torch.outer(norms, norms)


def _order(stack: ModuleStack, size: Tensor, mirrored: bool) -> Tensor:
    """Rows by size, largest first; ties by their content. Zero units are left out."""
    sizes = size.tolist()
    ranked = sorted((row for row, value in enumerate(sizes) if value > 0.0), key=lambda row: -sizes[row])
    groups = _ties([sizes[row] for row in ranked])
    # All at once: among hundreds of units of adapters alike many sizes tie by chance.
    tied = [row for group in groups for row in ranked[group]]
    places = dict(zip(tied, _places(stack, tied, mirrored, FIRST_VALUES), strict=True)) if tied else {}
    for group in groups:
        ranked[group] = _by_content(stack, ranked[group], places, mirrored)
    return torch.tensor(ranked, dtype=torch.int64, device=size.device)


def _ties(sizes: Sequence[float]) -> list[slice]:
    """Where descending sizes follow each other so closely that rounding might order them."""
    found, start = [], 0
    for end in range(1, len(sizes) + 1):
        if end < len(sizes) and sizes[end - 1] - sizes[end] <= TIE * sizes[start]:
            continue
        if end - start > 1:
            found.append(slice(start, end))
        start = end
    return found


def _by_content(stack: ModuleStack, rows: Sequence[int], first: Mapping[int, float], mirrored: bool) -> list[int]:
    """Rows of one size by where their ``first`` values lie; where that leaves some together, all values."""
    places = [first[row] for row in rows]
    ordered = sorted(places)
    if min(after - before for before, after in pairwise(ordered)) <= APART * max(map(abs, ordered)):
        places = _places(stack, rows, mirrored, None)
    return [row for _, row in sorted(zip(places, rows, strict=True))]


def _places(stack: ModuleStack, rows: Sequence[int], mirrored: bool, count: int | None) -> list[float]:
    """How far units go along a random direction, which belongs to the module's name, by the first ``count`` values of
    a and b.

    Brought to one length, (c·a, b/c) goes as far as (a, b), and where ``mirrored`` (−a, −b) does, too.
    """
    chosen = torch.tensor(rows, device=stack.A.device)
    first = stack.A[:, :count].index_select(0, chosen), stack.B[:count].index_select(1, chosen).T
    a, b = (part.double().cpu().numpy() for part in first)
    drawn = module_generator(0, f"{stack.name}\0order").standard_normal((2, max(a.shape[1], b.shape[1])))
    signs = stack.scale[chosen].sign().cpu().numpy()
    of_a = (a * drawn[0, : a.shape[1]]).sum(axis=1) / _norms(a)
    of_b = (b * drawn[1, : b.shape[1]]).sum(axis=1) / _norms(b) * signs
    places: list[float] = (of_a * of_b if mirrored else of_a + of_b).tolist()
    return places


def _norms(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row; 1 where there is nothing."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.where(norms > 0.0, norms, 1.0)
