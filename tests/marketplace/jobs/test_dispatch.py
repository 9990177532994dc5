"""In which order workers take what waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kombu import Queue

from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.evaluate import EvaluateRequest, SuiteFiles
from marketplace.accounts.models import User
from marketplace.celery import app
from marketplace.core.errors import TooManyRequests
from marketplace.core.health.metrics import exposition
from marketplace.jobs import reaper, recorders
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job, hurry_job

pytestmark = pytest.mark.django_db
REQUEST = EvaluateRequest(
    base=BaseFiles(name="b", source="s"), compositions=((),), suites=(SuiteFiles(name="p", builtin="testbed:plural"),)
)


def taken() -> list[str]:
    """The jobs in the order in which a worker gets them."""
    found = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        queue = Queue("train")(channel)
        while (message := queue.get(no_ack=True)) is not None:
            found.append(message.payload[0][0])
    return found


@pytest.fixture(autouse=True)
def _only_what_is_asked_for_counts() -> None:
    recorders.limit_open("evaluate", "evaluations", asked=True)


@pytest.fixture
def make_evaluation(ada: User, django_capture_on_commit_callbacks: Any) -> Callable[[bool], Job]:
    def make(asked: bool) -> Job:
        with django_capture_on_commit_callbacks(execute=True):
            return create_job(owner=ada, kind="evaluate", request=REQUEST, subject={"runs": [], "asked": asked})

    return make


def test_what_a_person_asked_for_comes_first(make_evaluation: Callable[[bool], Job]) -> None:
    made = [make_evaluation(asked) for asked in (False, False, True, False, True)]
    assert 'brickyard_queue_length{queue="train"} 5.0' in exposition()[0].decode(), "all of them wait"
    numbers = {str(job.pk): place for place, job in enumerate(made)}
    assert [numbers[job] for job in taken()] == [2, 4, 0, 1, 3]


def test_hints_of_what_comes_by_itself_are_not_doubled(make_evaluation: Callable[[bool], Job], settings: Any) -> None:
    settings.JOB_RESEND_SECONDS = 0.0
    for asked in (True, False, False):
        make_evaluation(asked)
    assert reaper.reap() == {}, "every waiting job has its hint"
    assert len(taken()) == 3


def test_what_somebody_asks_for_by_now_is_moved_up(
    make_evaluation: Callable[[bool], Job],
    ada: User,
    make_person: Callable[..., User],
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """It counts for who asked, whoever's job it is, and moves once."""
    settings.JOBS_OPEN_PER_PERSON = 1
    first, own, others = (make_evaluation(False) for _ in range(3))
    bob = make_person("bob")
    with django_capture_on_commit_callbacks(execute=True):
        assert hurry_job(user=ada, job=own)
        assert hurry_job(user=bob, job=others)
    assert taken() == [str(job.pk) for job in (own, others, first, own, others)], "the second hint finds nothing to do"
    assert not hurry_job(user=bob, job=others)
    for person in (ada, bob):
        with pytest.raises(TooManyRequests):
            hurry_job(user=person, job=first)
    first.refresh_from_db()
    assert recorders.comes_by_itself(first)
    Job.objects.filter(pk=own.pk).update(state=Job.State.RUNNING)
    assert not hurry_job(user=ada, job=own)
