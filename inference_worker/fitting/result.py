"""What a search for weights found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fitted:
    """``weights`` maps a layer (−1: outside of layers) to one weight per adapter. Losses are nats per answer token, on
    the examples that were fitted and on those that were held out (None where none were); ``start`` is with the weights
    that were given."""

    weights: dict[int, tuple[float, ...]]
    fit_start: float
    fit_end: float
    held_start: float | None
    held_end: float | None
    #: Best value so far of what picks the result, after every round.
    course: tuple[float, ...]
    rounds: int
