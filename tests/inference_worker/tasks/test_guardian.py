"""A job's process under its guardian: limits, ends, reports. Real processes, no broker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from inference_worker.blobs import BlobStore
from inference_worker.contracts import keys
from inference_worker.contracts.common import Contract
from inference_worker.contracts.jobs import KINDS, JobOutcome, JobPlan, Kind, Limits
from inference_worker.errors import BadInput
from inference_worker.tasks import kinds
from inference_worker.tasks.board import Board
from inference_worker.tasks.child import fault_of, says_memory
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.guardian import Guardian

# Python 3.12 and later warn of a fork beside threads; pytest has some, the workers' pool members have none.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

ACTIONS = {}


class Wish(Contract):
    action: str


class Answer(Contract):
    pid: int


def action(function):
    ACTIONS[function.__name__] = function
    return function


@action
def work(context: JobContext) -> None:
    context.log("One line.")
    context.progress(0.5, "Half")


@action
def sleep(context: JobContext) -> None:
    time.sleep(60)


@action
def allocate(context: JobContext) -> None:
    held = [bytearray(16 << 20) for _ in range(64)]
    assert held


@action
def share(context: JobContext) -> None:
    """Memory of a process below it does not hide from the operating system's limit either. What this process had mapped
    before counts for that one too, so it asks for as much again."""
    size = psutil.Process().memory_info().data + (1 << 30)
    subprocess.run([sys.executable, "-c", f"x = bytearray({size})"], check=True)


@action
def talk(context: JobContext) -> None:
    for number in range(5000):
        context.log(f"line {number}")


@action
def refuse(context: JobContext) -> None:
    raise BadInput("Unknown option “tau”.", code="unknown_option", extra={"option": "tau"})


@action
def leave_child(context: JobContext) -> None:
    process = subprocess.Popen(["sleep", "60"])
    context.log(str(process.pid))
    time.sleep(60)


def handle(request: Wish, context: JobContext) -> Answer:
    ACTIONS[request.action](context)
    return Answer(pid=os.getpid())


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(memory_mb=200, seconds=20)
    monkeypatch.setitem(KINDS, "wish", Kind(queue="none", request=Wish, result=Answer, limits=limits))
    monkeypatch.setitem(kinds.HANDLERS, "wish", f"{__name__}:handle")


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    yield client
    client.close()


class Run:
    """One attempt of a wish."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.job = str(uuid.uuid4())
        self.board = Board(client, self.job, 1, "test", 60.0)
        self.stopping = False

    def __call__(self, action: str, **limits: int) -> JobOutcome:
        allowed = KINDS["wish"].limits.model_copy(update=limits)
        plan = JobPlan(job=self.job, attempt=1, kind="wish", request={"action": action}, limits=allowed)
        blobs = BlobStore(f"file://{self.folder}/blobs")

        def context(reports: int) -> JobContext:
            return JobContext(blobs=blobs, workdir=self.folder, encoder="", reports=reports)

        return Guardian(plan, self.board, 0.3, context, lambda: self.stopping).run(self.folder)


@pytest.fixture
def run(client: redis.Redis, tmp_path: Path) -> Run:
    return Run(client, tmp_path)


def test_result_log_and_progress(run: Run) -> None:
    outcome = run("work")
    assert (outcome.status, outcome.fault) == ("succeeded", None)
    assert outcome.result is not None
    assert outcome.result["pid"] != os.getpid()
    assert [line.message for line in outcome.log] == ["One line."]
    assert '"progress": 0.5, "message": "Half"' in (run.client.get(keys.job_live(run.job, 1)) or "")
    assert run.client.get(keys.job_claim(run.job, 1)) == "test"


def test_memory_limit(run: Run) -> None:
    outcome = run("allocate")
    assert outcome.fault is not None
    assert (outcome.status, outcome.fault.code, outcome.fault.retryable) == ("failed", "out_of_memory", False)
    assert "200 MB" in outcome.fault.message


def test_memory_limit_holds_for_processes_below(run: Run) -> None:
    outcome = run("share")
    assert outcome.status == "failed"


def test_time_limit_ends_everything_below(run: Run) -> None:
    outcome = run("leave_child", seconds=3)
    assert outcome.fault is not None
    assert outcome.fault.code == "time_limit"
    below = int(outcome.log[0].message)
    until = time.monotonic() + 30  # The child would sleep for 60.
    while psutil.pid_exists(below) and psutil.Process(below).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_cancel_flag(run: Run) -> None:
    run.client.set(keys.job_cancel(run.job, 1), "1", ex=10)
    began = time.monotonic()
    outcome = run("sleep")
    assert (outcome.status, outcome.fault, outcome.result) == ("cancelled", None, None)
    assert time.monotonic() - began < 30


def test_worker_that_stops_gives_back(run: Run) -> None:
    run.stopping = True
    outcome = run("sleep")
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.retryable) == ("worker_stopped", True)


def test_users_fault_keeps_its_code_and_words(run: Run) -> None:
    outcome = run("refuse")
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.fault.message) == ("unknown_option", "Unknown option “tau”.")
    assert outcome.fault.extra == {"option": "tau"}


def test_unknown_kind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kinds.HANDLERS, "wish")
    outcome = run("work")
    assert outcome.fault is not None
    assert outcome.fault.code == "unknown_kind"


def test_talkative_job_is_relayed_and_cut(run: Run) -> None:
    outcome = run("talk")
    assert outcome.status == "succeeded"
    assert outcome.log[-1].message == "line 4999"
    assert len(outcome.log) == 200


def test_claim_is_exclusive_and_comes_back_with_a_heartbeat(run: Run, client: redis.Redis) -> None:
    other = Board(client, run.job, 1, "other", 60.0)
    assert run.board.claim()
    assert not other.claim()
    client.delete(keys.job_claim(run.job, 1))
    run.board.beat()
    assert not other.claim()
    run.board.release()
    assert other.claim()


@pytest.mark.parametrize(
    "text",
    ["DefaultCPUAllocator: can't allocate memory: you tried", "CUDA out of memory.", "memory allocation of 8 bytes"],
)
def test_words_of_allocators(text: str) -> None:
    assert says_memory(text)
    assert fault_of(RuntimeError(text)).code == "out_of_memory"


def test_bug_is_internal_and_says_nothing_of_itself() -> None:
    fault = fault_of(KeyError("secret"))
    assert (fault.code, "secret" in fault.message) == ("internal_error", False)
