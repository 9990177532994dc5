"""Mixes are measured again when anything that their numbers depend on has changed, and when they failed."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.compositions import mixes
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_runs import evaluate_changed, runs_of_mix
from marketplace.compositions.models import Composition
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.standing import PAUSES
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation

pytestmark = pytest.mark.django_db


@pytest.fixture
def members(make_shipped: MakeShipped, ada: User, settings: Any) -> list[Adapter]:
    settings.EVALUATE_UPLOADS = True
    return [make_shipped(ada, "plural-nouns"), make_shipped(ada, "opposites")]


@pytest.fixture
def mix(members: list[Adapter], ada: User) -> Composition:
    return mixes.create_mix(user=ada, name="m", members=[Choice(one, 1.0) for one in members], visibility="public")


def jobs_after_a_look() -> int:
    evaluate_changed()
    return Job.objects.filter(kind="evaluate").count()


def waiting() -> Job:
    return Job.objects.get(kind="evaluate", state="queued")


def test_everything_that_numbers_depend_on_is_followed(
    mix: Composition, members: list[Adapter], ada: User, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [jobs_after_a_look(), jobs_after_a_look()] == [1, 1]
    EvaluationRun.objects.update(state="measured")
    assert len(runs_of_mix(user=ada, mix=mix)) == 3, "two members' examples and the probes"
    Base.objects.filter(pk=base.pk).update(revision="two")
    again = Composition.objects.get(pk=mix.pk)
    assert runs_of_mix(user=ada, mix=again) == [], "of another revision nothing is known"
    assert [jobs_after_a_look(), jobs_after_a_look()] == [2, 2]
    Base.objects.filter(pk=base.pk).update(revision="")
    assert jobs_after_a_look() == 2, "it is known"
    members[0].examples.all().delete()
    members[0].examples.create(position=0, prompt="Instruction: x", expected="z")
    assert [jobs_after_a_look(), jobs_after_a_look()] == [3, 3]
    for member in members:
        member.current.prompt_format = {"kind": "plain", "template": "Q: {prompt}"}
        member.current.save()
    assert [jobs_after_a_look(), jobs_after_a_look()] == [4, 4]
    monkeypatch.setattr("marketplace.evaluations.services.ENGINE_VERSION", 99)
    assert [jobs_after_a_look(), jobs_after_a_look()] == [5, 5]


def test_what_failed_is_tried_a_few_times(mix: Composition) -> None:
    for number in range(len(PAUSES) + 1):
        assert jobs_after_a_look() == number + 1
        fail_evaluation(waiting())
        assert jobs_after_a_look() == number + 1, "not at once"
        row = Composition.objects.get()
        assert (row.again_at is None) == (number == len(PAUSES))
        Composition.objects.exclude(again_at=None).update(again_at=timezone.now())
    assert jobs_after_a_look() == len(PAUSES) + 1
    Base.objects.update(revision="two")
    assert jobs_after_a_look() == len(PAUSES) + 2
    assert Composition.objects.get().tries == 0


def test_what_was_cancelled_stays_so(mix: Composition, ada: User) -> None:
    assert jobs_after_a_look() == 1
    cancel_job(user=ada, job=waiting())
    assert jobs_after_a_look() == 1
    assert Composition.objects.get().again_at is None
