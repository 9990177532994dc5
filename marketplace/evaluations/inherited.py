"""The suites of merges hold copies of their parents' examples, and follow them."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from marketplace.adapters.models import Adapter, Lineage
from marketplace.evaluations.current import refresh_standing
from marketplace.evaluations.forgetting import forget_suites
from marketplace.evaluations.models import EvaluationSuite, Standing
from marketplace.evaluations.standing import evaluate_by_itself, parents_of
from marketplace.evaluations.suites import parents_suite

#: Merges that one tick of the clock looks at.
AT_ONCE = 100


def forget_examples(adapter: Adapter) -> None:
    """Of an adapter that was emptied: its suites, and what merges of it have of its examples. Call inside a
    transaction."""
    forget_suites(EvaluationSuite.objects.filter(adapter=adapter))
    follow_parent(adapter)


def follow_parent(adapter: Adapter) -> None:
    """After an adapter has changed: the suites of the merges that were made from it."""
    made = Lineage.objects.filter(parent__adapter=adapter).values("child")
    for merge in _copied().filter(current__in=made):
        _settle(merge)


def settle_merges() -> int:
    """Look at the merges that nobody has looked at for longest; how many changed. What their owners may use changes
    without a word: access is revoked, parents become private or are deleted."""
    rows = list(_copied().order_by("standing__settled_at", "pk")[:AT_ONCE])
    changed = sum(_settle(merge) for merge in rows)
    Standing.objects.filter(adapter__in=rows).update(settled_at=timezone.now())
    return changed


def _copied() -> QuerySet[Adapter]:
    """Adapters with copies of others' examples."""
    suites = EvaluationSuite.objects.filter(kind=EvaluationSuite.Kind.PARENTS).values("adapter")
    return Adapter.objects.filter(pk__in=suites).select_related("owner")


def _settle(merge: Adapter) -> bool:
    """Write its suite of what its owner may use now; True where that is another one, which is run at once."""
    with transaction.atomic():
        row = Adapter.objects.select_for_update(of=("self",), no_key=True).select_related("owner").get(pk=merge.pk)
        before = set(row.suites.filter(kind=EvaluationSuite.Kind.PARENTS).values_list("pk", flat=True))
        suite = parents_suite(row, parents_of(row))
        if before == ({suite.pk} if suite else set()):
            return False
        for standing in Standing.objects.select_for_update(of=("self",)).filter(adapter=row):
            refresh_standing(standing)
        transaction.on_commit(partial(evaluate_by_itself, row), robust=True)
    return True
