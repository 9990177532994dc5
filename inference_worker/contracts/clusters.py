"""What LoRA-LEGO's clusters say about adapters: bricks, purity, who shares with whom. Free of torch.

One module's ``detail`` in ``merge_report.json`` lists its units one by one: ``adapter``, ``unit``, ``cluster`` (the
brick) and ``size``. Everything here follows from these lists, so that pages may ask for any selection of modules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def brick_owners(adapter: Sequence[int], cluster: Sequence[int]) -> list[Counter[int]]:
    """Per brick, how many units of which adapter lie in it."""
    owners: dict[int, Counter[int]] = defaultdict(Counter)
    for owner, brick in zip(adapter, cluster, strict=True):
        owners[brick][owner] += 1
    return [owners[brick] for brick in sorted(owners)]


def describe_bricks(adapter: Sequence[int], cluster: Sequence[int]) -> dict[str, Any]:
    """One module: ``purity`` per brick, the share of its units that come from its most frequent adapter (1: nothing
    was shared), and ``isolated``, the bricks that hold a single unit."""
    owners = brick_owners(adapter, cluster)
    return {
        "purity": [round(max(brick.values()) / brick.total(), 4) for brick in owners],
        "isolated": [number for number, brick in enumerate(owners) if brick.total() == 1],
    }


def summarise_clusters(details: Iterable[Mapping[str, Any]], adapters: int) -> dict[str, Any]:
    """Any modules together, for ``adapters`` adapters.

    ``shared[i][j]`` is the share of adapter i's units that lie in a brick with a unit of adapter j; on the diagonal,
    with another unit of its own. ``alone[i]`` is the share of its units that are a brick of their own. ``mixed`` counts
    bricks of several adapters, ``isolated`` those of one unit; ``purity`` and ``inertia`` are means, by unit and by
    module. Adapters without units have rows of zeros.
    """
    units = [0] * adapters
    alone = [0] * adapters
    shared = [[0] * adapters for _ in range(adapters)]
    modules, bricks, mixed, pure, inertia = 0, 0, 0, 0, 0.0
    for detail in details:
        modules += 1
        inertia += float(detail.get("inertia") or 0.0)
        for brick in brick_owners(detail["adapter"], detail["cluster"]):
            bricks += 1
            mixed += len(brick) > 1
            pure += max(brick.values())
            for owner, count in brick.items():
                units[owner] += count
                alone[owner] += brick.total() == 1
                for other in brick:
                    shared[owner][other] += count if other != owner or count > 1 else 0
    total = sum(units)
    return {
        "modules": modules,
        "units": units,
        "bricks": bricks,
        "mixed": mixed,
        "isolated": sum(alone),
        "purity": round(pure / total, 4) if total else 1.0,
        "inertia": round(inertia / modules, 6) if modules else 0.0,
        "alone": [_share(count, units[owner]) for owner, count in enumerate(alone)],
        "shared": [[_share(count, units[owner]) for count in row] for owner, row in enumerate(shared)],
    }


def _share(count: int, total: int) -> float:
    return round(count / total, 4) if total else 0.0
