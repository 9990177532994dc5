"""What adapters are run on by themselves, when, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference_worker.errors import BlobMissing
from marketplace.accounts.models import User
from marketplace.adapters import garbage
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import edit_adapter
from marketplace.bases.models import Base
from marketplace.core.store import blob_store
from marketplace.evaluations.current import current_runs, refresh_standing
from marketplace.evaluations.examples import versions_beside
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.recorders import kept_digests
from marketplace.evaluations.standing import (
    PAUSES,
    evaluate_adapter,
    overdue,
)
from marketplace.evaluations.tasks import evaluate_overdue
from marketplace.evaluations.verdicts import verdicts_of
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]
Commits = Any


def evaluations() -> int:
    return Job.objects.filter(kind="evaluate").count()


def test_an_adapter_gets_its_standing(make_shipped: MakeShipped, ada: User, run_waiting: RunWaiting) -> None:
    adapter = make_shipped(ada, "reverse-words")
    evaluate_adapter(adapter)
    standing = Standing.objects.get(adapter=adapter)
    assert (standing.verdict, standing.gain) == ("", None), "unknown is not zero"
    run_waiting()
    standing.refresh_from_db()
    assert standing.verdict == "better"
    assert standing.gain > 0.5
    runs = current_runs(standing)
    assert [run.suite.kind for run in runs] == ["examples", "builtin"]
    verdicts = verdicts_of(runs)
    assert verdicts[0].code == "better"
    assert "10 examples" in verdicts[0].message
    assert bool(standing.forgets) == any(verdict.code == "forgets" for verdict in verdicts)
    assert 0.0 < standing.gain_low <= standing.gain
    assert evaluate_adapter(adapter) == [], "nothing has changed"
    assert evaluations() == 1


def test_an_adapter_for_another_task_has_no_effect(
    make_shipped: MakeShipped, ada: User, run_waiting: RunWaiting
) -> None:
    adapter = make_shipped(ada, "odd", shipped="capital-cities", examples=0)
    for position in range(16):
        adapter.examples.create(
            position=position, prompt=f"Instruction: Sing number {position}.\nInput: x", expected="la"
        )
    evaluate_adapter(adapter)
    run_waiting()
    standing = Standing.objects.get(adapter=adapter)
    # Nothing is right, with it or without: there is no gain in exact match to order by.
    assert (standing.verdict, standing.gain) == ("no_effect", None)


def test_changes_are_measured_again(
    make_shipped: MakeShipped, ada: User, settings: Any, django_capture_on_commit_callbacks: Commits
) -> None:
    adapter = make_shipped(ada, "reverse-words")
    settings.EVALUATE_UPLOADS = True
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=ada, adapter=adapter, examples=[(f"Reverse: a b {n}", f"{n} b a") for n in range(9)])
    first = EvaluationSuite.objects.get(adapter=adapter)
    assert (evaluations(), first.count) == (1, 9)
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=ada, adapter=adapter, tags=["words"])
    assert evaluations() == 1, "tags are not what it is run on"
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=ada, adapter=adapter, examples=[("Reverse: a b", "b a"), ("Sing", "")])
    second = EvaluationSuite.objects.get(adapter=adapter)
    assert (evaluations(), second.count) == (2, 1), "what was taken back is gone, and no answer is no example"
    assert first.sha256 not in kept_digests()
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=ada, adapter=adapter, prompt_format={"kind": "plain", "template": "Q: {prompt}\nA:"})
    assert evaluations() == 3


def test_what_cannot_be_run_is_left_alone(
    make_shipped: MakeShipped, ada: User, base: Base, settings: Any, django_capture_on_commit_callbacks: Commits
) -> None:
    adapter = make_shipped(ada, "reverse-words")
    artifact = adapter.current.artifact
    artifact.summary = {"task_type": "SEQ_CLS", "features": []}
    artifact.save()
    assert evaluate_adapter(adapter) == []
    artifact.summary = {"features": []}
    artifact.save()
    Base.objects.filter(pk=base.pk).update(served=False)
    assert evaluate_adapter(adapter) == []
    assert evaluations() == 0


def test_beat_catches_up(make_shipped: MakeShipped, ada: User, base: Base, settings: Any) -> None:
    adapter = make_shipped(ada, "reverse-words")
    assert evaluate_overdue() == 0, "it is switched off"
    settings.EVALUATE_UPLOADS = True
    Base.objects.filter(pk=base.pk).update(served=False)
    assert evaluate_overdue() == 0
    Base.objects.filter(pk=base.pk).update(served=True)
    assert evaluate_overdue() == 1
    assert evaluations() == 1
    assert not overdue().filter(pk=adapter.pk).exists()
    ada.is_active = False
    ada.save()
    other = make_shipped(ada, "opposites")
    assert evaluate_overdue() == 1
    assert evaluate_overdue() == 0, "refused, and not asked for at every tick"
    assert Standing.objects.get(adapter=other).verdict == ""


def test_failures_are_tried_again_a_few_times(make_shipped: MakeShipped, ada: User, base: Base, settings: Any) -> None:
    settings.EVALUATE_UPLOADS = True
    adapter = make_shipped(ada, "reverse-words")
    evaluate_adapter(adapter)
    for number in range(len(PAUSES) + 1):
        assert evaluations() == number + 1
        fail_evaluation(Job.objects.get(kind="evaluate", state="queued"))
        assert evaluate_overdue() == 0, "not at once"
        assert (Standing.objects.get().again_at is None) == (number == len(PAUSES))
        Standing.objects.exclude(again_at=None).update(again_at=timezone.now())
        assert evaluate_overdue() == (number < len(PAUSES))
    assert EvaluationRun.objects.filter(state="failed").count() == 4
    Base.objects.filter(pk=base.pk).update(revision="two")
    assert evaluate_overdue() == 1, "another base is another reason"
    assert Standing.objects.get().tries == 0


def test_what_the_owner_cancels_stays_cancelled(make_shipped: MakeShipped, ada: User) -> None:
    evaluate_adapter(make_shipped(ada, "reverse-words"))
    cancel_job(user=ada, job=Job.objects.get(kind="evaluate"))
    assert EvaluationRun.objects.filter(state="failed").exists()
    assert Standing.objects.get().again_at is None


def test_another_base_or_engine_is_measured_anew(
    make_shipped: MakeShipped, ada: User, base: Base, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVALUATE_UPLOADS = True
    make_shipped(ada, "reverse-words")
    assert [evaluate_overdue(), evaluate_overdue(), evaluations()] == [1, 0, 1]
    Base.objects.filter(pk=base.pk).update(revision="two")
    assert [evaluate_overdue(), evaluate_overdue(), evaluations()] == [1, 0, 2]
    for module in ("services", "standing"):
        monkeypatch.setattr(f"marketplace.evaluations.{module}.ENGINE_VERSION", 99)
    assert [evaluate_overdue(), evaluate_overdue(), evaluations()] == [1, 0, 3]


@pytest.mark.parametrize(
    ("metric", "count", "expected"),
    [("exact_match", 8, (0.5, 0.4)), ("exact_match", 7, (None, None)), ("token_f1", 8, (None, None))],
)
def test_gains_are_one_scale(
    metric: str, count: int, expected: Any, make_shipped: MakeShipped, ada: User, base: Base
) -> None:
    adapter = make_shipped(ada, "reverse-words")
    suite = EvaluationSuite.objects.create(kind="examples", name="x", adapter=adapter, sha256="0" * 64, count=count)
    standing = Standing.objects.create(adapter=adapter, keys={str(suite.pk): "0" * 64})
    standing.suites.add(suite)
    gain = {"value": 0.5, "low": 0.4, "high": 0.6, "n": count, "wins": 8, "losses": 0, "same_answers": 0}
    none = {**gain, "value": 0.0, "low": 0.0, "high": 0.0}
    table = {"exact_match": none, "token_f1": gain, metric: gain}
    EvaluationRun.objects.create(
        key="0" * 64,
        subject_digest="0" * 64,
        artifact=adapter.current.artifact,
        base=base,
        suite=suite,
        state="measured",
        estimates={"overall": table},
        difference=table,
    )
    refresh_standing(standing)
    assert (standing.gain, standing.gain_low) == expected
    assert standing.forgets is None, "nobody has looked"


def test_garbage_is_not_what_runs_stand_on(
    make_shipped: MakeShipped, ada: User, run_waiting: RunWaiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make_shipped(ada, "reverse-words")
    evaluate_adapter(adapter)
    run_waiting()
    run = EvaluationRun.objects.filter(artifact=adapter.current.artifact).first()
    monkeypatch.setattr(garbage, "GRACE", timedelta(hours=-1))
    garbage.collect_garbage()
    with blob_store().open(run.outcomes) as file:
        assert b"exact_match" in file.read()
    EvaluationRun.objects.all().delete()
    garbage.collect_garbage()
    with pytest.raises(BlobMissing):
        blob_store().open(run.outcomes)


def test_the_version_before_is_measured_on_the_same(
    make_shipped: MakeShipped, ada: User, run_waiting: RunWaiting
) -> None:
    adapter, other = make_shipped(ada, "reverse-words"), make_shipped(ada, "opposites")
    first = adapter.current
    assert first is not None
    assert other.current is not None
    later = {"author": ada, "prompt_format": first.prompt_format}
    # Replaced before anybody measured it, with other examples.
    second = adapter.versions.create(artifact=other.current.artifact, commit="e" * 40, **later)
    Adapter.objects.filter(pk=adapter.pk).update(current=second)
    adapter.refresh_from_db()
    adapter.examples.filter(position__gt=7).delete()
    runs = evaluate_adapter(adapter)
    assert {run.artifact_id for run in runs} == {second.artifact_id}
    assert [job.subject["versions"] for job in run_waiting()] == [[second.pk], [first.pk]]
    found = versions_beside(user=ada, adapter=adapter, before=first, after=second)
    assert [pair.after.suite.kind for pair in found] == ["examples", "builtin"]
    assert found[0].losses > 0
    assert not evaluate_adapter(adapter), "nothing has changed"
    adapter.versions.filter(pk=first.pk).update(yanked_at=timezone.now())
    EvaluationRun.objects.all().delete()
    evaluate_adapter(adapter, again=True)
    assert not EvaluationRun.objects.filter(artifact=first.artifact_id).exists(), "what was taken back is not run"
