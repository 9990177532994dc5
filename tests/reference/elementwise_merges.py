"""Elementwise merges as the papers, PEFT and mergekit publish them: entry by entry in plain Python, no speed at all.

Matrices are lists of rows of numbers; ``updates`` is one matrix per adapter. Weights are applied as each source does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Matrix = list[list[float]]


def rows_of(tensor: Tensor) -> Matrix:
    return [[float(value) for value in row] for row in tensor]


def each(function: Callable[..., float], *matrices: Matrix) -> Matrix:
    """``function`` of the entries at each position."""
    return [[function(*entries) for entries in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def flat(matrix: Matrix) -> list[float]:
    return [value for row in matrix for value in row]


def times(matrix: Matrix, factor: float) -> Matrix:
    return [[factor * value for value in row] for row in matrix]


def total(matrices: Sequence[Matrix]) -> Matrix:
    return each(lambda *entries: math.fsum(entries), *matrices)


def keep_largest(matrix: Matrix, density: float) -> Matrix:
    """TIES' trim: the top share by size, over the whole matrix."""
    sizes = sorted((abs(value) for value in flat(matrix)), reverse=True)
    limit = sizes[max(1, int(density * len(sizes))) - 1]
    return each(lambda value: value if abs(value) >= limit else 0.0, matrix)


def keep_band(matrix: Matrix, density: float, gamma: float) -> Matrix:
    """Model Breadcrumbs as in mergekit: sort by size, drop the top ``gamma``, keep ``density`` below it."""
    count = len(flat(matrix))
    order = sorted(range(count), key=lambda place: abs(flat(matrix)[place]))
    bottom = max(0, count - int(density * count) - int(gamma * count))
    chosen = set(order[bottom : bottom + int(density * count)])
    width = len(matrix[0])
    return [
        [value if row * width + column in chosen else 0.0 for column, value in enumerate(values)]
        for row, values in enumerate(matrix)
    ]


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


def elected(contributions: Sequence[float], majority: str) -> int:
    """The sign of the larger total, or of the greater number; 0 for a tie."""
    return sign(math.fsum(contributions) if majority == "total" else sum(sign(value) for value in contributions))


def fuse(
    updates: Sequence[Matrix], weights: Sequence[float], majority: str = "total", average: str = "count"
) -> Matrix:
    """The w·value that agree with the elected sign: their mean, mergekit's normalised sum, or their sum."""

    def entry(*values: float) -> float:
        contributions = [weight * value for weight, value in zip(weights, values, strict=True)]
        winner = elected(contributions, majority)
        chosen = [index for index, value in enumerate(contributions) if winner and sign(value) == winner]
        amount = math.fsum(contributions[index] for index in chosen)
        if not chosen or average == "sum":
            return amount
        return amount / (len(chosen) if average == "count" else sum(abs(weights[index]) for index in chosen))

    return each(entry, *updates)


def weighted(updates: Sequence[Matrix], weights: Sequence[float]) -> Matrix:
    return total([times(update, weight) for update, weight in zip(updates, weights, strict=True)])


def drop(matrix: Matrix, uniforms: Matrix, keep: Matrix, rescale: str) -> Matrix:
    """DARE and DELLA: an entry stays where its random number is below its probability."""
    if rescale == "probability":
        return each(lambda value, uniform, chance: value / chance if uniform < chance else 0.0, matrix, uniforms, keep)
    kept = each(lambda value, uniform, chance: value if uniform < chance else 0.0, matrix, uniforms, keep)
    before, after = (math.fsum(abs(value) for value in flat(item)) for item in (matrix, kept))
    return times(kept, before / after)


def della_chances(matrix: Matrix, density: float, epsilon: float) -> Matrix:
    """In each row the chance of staying rises evenly with the rank of size, from density − ε/2 to density + ε/2."""
    chances = []
    for row in matrix:
        order = sorted(range(len(row)), key=lambda place: abs(row[place]))
        rank = {place: position for position, place in enumerate(order)}
        chances.append([density - epsilon / 2 + epsilon * rank[place] / (len(row) - 1) for place in range(len(row))])
    return chances


def sce(updates: Sequence[Matrix], select: float) -> Matrix:
    """Select the entries of the largest variance, calculate weights by squared sizes, erase minority signs."""

    def variance(*values: float) -> float:
        mean = math.fsum(values) / len(values)
        return math.fsum((value - mean) ** 2 for value in values) / len(values)

    spread = each(variance, *updates)
    largest = sorted((value for value in flat(spread) if value > 0), reverse=True)
    limit = largest[max(1, int(select * len(largest))) - 1]
    chosen = [each(lambda value, width: value if width >= limit else 0.0, update, spread) for update in updates]
    energy = [math.fsum(value * value for value in flat(update)) for update in chosen]

    def entry(*values: float) -> float:
        winner = elected(values, "total")
        agreeing = [index for index, value in enumerate(values) if winner and sign(value) == winner]
        if not agreeing:
            return 0.0
        share = math.fsum(energy[index] for index in agreeing)
        return math.fsum(energy[index] * values[index] for index in agreeing) / share

    return each(entry, *chosen)
