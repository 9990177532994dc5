"""Reading measured pairs. Who may see them is decided by whoever asks: a pair tells of both adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from django.db.models import Q, QuerySet

from inference_worker.contracts.composability import MEASURES_VERSION, PairMeasures
from marketplace import policy
from marketplace.compositions.members import Member, conflicting_shapes
from marketplace.compositions.pairs.models import PairMeasure
from marketplace.jobs.models import Job

KIND = "compose_check"
#: Two artefacts, the smaller key first.
Pair = tuple[int, int]


def pair_of(one: int, two: int) -> Pair:
    return (one, two) if one < two else (two, one)


def pairs_of(members: Sequence[Member]) -> list[tuple[Member, Member]]:
    """Every two members whose files differ, in the members' order."""
    return [(one, two) for one, two in combinations(members, 2) if one.artifact.pk != two.artifact.pk]


def stored() -> QuerySet[PairMeasure]:
    """What is measured the way it is measured now."""
    return PairMeasure.objects.filter(version=MEASURES_VERSION)


def measured(pairs: Iterable[Pair]) -> dict[Pair, PairMeasures]:
    """Those of ``pairs`` that are known, with their layers."""
    wanted = set(pairs)
    ends = {end for pair in wanted for end in pair}
    rows = stored().filter(first__in=ends, second__in=ends)
    return {pair: row.contract for row in rows if (pair := (row.first_id, row.second_id)) in wanted}


def measured_with(artifact: int, others: Iterable[int]) -> dict[int, PairMeasures]:
    """Other artefact → the measures with ``artifact`` first, without layers."""
    wanted = set(others)
    rows = stored().filter(Q(first=artifact, second__in=wanted) | Q(second=artifact, first__in=wanted))
    found = {}
    for first, second, values in rows.values_list("first", "second", "measures"):
        measures = PairMeasures.model_validate(values)
        found[second if first == artifact else first] = measures if first == artifact else measures.turned()
    return found


def unmeasured(members: Sequence[Member]) -> list[tuple[Member, Member]]:
    """The pairs that a worker has yet to compare. Those of different shapes cannot be merged and are left out."""
    pairs = _fitting(members)
    known = measured(pair_of(one.artifact.pk, two.artifact.pk) for one, two in pairs)
    return [(one, two) for one, two in pairs if pair_of(one.artifact.pk, two.artifact.pk) not in known]


def _fitting(members: Sequence[Member]) -> list[tuple[Member, Member]]:
    """The pairs whose shapes agree; where all do, none is looked at by itself."""
    pairs = pairs_of(members)
    return [pair for pair in pairs if not conflicting_shapes(pair)] if conflicting_shapes(members) else pairs


def comparison_of(user: policy.Person, pairs: Iterable[Pair]) -> Job | None:
    """The user's newest job that compares one of ``pairs``."""
    if not user.is_authenticated:
        return None
    wanted = {tuple(pair) for pair in pairs}
    return next((job for job in _recent(user) if wanted & {tuple(pair) for pair in job.subject["pairs"]}), None)


def running_comparison(user: policy.Person, artifacts: Iterable[int]) -> Job | None:
    """The user's newest job that compares all of ``artifacts``, with each other or with others, and has not ended."""
    if not user.is_authenticated:
        return None
    wanted = set(artifacts)
    jobs = (job for job in _recent(user) if not job.has_ended)
    return next((job for job in jobs if wanted <= set(job.subject["artifacts"])), None)


def is_running(user: policy.Person, job_id: str) -> bool:
    """Whether this comparison is the user's and has not ended."""
    if not user.is_authenticated or not job_id:
        return False
    return any(str(job.pk) == job_id and not job.has_ended for job in _recent(user))


def _recent(user: policy.Person) -> QuerySet[Job]:
    jobs = Job.objects.filter(owner=user.pk, kind=KIND).order_by("-created_at", "-pk")
    return jobs.defer("request", "log")[:20]
