"""The workers' command lines."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inference_worker.contracts.jobs import KINDS
from inference_worker.roles import ROLES
from inference_worker.tasks.kinds import HANDLERS


def test_every_kind_has_a_handler_and_a_role_that_serves_its_queue() -> None:
    assert set(KINDS) == set(HANDLERS)
    served = {queue for role in ROLES.values() for queue in role.queues}
    assert {kind.queue for kind in KINDS.values()} <= served


def test_roles_load_neither_celery_nor_torch() -> None:
    code = "import sys, inference_worker.roles; print([m for m in ('celery', 'torch', 'django') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_contracts_load_no_torch() -> None:
    code = "import sys, inference_worker.contracts.jobs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_concurrency_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_CONCURRENCY", "3")
    arguments = ROLES["batch"].arguments
    assert arguments[arguments.index("--concurrency") + 1] == "3"
    assert arguments[arguments.index("-Q") + 1] == "merge,train"
    assert ROLES["batch"].environment["OMP_WAIT_POLICY"] == "PASSIVE"
