"""A job from row to result, and everything that ends one early."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from inference_worker.contracts.jobs import Limits
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, retry_job
from tests.processes.fleet import Fleet, wait_for

pytestmark = pytest.mark.processes


def ended(*jobs: Job) -> bool:
    for job in jobs:
        job.refresh_from_db()
    return all(job.has_ended for job in jobs)


def running(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == Job.State.RUNNING


def test_every_way_a_job_can_end(fleet: Fleet, make_drill, notes: Path, owner) -> None:
    fleet.marketplace()
    worker = fleet.batch(concurrency=2)
    done = make_drill(seconds=0.2)
    too_big = make_drill(action="allocate", mb=600, limits=Limits(memory_mb=128, seconds=30))
    too_long = make_drill(seconds=60, limits=Limits(memory_mb=128, seconds=1))
    wrong = make_drill(action="refuse")
    bug = make_drill(action="fail")
    gone = make_drill(action="exit")
    aborted = make_drill(action="abort")
    jobs = [done, too_big, too_long, wrong, bug, gone, aborted]
    worker.wait_ready()
    wait_for(lambda: ended(*jobs), what="all jobs ended")
    assert (done.state, done.result["answer"], done.progress) == ("succeeded", 42, 1.0), done.error_message
    assert done.result["files"][0]["path"] == "answer.txt"
    assert [line["message"] for line in done.log] == ["Begun with work."]
    assert done.started_at < done.finished_at
    assert done.peak_memory_mb > 0
    assert [job.error_code for job in jobs] == [
        "", "out_of_memory", "time_limit", "bases_differ", "internal_error", "crashed", "crashed",
    ]  # fmt: skip
    assert "limit of 128 MB" in too_big.error_message
    assert "limit of 1 seconds" in too_long.error_message
    assert wrong.error_message == "The adapters have different bases."
    assert all(job.attempt == 1 for job in jobs)
    wrong_again = retry_job(user=owner, job=wrong)
    wait_for(lambda: ended(wrong_again))
    assert (wrong_again.attempt, wrong_again.error_code) == (2, "bases_differ")


def test_cancel_while_running_and_while_waiting(fleet: Fleet, make_drill, notes: Path, owner) -> None:
    fleet.marketplace()
    worker = fleet.batch()
    first, second = make_drill(seconds=60), make_drill(seconds=60)
    wait_for(lambda: running(first))
    cancel_job(user=owner, job=second)
    second.refresh_from_db()
    assert second.state == "cancelled"
    pids = [int(path.read_text()) for path in notes.glob("began-*")]
    assert len(pids) == 1
    cancel_job(user=owner, job=first)
    wait_for(lambda: ended(first))
    assert first.state == "cancelled"
    # Well before the job's own limit of 30 seconds would end it.
    wait_for(lambda: not psutil.pid_exists(pids[0]), 20)
    third = make_drill()
    wait_for(lambda: ended(third))
    assert third.state == "succeeded"
    assert len(list(notes.glob("began-*"))) == 2, worker.log.read_text()
