"""Reading suites and runs, always through what the asker may see."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from django.db.models import QuerySet

from inference_worker.contracts.evaluate import Evaluation, Outcome
from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters.models import Adapter, ExamplePrompt
from marketplace.adapters.selectors import examples_of, listed_adapters, versions_of
from marketplace.bases.models import Base
from marketplace.core.errors import NotFound
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.suites import builtin_suites

_Kind = EvaluationSuite.Kind


def suites_seen(user: policy.Person, *, mine: bool = False) -> QuerySet[EvaluationSuite]:
    """Built-in suites, public ones and the user's own, newest first; ``mine`` leaves the user's own."""
    suites = EvaluationSuite.objects.filter(policy.visible_suites(user)).select_related("owner", "base")
    return suites.filter(policy.owned_by(user), kind=_Kind.OWN) if mine else suites


def suites_for(user: policy.Person, base: Base) -> list[EvaluationSuite]:
    """What something on ``base`` may be run on by choice: the base's own, then the user's, then public ones."""
    builtin_suites(base)
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


def get_run(*, user: policy.Person, adapter: Adapter, run_id: uuid.UUID | str) -> EvaluationRun:
    """A run of one of the adapter's versions that ``user`` may see. Raises ``NotFound``."""
    artifacts = versions_of(user=user, adapter=adapter).prefetch_related(None).order_by().values("artifact")
    runs = EvaluationRun.objects.filter(pk=_key(run_id), artifact__in=artifacts)
    run = runs.select_related("suite__adapter__owner", "suite__owner", "against", "base", "job").first()
    if run is None or not _may_see_numbers(user, adapter, run.suite):
        raise NotFound(f"There is no such evaluation of {adapter.full_name}, or it is not yours to see.")
    return run


def _may_see_numbers(user: policy.Person, adapter: Adapter, suite: EvaluationSuite) -> bool:
    return suite.adapter_id == adapter.pk or policy.may_see_suite(user, suite)


def numbers_of(run: EvaluationRun) -> list[Outcome]:
    """What was answered, example by example, whoever asks; empty where the blob is gone."""
    if not run.outcomes:
        return []
    try:
        with blob_store().open(run.outcomes) as file:
            return list(Evaluation.model_validate(json.load(file)[run.position]).outcomes)
    except BlobMissing:
        return []


def outcomes_of(
    *, user: policy.Person, adapter: Adapter, run: EvaluationRun, found: list[Outcome] | None = None
) -> list[Outcome]:
    """What was answered (``found`` where it is read already), as far as ``user`` may read examples and answers: of an
    adapter that they may use, and of its examples those that its page shows them."""
    if not policy.may_use(user, adapter):
        return []
    readable = _readable(user, run.suite)
    outcomes = numbers_of(run) if found is None else found
    return [outcome for outcome in outcomes if readable is None or outcome.prompt in readable]


def runs_on(user: policy.Person, suite: EvaluationSuite) -> list[tuple[EvaluationRun, Adapter]]:
    """The newest measured run of every adapter that ``user`` finds in lists, best first."""
    adapters = listed_adapters(user).filter(current__artifact__runs__suite=suite).distinct()
    runs = EvaluationRun.objects.filter(suite=suite, state=EvaluationRun.State.MEASURED).select_related("against")
    newest = {run.artifact_id: run for run in runs.order_by("finished_at", "pk")}
    rows = [
        (newest[adapter.current.artifact_id], adapter)
        for adapter in adapters
        if adapter.current is not None and adapter.current.artifact_id in newest
    ]
    return sorted(rows, key=lambda row: -row[0].estimates["overall"]["exact_match"]["value"])


def _readable(user: policy.Person, suite: EvaluationSuite) -> set[str] | None:
    """The prompts that ``user`` may read; None for all of them."""
    if suite.adapter is None:
        return None
    if suite.kind == _Kind.EXAMPLES:
        return set(examples_of(user=user, adapter=suite.adapter).values_list("prompt", flat=True))
    # Of parents, what their owners show to everybody.
    loadable = Adapter.objects.filter(policy.downloadable(user)).values("pk")
    return set(ExamplePrompt.objects.filter(public=True, adapter__in=loadable).values_list("prompt", flat=True))
