"""Add modules up to layers and to whole adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from inference_worker.composability.measures import ModulePair
from inference_worker.contracts.composability import LayerPair, PairMeasures

#: Means over modules, under the same names in ``ModulePair`` and ``PairMeasures``.
_MEANS = (
    "sign_agreement",
    "row_overlap",
    "row_chance",
    "row_angle",
    "column_overlap",
    "column_chance",
    "column_angle",
    "unit_overlap",
)
_LAYER_MEANS = ("sign_agreement", "row_overlap", "column_overlap", "unit_overlap")


@dataclass
class _Sum:
    """Squared norms, inner products and weighted means of a set of modules."""

    squares: list[float] = field(default_factory=lambda: [0.0, 0.0])
    inner: float = 0.0
    weight: float = 0.0
    means: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_MEANS, 0.0))
    answers: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, norms: tuple[float, float], pair: ModulePair | None) -> None:
        for side, norm in enumerate(norms):
            self.squares[side] += norm * norm
        if pair is None:
            return
        self.inner += pair.inner
        weight = norms[0] * norms[1]
        self.weight += weight
        for name in _MEANS:
            self.means[name] += weight * getattr(pair, name)
        for side, answer in enumerate(pair.answers):
            self.answers[side] += answer * answer

    @property
    def norms(self) -> tuple[float, float]:
        return math.sqrt(self.squares[0]), math.sqrt(self.squares[1])

    @property
    def cosine(self) -> float:
        size = self.norms[0] * self.norms[1]
        return max(-1.0, min(1.0, self.inner / size)) if size > 0.0 else 0.0

    def mean(self, name: str) -> float | None:
        return _short(self.means[name] / self.weight) if self.weight > 0.0 else None


def _short(value: float) -> float:
    """Six digits: these are stored for every pair, and nothing beyond is meant."""
    return float(f"{value:.6g}")


def layer_of(module: str) -> str:
    """The layer's number in a module's name, as "layer 3"; "other" where it has none."""
    return next((f"layer {part}" for part in module.split(".") if part.isdecimal()), "other")


class PairSum:
    """Takes two adapters' modules in their order."""

    def __init__(self) -> None:
        self._all = _Sum()
        self._layers: dict[str, _Sum] = {}
        self._shared = self._clashing = 0
        self._only = [0, 0]

    def add_single(self, module: str, side: int, norm: float) -> None:
        """A module that only one adapter (0 or 1) changes."""
        self._only[side] += 1
        self._add(module, (norm, 0.0) if side == 0 else (0.0, norm), None)

    def add_both(self, module: str, first: float, second: float, pair: ModulePair | None) -> None:
        self._shared += 1
        self._add(module, (first, second), pair)

    def add_clash(self) -> None:
        """A module of both with different shapes."""
        self._clashing += 1

    def _add(self, module: str, norms: tuple[float, float], pair: ModulePair | None) -> None:
        for total in (self._all, self._layers.setdefault(layer_of(module), _Sum())):
            total.add(norms, pair)

    def finish(self) -> PairMeasures:
        norms = self._all.norms
        leak = tuple(
            _short(math.sqrt(square) / norm) if norm > 0.0 else 0.0
            for square, norm in zip(self._all.answers, norms, strict=True)
        )
        return PairMeasures(
            shared=self._shared,
            only=(self._only[0], self._only[1]),
            clashing=self._clashing,
            norms=(_short(norms[0]), _short(norms[1])),
            cosine=_short(self._all.cosine),
            leak=(leak[0], leak[1]),
            layers=tuple(_layer(name, total) for name, total in self._layers.items()),
            **{name: self._all.mean(name) for name in _MEANS},
        )


def _layer(name: str, total: _Sum) -> LayerPair:
    return LayerPair(
        layer=name,
        norms=(_short(total.norms[0]), _short(total.norms[1])),
        cosine=_short(total.cosine) if total.weight > 0.0 else None,
        **{mean: total.mean(mean) for mean in _LAYER_MEANS},
    )
