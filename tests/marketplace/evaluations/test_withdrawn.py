"""An adapter that is deleted and can be restored: its private examples wait with it, and are nobody's meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters import garbage
from marketplace.adapters.models import Adapter, Lineage
from marketplace.adapters.services.deleting import delete_adapter, purge_adapter, restore_adapter
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_runs import evaluate_mix, runs_of_mix
from marketplace.compositions.mixes import create_mix
from marketplace.core.errors import AppError, NotFound
from marketplace.evaluations import standing
from marketplace.evaluations.asking import ask_for_evaluation
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import numbers_of, outcomes_of
from marketplace.evaluations.services import request_evaluation
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.subjects import adapter_as_subject
from marketplace.evaluations.suite_services import create_suite, edit_suite
from marketplace.evaluations.tasks import evaluate_overdue
from marketplace.jobs.checking import recheck_jobs
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, retry_job
from marketplace.moderation.services import decide
from tests.marketplace.evaluations.conftest import MakeShipped
from tests.marketplace.evaluations.test_forgetting import SECRET, copies, is_stored, merge_of
from tests.marketplace.evaluations.test_forgetting import secret as secret

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]


def examples_of(adapter: Adapter) -> EvaluationSuite:
    return EvaluationSuite.objects.get(adapter=adapter, kind="examples")


def test_nobody_runs_or_reads_them(
    secret: Adapter, make_shipped: MakeShipped, ada: User, bob: User, client: Client, run_waiting: RunWaiting
) -> None:
    evaluate_adapter(secret)
    own = make_shipped(ada, "opposites")
    members = [Choice(secret, 0.5), Choice(own, 0.5)]
    mix = create_mix(user=ada, name="both", members=members, visibility="public")
    assert evaluate_mix(user=ada, mix=mix)
    run_waiting()
    run = EvaluationRun.objects.get(suite=examples_of(secret), artifact=secret.current.artifact)
    assert runs_of_mix(user=ada, mix=mix)
    delete_adapter(user=bob, adapter=secret)
    secret.refresh_from_db()
    assert is_stored(SECRET), "it can be restored"
    for person in (ada, bob):
        assert outcomes_of(user=person, adapter=secret, run=run) == []
        assert runs_of_mix(user=person, mix=mix) == []
        with pytest.raises(AppError):
            evaluate_mix(user=person, mix=mix)
        with pytest.raises(NotFound):
            request_evaluation(
                user=person, subject=adapter_as_subject(own, own.base), suites=[examples_of(secret)], again=True
            )
        with pytest.raises(NotFound):
            ask_for_evaluation(user=person, adapter=own, suite_id=examples_of(secret).pk)
        client.force_login(person)
        for address in ("evaluations", f"evaluations/{run.pk}"):
            assert client.get(f"/bob/reverse-words/{address}").status_code in (404, 410)
        assert client.get(f"/suites/{examples_of(secret).pk}").status_code == 404
        assert client.get(f"/api/v1/suites/{examples_of(secret).pk}/").status_code == 404
    restore_adapter(user=bob, adapter=secret)
    secret.refresh_from_db()
    assert len(outcomes_of(user=bob, adapter=secret, run=run)) == 9
    assert outcomes_of(user=ada, adapter=secret, run=run) == [], "private ones were never hers"
    assert runs_of_mix(user=ada, mix=mix)


def test_what_waits_to_run_on_them_stops(
    secret: Adapter, make_shipped: MakeShipped, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A merge of more than are run beside it: the last parent's examples are in its suite, and its bytes in no plan.
    monkeypatch.setattr(standing, "MAX_COMPOSITIONS", 3)
    monkeypatch.setattr(standing, "MAX_VOICES", 1)
    merge = merge_of([make_shipped(bob, "opposites"), secret], make_shipped, ada)
    evaluate_adapter(merge)
    assert SECRET in copies(merge)
    job = Job.objects.get(kind="evaluate", owner=ada)
    assert Lineage.objects.get(parent=secret.current).parent_id not in job.subject["versions"]
    assert recheck_jobs() == 0
    delete_adapter(user=bob, adapter=secret)
    assert recheck_jobs() == 1
    job.refresh_from_db()
    assert (job.state, "bob/reverse-words" in job.error_message) == ("failed", True)
    with pytest.raises(NotFound):
        retry_job(user=ada, job=job)
    evaluate_overdue()
    assert SECRET not in copies(merge), "the next look at the merge takes them out"


@pytest.mark.parametrize("how", ["delete", "quarantine"])
def test_what_measures_an_adapter_that_is_taken_away_is_cancelled(
    how: str, make_shipped: MakeShipped, bob: User, moderator: User
) -> None:
    """Nothing failed. Should it come back, it is measured then."""
    own = make_shipped(bob, "opposites")
    evaluate_adapter(own)
    job = Job.objects.get(kind="evaluate", owner=bob)
    if how == "delete":
        delete_adapter(user=bob, adapter=own)
    else:
        decide(moderator=moderator, adapter=own, action="quarantine", reason="Copied.")
    assert recheck_jobs() == 1
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("cancelled", "withdrawn")
    assert "bob/opposites" in job.error_message
    assert not EvaluationRun.objects.filter(job=job, state="waiting").exists()
    with pytest.raises(AppError):
        retry_job(user=bob, job=job)
    assert evaluate_adapter(own) == []
    if how == "delete":
        restore_adapter(user=bob, adapter=own)
    else:
        decide(moderator=moderator, adapter=own, action="restore", reason="It was theirs.")
    assert {run.state for run in evaluate_adapter(own)} == {"waiting"}


def test_a_merge_shows_none_of_them(
    secret: Adapter, make_shipped: MakeShipped, ada: User, bob: User, run_waiting: RunWaiting
) -> None:
    secret.examples.update(public=True)
    merge = merge_of([secret], make_shipped, ada)
    evaluate_adapter(merge)
    run_waiting()
    run = EvaluationRun.objects.get(suite__adapter=merge, suite__kind="parents", artifact=merge.current.artifact)
    assert len(outcomes_of(user=ada, adapter=merge, run=run)) == 9
    delete_adapter(user=bob, adapter=secret)
    assert outcomes_of(user=ada, adapter=merge, run=run) == []


def test_a_suite_that_was_made_private_stops_others_jobs(make_shipped: MakeShipped, ada: User, bob: User) -> None:
    suite = create_suite(user=bob, name="S", lines='{"prompt": "a", "expected": "b"}', visibility="public")
    adapter = make_shipped(ada, "opposites")
    for person in (ada, bob):
        (run,) = ask_for_evaluation(user=person, adapter=adapter, suite_id=suite.pk, again=True)
        EvaluationRun.objects.filter(pk=run.pk).update(key=person.username)
    edit_suite(user=bob, suite=suite, visibility="private")
    assert recheck_jobs() == 1
    states = dict(Job.objects.filter(kind="evaluate").values_list("owner__username", "state"))
    assert states == {"ada": "failed", "bob": "queued"}


def test_purging_deletes_them_for_good(
    secret: Adapter, bob: User, run_waiting: RunWaiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "GRACE", timedelta(hours=-1))
    evaluate_adapter(secret)
    run_waiting()
    evaluate_adapter(secret, again=True)
    cancel_job(user=bob, job=Job.objects.get(kind="evaluate", state="queued"))
    probe = EvaluationRun.objects.filter(suite__probe=True, subject=[], state="measured").get()
    delete_adapter(user=bob, adapter=secret)
    garbage.collect_garbage()
    assert is_stored(SECRET), "deleted is not yet purged"
    purge_adapter(user=bob, adapter=secret)
    garbage.collect_garbage()
    assert not is_stored(SECRET)
    assert not secret.examples.exists()
    assert not EvaluationSuite.objects.filter(adapter=secret).exists()
    assert not EvaluationRun.objects.filter(suite__kind="examples").exists()
    probe.refresh_from_db()
    assert len(numbers_of(probe)) == 8, "what the bare base does on its probes is kept"
    requests = Job.objects.filter(kind="evaluate").values_list("request", "subject", "result", "log")
    assert all(SECRET not in str(row) for row in requests), "plans name digests alone"
