"""What an evaluation measured goes to its runs, and from there to the adapters that stand on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.utils import timezone

from inference_worker.contracts.evaluate import Comparison, EvaluateResult, Evaluation
from marketplace import policy
from marketplace.adapters.garbage import register_keeper
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.purging import register_emptier
from marketplace.adapters.services.versions import register_follower
from marketplace.core.errors import Conflict, NotFound
from marketplace.evaluations.current import refresh_standings, standings_on
from marketplace.evaluations.forgetting import strip_outcomes
from marketplace.evaluations.inherited import follow_parent, forget_examples
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import adapters_asked
from marketplace.evaluations.services import KIND
from marketplace.evaluations.standing import evaluate_by_itself, try_later
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import Withdrawn, limit_open, register, register_check, register_failure, register_retry

_State = EvaluationRun.State

register_follower(evaluate_by_itself)
register_follower(follow_parent)
register_emptier(forget_examples)
limit_open(KIND, "evaluations", asked=True)


@register_keeper
def kept_digests() -> Iterable[str]:
    """Outcomes of runs and examples of suites are spared by the collection of garbage; what a deleted adapter was
    asked goes with its bytes."""
    runs = EvaluationRun.objects.exclude(outcomes="").order_by()
    yield from runs.values_list("outcomes", flat=True).distinct().iterator()
    suites = EvaluationSuite.objects.exclude(sha256="").filter(Q(adapter=None) | Q(adapter__purged_at=None)).order_by()
    yield from suites.values_list("sha256", flat=True).distinct().iterator()


@register_check(KIND)
def check_evaluation(job: Job) -> None:
    """Everything that is run is still the owner's to use, at the versions of the plan, and so is everything that it is
    run on: of suites that are gone nothing is recorded, others may have been made private, and a parent may have been
    withdrawn whose examples a merge's suite still holds."""
    wanted = job.subject["versions"]
    versions = Version.objects.select_related("adapter__owner", "adapter__current__artifact", "artifact")
    found = versions.in_bulk(wanted)
    if missing := set(wanted) - set(found):
        raise NotFound(f"{len(missing)} of the versions that were to be evaluated are gone.")
    for version in found.values():
        _check_in_place(job, version.adapter)
        policy.require(job.owner, policy.Action.USE, version.adapter, version=version)
    keys = {key for keys in job.subject["runs"] for key in keys}
    suites = list(EvaluationSuite.objects.filter(runs__in=keys).distinct())
    for suite in suites:
        if suite.adapter_id is None and not policy.may_see_suite(job.owner, suite):
            raise NotFound("A suite of this evaluation is no longer yours to use.")
    asked = {key for suite in suites for key in adapters_asked(suite)} - {
        version.adapter_id for version in found.values()
    }
    for adapter in Adapter.objects.filter(pk__in=asked).select_related("owner", "current__artifact"):
        policy.require(job.owner, policy.Action.USE, adapter)


def _check_in_place(job: Job, adapter: Adapter) -> None:
    """Of one's own adapter that one deleted, or that a moderator took down, nothing is measured, and nothing failed.
    What is somebody else's is not theirs to learn about. Raises ``Withdrawn``."""
    if not policy.owns(job.owner, adapter):
        return
    if adapter.deleted_at is not None:
        raise Withdrawn(f"{adapter.full_name} was deleted.")
    if adapter.moderation != Adapter.Moderation.VISIBLE:
        raise Withdrawn(f"A moderator took {adapter.full_name} down; it is not evaluated until it is restored.")


@register(KIND)
def record_evaluation(job: Job, result: dict[str, Any]) -> None:
    """Estimates and differences per run. What was measured before stays, unless the engine found other numbers."""
    found = EvaluateResult.model_validate(result)
    table: list[list[str]] = job.subject["runs"]
    rows = _locked(job)
    changed = []
    for number, keys in enumerate(table):
        compared = [comparison for comparison in found.comparisons if comparison.suite == number]
        runs = [rows.get(key) for key in keys]
        for place, run in enumerate(runs):
            position = number * len(keys) + place
            if run is not None and _fill(run, found.evaluations[position], found.outcomes.sha256, position):
                _compare(run, place, runs, compared)
                run.seconds = found.evaluations[position].seconds
                run.save()
                changed.append(run)
    if len(changed) < len(found.evaluations):
        # What no run takes from here, of a suite that was deleted meanwhile among it, leaves no answers behind.
        strip_outcomes([found.outcomes.sha256])
    refresh_standings(changed)
    # Everything else that the worker says stands with the runs.
    job.result = {"runs": sorted(rows), "seconds": found.seconds}


def _locked(job: Job) -> dict[str, EvaluationRun]:
    """The plan's runs by id, as far as they are still there: suites are deleted, and examples change."""
    wanted = sorted({key for keys in job.subject["runs"] for key in keys})
    runs = EvaluationRun.objects.select_for_update(of=("self",)).select_related("suite")
    return {str(run.pk): run for run in runs.filter(pk__in=wanted).order_by("pk")}


def _fill(run: EvaluationRun, evaluation: Evaluation, outcomes: str, position: int) -> bool:
    """Write the estimates; False when they are what the run has already."""
    dumped = evaluation.model_dump(mode="json")
    estimates = {level: dumped[level] for level in ("overall", "tasks", "clusters")}
    if run.state == _State.MEASURED and run.estimates == estimates:
        return False
    run.state, run.fault, run.estimates = _State.MEASURED, "", estimates
    run.outcomes, run.position = outcomes, position
    run.finished_at = timezone.now()
    return True


def _compare(run: EvaluationRun, place: int, runs: list[EvaluationRun | None], compared: Iterable[Comparison]) -> None:
    """The differences of ``run``, at ``place`` among ``runs``: to the bare base, which is first, and to the others."""
    for comparison in compared:
        if comparison.after != place:
            continue
        other, differences = runs[comparison.before], comparison.model_dump(mode="json")["differences"]
        if comparison.before == 0:
            run.against, run.difference = other, differences
        elif other is not None:
            run.differences = {**run.differences, str(other.pk): differences}


@register_failure(KIND)
def record_failed_evaluation(job: Job) -> None:
    """Runs say why they have no numbers, unless another job measures them, too."""
    why = job.error_message or "It was cancelled."
    failed = [run for run in _locked(job).values() if run.state == _State.WAITING and run.job_id == job.pk]
    for run in failed:
        run.state, run.fault, run.finished_at = _State.FAILED, why, timezone.now()
        run.save(update_fields=["state", "fault", "finished_at"])
    # Whom the owner stopped rests; what was taken away is tried again should it come back.
    if job.error_message:
        try_later(standings_on(failed))


@register_retry(KIND)
def wait_again(job: Job) -> None:
    """The job's runs wait for it again. Raises ``Conflict`` where another job does their work by now, and where they
    are gone."""
    rows = _locked(job)
    if not rows:
        raise Conflict("What it was to measure is no longer kept. Ask for a new evaluation.", code="runs_gone")
    for run in rows.values():
        if run.state != _State.FAILED:
            continue
        if EvaluationRun.objects.filter(key=run.key, state=_State.WAITING).exists():
            raise Conflict("Another job evaluates the same by now.", code="being_evaluated")
        run.state, run.fault, run.finished_at, run.job = _State.WAITING, "", None, job
        run.save(update_fields=["state", "fault", "finished_at", "job"])
