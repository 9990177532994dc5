"""Comparing adapters with bases by the names and shapes of their modules.

An adapter's modules are dumped ``contracts.inspect.ModuleStats``. A base fits when it has every one of them. To find
the few bases worth comparing among many, each keeps its **features**: names without their numbers, with their shapes
(``model.layers.*.mlp.up_proj 8192×2048``). PostgreSQL finds the bases that have all of an adapter's features by index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.bases import ANY_TASK
from marketplace.bases.models import Base

Module = Mapping[str, Any]
#: More bases than this have never the same shapes, unless somebody registers copies of one.
MAX_CANDIDATES = 100
_MAX_FEATURE = 400
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)")


@dataclass(frozen=True)
class Fit:
    """A base that has all of an adapter's modules. ``whole`` means that the adapter reaches its last layer too."""

    base: Base
    whole: bool


@dataclass(frozen=True)
class Mismatch:
    """``code`` is that of the upload check that it fails."""

    module: str
    code: str
    sentence: str


def feature(name: str, d_out: int, d_in: int) -> str:
    return f"{_NUMBER.sub('*', name)} {d_out}×{d_in}"[:_MAX_FEATURE]


def features_of(named: Iterable[tuple[str, Sequence[int]]]) -> list[str]:
    return sorted({feature(name, shape[0], shape[1]) for name, shape in named})


def layers_of(names: Iterable[str]) -> int:
    """One more than the largest number in the names, as ``model.layers.15.mlp`` has."""
    return 1 + max((int(number) for name in names for number in _NUMBER.findall(name)[:1]), default=-1)


def summarise(base: Base) -> None:
    """Set what follows from the shapes; unsaved."""
    base.features = features_of(_named(base))
    base.layers = layers_of(base.shapes)


def _named(base: Base) -> Iterator[tuple[str, Sequence[int]]]:
    yield from base.shapes.items()
    for variant in base.variants.values():
        yield from variant.items()


def expected_shapes(base: Base, task: str = "") -> dict[str, set[tuple[int, int]]]:
    """Name → the shapes that it may have, for adapters of PEFT's task type ``task``; empty stands for any task."""
    chosen = [base.variants.get(ANY_TASK, {})]
    if task in base.variants:
        chosen.append(base.variants[task])
    elif not task:
        chosen = list(base.variants.values())
    expected: dict[str, set[tuple[int, int]]] = {}
    for shapes in (base.shapes, *chosen):
        for name, shape in shapes.items():
            expected.setdefault(name, set()).add((shape[0], shape[1]))
    return expected


def shape_conflicts(base: Base, modules: Iterable[Module], task: str = "") -> list[str]:
    """``compare`` in sentences."""
    return [mismatch.sentence for mismatch in compare(base, modules, task)]


def compare(base: Base, modules: Iterable[Module], task: str = "") -> list[Mismatch]:
    """The adapted modules that ``base`` lacks or has in another shape; empty while its shapes are unread.

    Of an embedding the width alone has to agree, either way round: adapters come with tokens of their own.
    """
    if base.state != Base.State.READY:
        return []
    expected = expected_shapes(base, task)
    found = []
    for module in modules:
        name, shape = module["name"], (module["d_out"], module["d_in"])
        known = expected.get(name)
        if module.get("kind") == "embedding":
            if known is None or any(set(one) & set(shape) for one in known):
                continue
        elif known is None:
            found.append(Mismatch(name, "module_not_in_base", f"{base.name} has no module {name}."))
            continue
        elif shape in known:
            continue
        other = min(known)
        sentence = f"{name} is {shape[0]}×{shape[1]} in the adapter and {other[0]}×{other[1]} in {base.name}."
        found.append(Mismatch(name, "shape_mismatch", sentence))
    return found


def fitting_bases(modules: Sequence[Module], task: str = "") -> list[Fit]:
    """The bases that have all of ``modules``, those whose last layer is adapted first, then by name.

    Embeddings alone fit too many to say anything.
    """
    linear = [module for module in modules if module.get("kind") != "embedding"]
    if not linear:
        return []
    wanted = features_of((module["name"], (module["d_out"], module["d_in"])) for module in linear)
    layers = layers_of(module["name"] for module in linear)
    candidates = Base.objects.filter(
        state=Base.State.READY, features__contains=wanted, layers__gte=layers
    ).select_related("parent")
    fits = [
        Fit(base, whole=base.layers == layers)
        for base in candidates[:MAX_CANDIDATES]
        if not shape_conflicts(base, modules, task)
    ]
    return sorted(fits, key=lambda fit: (not fit.whole, fit.base.name.lower()))


def lineages(bases: Iterable[Base]) -> dict[int, list[Base]]:
    """The bases by the oldest ancestor that they have in common; ancestors first."""
    found: dict[int, list[tuple[int, Base]]] = {}
    for base in bases:
        root, depth = _root(base)
        found.setdefault(root, []).append((depth, base))
    return {
        root: [base for _, base in sorted(members, key=lambda member: (member[0], member[1].name.lower()))]
        for root, members in found.items()
    }


def _root(base: Base) -> tuple[int, int]:
    """(primary key of the oldest ancestor, how many steps away). An admin may have made a circle of parents."""
    seen = [base.pk]
    while base.parent is not None and base.parent.pk not in seen:
        base = base.parent
        seen.append(base.pk)
    return base.pk, len(seen) - 1
