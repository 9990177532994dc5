"""In which order workers take what waits."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Queue

from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.evaluate import EvaluateRequest, SuiteFiles
from marketplace.accounts.models import User
from marketplace.celery import app
from marketplace.core.health.metrics import exposition
from marketplace.jobs import recorders
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job

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


def test_what_a_person_asked_for_comes_first(ada: User, django_capture_on_commit_callbacks: Any) -> None:
    recorders.limit_open("evaluate", "evaluations", asked=True)
    made: list[Job] = []
    with django_capture_on_commit_callbacks(execute=True):
        for asked in (False, False, True, False, True):
            made.append(create_job(owner=ada, kind="evaluate", request=REQUEST, subject={"runs": [], "asked": asked}))
    assert 'brickyard_queue_length{queue="train"} 5.0' in exposition()[0].decode(), "all of them wait"
    numbers = {str(job.pk): place for place, job in enumerate(made)}
    assert [numbers[job] for job in taken()] == [2, 4, 0, 1, 3]
