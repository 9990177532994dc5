"""Where an adapter comes from and what was made of it, generation by generation.

Ancestors are those of the current version; what the reader may not see is “a private adapter”, and nothing is said of
what that was made from. Of descendants only those are there that the reader may see: what others made in private is
nobody's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.db.models import F

from marketplace import policy
from marketplace.adapters.models import Adapter, Lineage, Version
from marketplace.adapters.selectors import nameable_adapters, visible_adapters

DEPTH = 4
MAX_DEPTH = 8
#: A popular adapter may have thousands of descendants; so many are shown.
MAX_NODES = 200


@dataclass
class Node:
    """``adapter`` None is one that the reader may not see. ``repeated`` says that it stands elsewhere with what leads
    on from it, ``cut`` that more would follow."""

    adapter: Adapter | None
    version: Version | None
    weight: float
    operation: str
    nodes: list[Node] = field(default_factory=list)
    repeated: bool = False
    cut: bool = False

    @property
    def name(self) -> str:
        return self.adapter.full_name if self.adapter else "a private adapter"

    @property
    def gone(self) -> bool:
        return self.adapter is not None and self.adapter.deleted_at is not None


@dataclass(frozen=True)
class LineageGraph:
    ancestors: list[Node]
    descendants: list[Node]

    def __bool__(self) -> bool:
        return bool(self.ancestors or self.descendants)


def lineage_graph(*, user: policy.Person, adapter: Adapter, depth: int = DEPTH) -> LineageGraph:
    """Both directions, each up to ``depth`` generations and ``MAX_NODES`` adapters."""
    known = set(nameable_adapters(user).filter(pk__in=_ancestor_ids(adapter, depth)).values_list("pk", flat=True))
    edges = Lineage.objects.select_related(
        "parent__adapter__owner", "parent__adapter__base", "parent__adapter__current__artifact"
    ).order_by("child_id", "position")

    def parents(versions: Iterable[int]) -> dict[int, list[tuple[Lineage, Version, bool]]]:
        found = defaultdict(list)
        for edge in edges.filter(child_id__in=versions):
            found[edge.child_id].append((edge, edge.parent, edge.parent.adapter_id in known))
        return found

    def children(adapters: Iterable[int]) -> dict[int, list[tuple[Lineage, Version, bool]]]:
        made = (
            Lineage.objects.filter(parent__adapter_id__in=adapters, child__adapter__current=F("child"))
            .filter(child__adapter__in=visible_adapters(user).values("pk"))
            .select_related("parent", "child__adapter__owner", "child__adapter__base", "child__artifact")
            .order_by("-child__created_at", "pk")
        )
        found = defaultdict(list)
        for edge in made:
            found[edge.parent.adapter_id].append((edge, edge.child, True))
        return found

    up = _walk(parents, [adapter.current_id] if adapter.current_id else [], lambda version: version.pk, depth)
    return LineageGraph(up, _walk(children, [adapter.pk], lambda version: version.adapter_id, depth))


_Next = Callable[[Iterable[int]], dict[int, list[tuple[Lineage, Version, bool]]]]


def _walk(following: _Next, start: list[int], key: Callable[[Version], int], depth: int) -> list[Node]:
    """Generation by generation, one question to the database for each."""
    roots: list[Node] = []
    frontier: dict[int, list[Node]] = dict.fromkeys(start, roots)
    seen, count = set(start), 0
    for generation in range(depth + 1):
        found = following(list(frontier)) if frontier else {}
        if generation == depth:
            _mark_cut(frontier, found)
            break
        coming: dict[int, list[Node]] = {}
        for place, edges in found.items():
            for edge, version, shown in edges:
                count += 1
                if count > MAX_NODES:
                    return roots
                if not shown:
                    frontier[place].append(Node(None, None, edge.weight, edge.operation))
                    continue
                node = Node(version.adapter, version, edge.weight, edge.operation, repeated=key(version) in seen)
                frontier[place].append(node)
                if not node.repeated:
                    seen.add(key(version))
                    coming[key(version)] = node.nodes
        frontier = coming
    return roots


def _mark_cut(frontier: dict[int, list[Node]], found: dict[int, list[tuple[Lineage, Version, bool]]]) -> None:
    """Where the last generation leads on, one node says so."""
    for place in found:
        frontier[place].append(Node(None, None, 0.0, "", cut=True))


def _ancestor_ids(adapter: Adapter, depth: int) -> set[int]:
    """Adapters among the ancestors of the current version."""
    found: set[int] = set()
    frontier = {adapter.current_id} if adapter.current_id else set()
    for _ in range(depth + 1):
        pairs = Lineage.objects.filter(child_id__in=frontier).values_list("parent_id", "parent__adapter_id")
        frontier = {version for version, _ in pairs}
        found |= {of for _, of in pairs}
        if not frontier:
            break
    return found


def descendant_ids(adapters: Iterable[int]) -> list[int]:
    """Primary keys of every adapter whose current version was made, however indirectly, from any version of
    ``adapters``; for moderation, whoever may see them. In the order of generations, without ``adapters``."""
    start = list(dict.fromkeys(adapters))
    seen, frontier, found = set(start), start, []
    while frontier:
        made = Lineage.objects.filter(
            parent__adapter_id__in=frontier, child__adapter__current=F("child"), child__adapter__deleted_at=None
        ).values_list("child__adapter_id", flat=True)
        frontier = [pk for pk in dict.fromkeys(made) if pk not in seen]
        seen.update(frontier)
        found += frontier
    return found
