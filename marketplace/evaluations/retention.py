"""How long runs are kept. What some page shows, or a comparison to come rests on, stays for good.

Kept of every subject on every suite are the newest runs, those younger than some days, and the newest one beside each
measurement of the bare base, which the comparison of two versions picks. With a run stays what it was compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from marketplace.evaluations.forgetting import strip_outcomes
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.services import KIND
from marketplace.jobs.models import Job
from marketplace.moderation import audit

log = structlog.get_logger(__name__)

#: Runs that go in one transaction.
AT_ONCE = 200

_State = EvaluationRun.State
Keeper = Callable[[], Iterable[UUID]]
_keepers: list[Keeper] = []


@dataclass(frozen=True)
class Pruned:
    """``outcomes`` counts the blobs that held answers of the runs: they went, or were written anew without these."""

    runs: int = 0
    outcomes: int = 0


def register_run_keeper(keeper: Keeper) -> Keeper:
    """Decorator: never delete the runs whose keys ``keeper()`` names, nor what these were compared with. Asked once
    each time; register in the app's ``ready``."""
    if keeper not in _keepers:
        _keepers.append(keeper)
    return keeper


@register_run_keeper
def runs_of_open_jobs() -> Iterable[UUID]:
    """What a job under way writes, or compares with what it writes."""
    subjects = Job.objects.filter(kind=KIND).exclude(state__in=Job.ENDED).values_list("subject", flat=True)
    return {UUID(key) for subject in subjects for keys in subject.get("runs", []) for key in keys}


def prune_runs(*, keep: int | None = None, days: int | None = None, dry_run: bool = False) -> Pruned:
    """Delete what ``superseded`` names, with its answers; with ``dry_run`` only count it."""
    condemned = superseded(keep=keep, days=days)
    # By blob, so that each one is written anew once.
    rows = EvaluationRun.objects.filter(pk__in=condemned).order_by("outcomes", "pk")
    keys = list(rows.values_list("pk", flat=True))
    if dry_run:
        return Pruned(len(keys), rows.exclude(outcomes="").order_by().values("outcomes").distinct().count())
    parts = [_delete(keys[start : start + AT_ONCE]) for start in range(0, len(keys), AT_ONCE)]
    found = Pruned(sum(part.runs for part in parts), sum(part.outcomes for part in parts))
    if found.runs:
        log.info("evaluations_pruned", runs=found.runs, outcomes=found.outcomes)
    return found


def superseded(*, keep: int | None = None, days: int | None = None) -> set[UUID]:
    """Runs that no page shows: older than ``days`` (``EVALUATION_KEEP_DAYS``), with ``keep`` newer ones
    (``EVALUATION_KEEP_RUNS``, at least one) of the same subject on the same suite."""
    keep = max(1, settings.EVALUATION_KEEP_RUNS if keep is None else keep)
    horizon = timezone.now() - timedelta(days=settings.EVALUATION_KEEP_DAYS if days is None else days)
    of = [F("subject_digest"), F("base"), F("suite"), F("state")]
    last = [F("finished_at").desc(nulls_last=True), F("pk").desc()]
    # Pages take the newest by its end, others by its beginning.
    ranked = EvaluationRun.objects.exclude(state=_State.WAITING).annotate(
        by_end=Window(RowNumber(), of, last),
        by_start=Window(RowNumber(), of, [F("created_at").desc(), F("pk").desc()]),
        of_its_way=Window(RowNumber(), [*of, F("against__key")], last),
    )
    beyond = ranked.filter(by_end__gt=keep, by_start__gt=keep, of_its_way__gt=1).order_by()
    condemned = {pk for pk, created_at in beyond.values_list("pk", "created_at").iterator() if created_at < horizon}
    for keeper in _keepers:
        condemned.difference_update(keeper())
    # A merge's parents are compared with the bare base in their turn.
    while needed := _compared_with(condemned):
        condemned -= needed
    return condemned


def _compared_with(condemned: set[UUID]) -> set[UUID]:
    """Those of ``condemned`` that a run which stays was compared with."""
    if not condemned:
        return set()
    found: set[UUID] = set()
    for pk, against in EvaluationRun.objects.exclude(against=None).order_by().values_list("pk", "against").iterator():
        if against in condemned and pk not in condemned:
            found.add(against)
    merged = EvaluationRun.objects.exclude(differences={}).order_by().values_list("pk", "differences")
    for pk, differences in merged.iterator():
        if pk not in condemned:
            found.update(condemned & {UUID(key) for key in differences})
    return found


def _delete(keys: list[UUID]) -> Pruned:
    with transaction.atomic():
        # What is tried again meanwhile waits, and stays.
        rows = EvaluationRun.objects.select_for_update(of=("self",)).exclude(state=_State.WAITING).filter(pk__in=keys)
        found = dict(rows.order_by("pk").values_list("pk", "outcomes"))
        blobs = set(found.values()) - {""}
        EvaluationRun.objects.filter(pk__in=found).delete()
        strip_outcomes(blobs)
        audit.record(actor=None, action="evaluation.prune", target=f"{len(found)} runs", outcomes=len(blobs))
    return Pruned(len(found), len(blobs))
