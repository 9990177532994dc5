"""Workers, Redis and Postgres go away in the middle of it: nothing lost, nothing twice, nothing hanging."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
from django.db import OperationalError, connection

from inference_worker.contracts.jobs import JobOutcome, result_name
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.embedded import pytest_plugin
from marketplace.jobs.models import Job
from marketplace.jobs.tasks import record_result
from tests.processes.fleet import Fleet, wait_for

pytestmark = pytest.mark.processes


def states(*jobs: Job) -> list[str]:
    for job in jobs:
        job.refresh_from_db()
    return [job.state for job in jobs]


def count(notes: Path, what: str) -> int:
    return len(list(notes.glob(f"{what}-*")))


def test_killed_worker(fleet: Fleet, make_drill, notes: Path) -> None:
    """kill -9 of the worker: its processes end with it, and after a restart the job is done, once."""
    fleet.marketplace()
    worker = fleet.batch()
    job = make_drill(seconds=3)
    wait_for(lambda: states(job) == ["running"] and count(notes, "began") == 1)
    below = worker.descendants
    assert len(below) == 2, "the pool's member and the job's child"
    worker.kill()
    wait_for(lambda: not any(process.is_running() for process in below), what="children end with the worker")
    wait_for(lambda: states(job) == ["queued"], what="the reaper takes the job back")
    assert job.attempt == 2
    fleet.batch()
    wait_for(lambda: states(job) == ["succeeded"])
    assert (job.attempt, job.result["answer"], count(notes, "ended")) == (2, 42, 1)
    assert not list(Path(tempfile.gettempdir()).glob(f"brickyard-job-{below[0].pid}-*")), "the folder is swept"


def test_stopped_worker_gives_its_job_back(fleet: Fleet, make_drill, notes: Path) -> None:
    fleet.marketplace()
    worker = fleet.batch()
    job = make_drill(seconds=2)
    wait_for(lambda: count(notes, "began") == 1)
    worker.terminate()
    wait_for(lambda: states(job) == ["queued"])
    assert (job.attempt, job.max_attempts) == (2, 4)
    fleet.batch()
    wait_for(lambda: states(job) == ["succeeded"])


def test_killed_pool_member(fleet: Fleet, make_drill, notes: Path) -> None:
    """Only the member that watches the job is killed: its child ends with it, the worker makes a new member."""
    fleet.marketplace()
    worker = fleet.batch()
    job = make_drill(seconds=1.5)
    wait_for(lambda: count(notes, "began") == 1)
    member, child = worker.descendants
    member.kill()
    wait_for(lambda: not child.is_running())
    wait_for(lambda: states(job) == ["succeeded"])
    assert (job.attempt, count(notes, "ended")) == (2, 1)


def test_killed_job_process_is_tried_again_until_it_fails(fleet: Fleet, make_drill, notes: Path) -> None:
    fleet.marketplace()
    fleet.batch()
    job = make_drill(seconds=60)
    for number in (1, 2, 3):
        wait_for(lambda wanted=number: count(notes, "began") == wanted)
        for mark in notes.glob("began-*"):
            pid = int(mark.read_text())
            if psutil.pid_exists(pid):
                psutil.Process(pid).send_signal(signal.SIGKILL)
    wait_for(lambda: states(job) == ["failed"])
    assert (job.attempt, job.error_code) == (3, "killed")


def test_emptied_redis(fleet: Fleet, make_drill, notes: Path) -> None:
    """While one job runs and others wait, Redis loses everything, twice."""
    fleet.marketplace()
    fleet.batch()
    first = make_drill(seconds=2.5)
    others = [make_drill(seconds=0.1) for _ in range(4)]
    wait_for(lambda: count(notes, "began") == 1)
    redis_client().flushall()
    time.sleep(0.5)
    redis_client().flushall()
    wait_for(lambda: states(first, *others) == ["succeeded"] * 5)
    assert [job.attempt for job in (first, *others)] == [1] * 5
    assert count(notes, "ended") == 5


def test_restarted_redis(fleet: Fleet, make_drill, notes: Path) -> None:
    """Workers and marketplace find Redis again by themselves."""
    redis = next(s for s in pytest_plugin._SERVERS if isinstance(s, pytest_plugin.EmbeddedRedis))
    fleet.marketplace()
    fleet.batch()
    job, waiting = make_drill(seconds=3), make_drill(seconds=0.1)
    wait_for(lambda: count(notes, "began") == 1)
    redis.stop()
    late = make_drill(seconds=0.1)  # Nobody can be told, yet it is not lost.
    time.sleep(1.5)
    redis.start()
    wait_for(lambda: states(job, waiting, late) == ["succeeded"] * 3)
    assert [job.attempt, waiting.attempt, late.attempt] == [1, 1, 1]
    assert count(notes, "ended") == 3


def test_restarted_postgres_under_load(fleet: Fleet, make_drill, notes: Path) -> None:
    postgres = next(s for s in pytest_plugin._SERVERS if isinstance(s, pytest_plugin.EmbeddedPostgres))
    fleet.marketplace()
    fleet.batch(concurrency=2)
    jobs = [make_drill(seconds=0.3) for _ in range(8)]
    wait_for(lambda: count(notes, "ended") >= 1)
    connection.close()
    postgres.stop()
    time.sleep(1.0)
    postgres.start()

    def all_done() -> bool:
        try:
            return states(*jobs) == ["succeeded"] * len(jobs)
        except OperationalError:
            connection.close()
            return False

    wait_for(all_done)
    assert count(notes, "ended") == len(jobs)
    assert [job.attempt for job in jobs] == [1] * len(jobs)


def test_two_results_for_one_job(fleet: Fleet, make_drill, notes: Path) -> None:
    """Both told at the same moment, and once more afterwards: the first counts."""
    job = make_drill()
    number = str(job.pk)
    outcome = JobOutcome(
        job=number, attempt=1, status="succeeded", result={"answer": 1}, started_at=time.time(), finished_at=time.time()
    )
    blob_store().put_document(result_name(number, 1), outcome.model_dump_json().encode())
    said: list[bool] = []

    def tell() -> None:
        try:
            said.append(record_result(number, 1))
        finally:
            connection.close()

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False, False, False, True]
    second = outcome.model_copy(update={"result": {"answer": 2}})
    blob_store().put_document(result_name(number, 1), second.model_dump_json().encode())
    assert record_result(number, 1) is False
    assert states(job) == ["succeeded"]
    assert job.result == {"answer": 1}
    fleet.marketplace()
    worker = fleet.batch()
    worker.wait_ready()
    wait_for(lambda: redis_client().llen("drill") == 0)
    time.sleep(0.3)
    assert count(notes, "began") == 0, "the hint of an ended job starts nothing"
