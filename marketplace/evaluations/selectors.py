"""Reading suites and runs, always through what the asker may see."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import lru_cache

from django.db.models import QuerySet

from inference_worker.contracts.evaluate import Evaluation, Outcome
from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters.models import Adapter, ExamplePrompt
from marketplace.adapters.selectors import examples_of, listed_adapters, versions_of
from marketplace.bases.models import Base
from marketplace.core.errors import NotFound
from marketplace.core.store import blob_store
from marketplace.evaluations.current import as_run_now
from marketplace.evaluations.hiding import hidden_from
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.suites import parent_task

_Kind = EvaluationSuite.Kind


def suites_seen(user: policy.Person, *, mine: bool = False) -> QuerySet[EvaluationSuite]:
    """Built-in suites, public ones and the user's own, newest first; ``mine`` leaves the user's own."""
    suites = EvaluationSuite.objects.filter(policy.visible_suites(user)).select_related("owner", "base")
    return suites.filter(policy.owned_by(user), kind=_Kind.OWN) if mine else suites


def suites_for(user: policy.Person, base: Base) -> list[EvaluationSuite]:
    """What something on ``base`` may be run on by choice: the base's own, then the user's, then public ones."""
    seen = [suite for suite in suites_seen(user) if suite.base_id in (None, base.pk)]
    return sorted(seen, key=lambda suite: (suite.kind != _Kind.BUILTIN, not policy.owns(user, suite)))


def get_suite(*, user: policy.Person, suite_id: uuid.UUID | str) -> EvaluationSuite:
    """Raises ``NotFound``, for other people's private ones, too."""
    suite = suites_seen(user).filter(pk=_key(suite_id)).first()
    if suite is None:
        raise NotFound("There is no such suite, or it is not yours.")
    return suite


def _key(value: uuid.UUID | str) -> uuid.UUID:
    """What is no id at all is the id of nothing."""
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return uuid.UUID(int=0)


def lines_of(suite: EvaluationSuite) -> Iterator[dict[str, object]]:
    """The examples of an uploaded suite as they are stored; none for built-in ones, which the engine makes, and where a
    moderator has blocked the bytes."""
    if suite.sha256 and blob_store().has(suite.sha256):
        with blob_store().open(suite.sha256) as file:
            for line in file:
                yield json.loads(line)


def adapters_asked(suite: EvaluationSuite) -> set[int]:
    """Whose examples the suite holds: its adapter's, or those of a merge's parents."""
    if suite.kind == _Kind.PARENTS:
        return {int(str(line["task"]).partition(":")[2]) for line in lines_of(suite)}
    return {suite.adapter_id} if suite.adapter_id is not None else set()


def get_run(*, user: policy.Person, adapter: Adapter, run_id: uuid.UUID | str) -> EvaluationRun:
    """A run of one of the adapter's versions that ``user`` may see. Raises ``NotFound``."""
    artifacts = versions_of(user=user, adapter=adapter).prefetch_related(None).order_by().values("artifact")
    runs = EvaluationRun.objects.filter(pk=_key(run_id), artifact__in=artifacts)
    run = runs.select_related("suite__adapter__owner", "suite__owner", "against", "base", "job").first()
    if run is None or not may_see_numbers(user, adapter, run.suite):
        raise NotFound(f"There is no such evaluation of {adapter.full_name}, or it is not yours to see.")
    return run


def may_see_numbers(user: policy.Person, adapter: Adapter, suite: EvaluationSuite) -> bool:
    """Of whoever sees the adapter: who sees its results on ``suite`` on its pages."""
    if suite.adapter_id == adapter.pk:
        return True
    return policy.may_see_suite(user, suite) and not hidden_from(user, adapter, suite)


def numbers_of(run: EvaluationRun) -> list[Outcome]:
    """What was answered, example by example, whoever asks; empty where the blob is gone."""
    if not run.outcomes:
        return []
    try:
        return list(_read_outcomes(run.outcomes, run.position))
    except BlobMissing:
        return []


@lru_cache(maxsize=8)
def _read_outcomes(sha256: str, position: int) -> tuple[Outcome, ...]:
    """Of one place in a job's blob, which holds all that the job measured and never changes. Raises ``BlobMissing``."""
    with blob_store().open(sha256) as file:
        return Evaluation.model_validate(json.load(file)[position]).outcomes


def outcomes_of(
    *, user: policy.Person, adapter: Adapter, run: EvaluationRun, found: list[Outcome] | None = None
) -> list[Outcome]:
    """What was answered (``found`` where it is read already), as far as ``user`` may read examples and answers: of an
    adapter that they may use, and of its examples those that its page shows them."""
    if not policy.may_use(user, adapter):
        return []
    outcomes = numbers_of(run) if found is None else found
    if run.suite.adapter is None:
        return outcomes
    readable = _readable(user, run.suite, run.suite.adapter, outcomes)
    return [outcome for outcome in outcomes if _as_example(run.suite, outcome) in readable]


def runs_on(user: policy.Person, suite: EvaluationSuite, *, limit: int) -> list[tuple[EvaluationRun, Adapter]]:
    """The measured run of every adapter that ``user`` finds in lists, the newest one where nothing says which counts:
    the ``limit`` best, best first."""
    listed = listed_adapters(user)
    measured = EvaluationRun.objects.filter(suite=suite, state=EvaluationRun.State.MEASURED)
    seen = as_run_now(measured, suite).filter(artifact__in=listed.order_by().values("current__artifact"))
    newest = seen.order_by("artifact_id", "-finished_at", "-pk").distinct("artifact_id").values("pk")
    best = EvaluationRun.objects.filter(pk__in=newest).select_related("against")
    runs = list(best.order_by("-estimates__overall__exact_match__value", "pk")[:limit])
    place = {run.artifact_id: number for number, run in enumerate(runs)}
    rows = [
        (runs[place[adapter.current.artifact_id]], adapter)
        for adapter in listed.filter(current__artifact__in=list(place)).select_related("current")[: 2 * limit]
        if adapter.current is not None
    ]
    return sorted(rows, key=lambda row: place[row[0].artifact_id])[:limit]


#: Of which adapter an example is, its prompt and its expected answer: the same prompt may be another's private one.
_Example = tuple[str, str, str]


def _as_example(suite: EvaluationSuite, outcome: Outcome) -> _Example:
    of = outcome.task if suite.kind == _Kind.PARENTS else ""
    return of, outcome.prompt, outcome.expected[0] if len(outcome.expected) == 1 else ""


def _readable(user: policy.Person, suite: EvaluationSuite, adapter: Adapter, outcomes: list[Outcome]) -> set[_Example]:
    """The examples among ``outcomes`` that ``user`` may read: of the adapter's own, those that its page shows them; of
    parents, what those show to everybody who may download them."""
    if suite.kind == _Kind.EXAMPLES:
        rows = examples_of(user=user, adapter=adapter).values_list("prompt", "expected")
        return {("", prompt, expected) for prompt, expected in rows}
    parents = {int(outcome.task.partition(":")[2] or 0) for outcome in outcomes}
    loadable = Adapter.objects.filter(policy.downloadable(user), pk__in=parents).values("pk")
    shown = ExamplePrompt.objects.filter(public=True, adapter__in=loadable)
    return {
        (parent_task(parent), prompt, expected)
        for parent, prompt, expected in shown.values_list("adapter", "prompt", "expected")
    }
