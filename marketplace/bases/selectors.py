"""Finding bases, by their names and by what adapters of them look like."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from marketplace import policy
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.models import GENERATES, Base, BaseAlias
from marketplace.bases.recognition import recognise
from marketplace.bases.shapes import fitting_bases, shape_conflicts
from marketplace.core.errors import NotFound

__all__ = ["aliases_of", "count_adapters", "get_base", "list_bases", "resolve_base", "search_bases", "shape_conflicts"]


def list_bases() -> QuerySet[Base]:
    """Every base, without the shapes, which are long."""
    return Base.objects.select_related("parent").prefetch_related("aliases").defer("shapes", "variants", "features")


def search_bases(query: str = "", state: str = "") -> QuerySet[Base]:
    """``list_bases`` narrowed to names and aliases that have ``query`` in them, and to a state."""
    found = list_bases()
    if query := query.replace("\0", "").strip()[:200]:
        named = BaseAlias.objects.filter(active=True, alias__icontains=query).values("base")
        found = found.filter(Q(name__icontains=query) | Q(pk__in=named))
    return found.filter(state=state) if state in Base.State.values else found


def count_adapters(bases: list[Base], user: policy.Person) -> dict[int, int]:
    """Primary key → how many adapters of it ``user`` finds in lists."""
    seen = Adapter.objects.filter(policy.allowed(user, policy.Action.LIST), base__in=[base.pk for base in bases])
    return dict(seen.order_by().values("base").annotate(found=Count("pk", distinct=True)).values_list("base", "found"))


def get_base(*, name: str) -> Base:
    """By name, in any spelling of capitals. Raises ``NotFound``."""
    base = Base.objects.select_related("parent").prefetch_related("aliases").filter(name__iexact=name[:200]).first()
    if base is None:
        raise NotFound(f"There is no base {name[:200]}.")
    return base


def aliases_of(base: Base) -> list[BaseAlias]:
    """The names that count, in their order."""
    return sorted((alias for alias in base.aliases.all() if alias.active), key=lambda alias: alias.alias)


def resolve_base(name: str) -> Base | None:
    """The base that a config means by ``name``, or None."""
    return recognise(name).base


def generating_bases() -> QuerySet[Base]:
    """Those that live workers may load and that write text; ``Base.generates`` of one row."""
    return list_bases().filter(state=Base.State.READY, served=True, task__in=["", GENERATES])


def fits_of(artifact: Artifact | None) -> list[Base]:
    """The bases that the tensors of an accepted artefact fit."""
    if artifact is None or artifact.state != Artifact.State.VALID:
        return []
    task = str(artifact.summary.get("task_type") or "")
    return [fit.base for fit in fitting_bases(artifact.modules, task)]
