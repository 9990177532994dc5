"""mergekit's methods and what they are called here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Counterpart:
    """One of mergekit's methods that works on differences from a base, and its name and options here.

    ``normalize`` and ``rescale`` are mergekit's defaults. ``signs`` says that agreeing signs are averaged, so that
    normalising is an option here; elsewhere it changes the weights. ``numbers`` maps mergekit's numbers to options
    here, with mergekit's default and a factor.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    normalize: bool = False
    rescale: bool = False
    signs: bool = False
    numbers: Mapping[str, tuple[str, float, float]] = field(default_factory=dict)
    scaling: bool = True
    weights: bool = True


_DENSITY = {"density": ("density", 1.0, 1.0)}
_DELLA = _DENSITY | {"epsilon": ("epsilon", 0.15, 2.0)}  # Half the width there, the whole width here.
_CRUMBS = _DENSITY | {"gamma": ("gamma", 0.01, 1.0)}

COUNTERPARTS: dict[str, Counterpart] = {
    "linear": Counterpart("cat", normalize=True, scaling=False),
    "task_arithmetic": Counterpart("task_arithmetic"),
    # It trims every tensor by itself.
    "ties": Counterpart("ties", {"trim": "module"}, normalize=True, signs=True, numbers=_DENSITY),
    "dare_linear": Counterpart("dare_linear", rescale=True, numbers=_DENSITY),
    "dare_ties": Counterpart("dare_ties", rescale=True, signs=True, numbers=_DENSITY),
    "della": Counterpart("della", {"elect_signs": True}, True, True, True, _DELLA),
    "della_linear": Counterpart("della", {"elect_signs": False}, False, True, False, _DELLA),
    "breadcrumbs": Counterpart("breadcrumbs", {"elect_signs": False}, numbers=_CRUMBS),
    "breadcrumbs_ties": Counterpart("breadcrumbs", {"elect_signs": True}, signs=True, numbers=_CRUMBS),
    "sce": Counterpart(
        "sce", {"space": "dense"}, numbers={"select_topk": ("select", 1.0, 1.0)}, scaling=False, weights=False
    ),
}

#: Methods that work on the whole weights in mergekit and on the adapters' updates here.
Spherical = Literal["slerp", "nuslerp", "karcher"]
SPHERICAL: tuple[Spherical, ...] = ("slerp", "nuslerp", "karcher")

WHOLE_WEIGHTS = (
    "mergekit takes the whole weights for {name}, which are nearly parallel, so that it comes close to a plain "
    "average; here the adapters' own updates are taken"
)
OTHER_CHANCE = "what is dropped at random is not what mergekit drops"
FULL_RANK = "mergekit writes whole models and cuts no rank; here the result has the rank that is asked for"
