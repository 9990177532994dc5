"""A marketplace worker and a batch worker per test module, and jobs of the drill kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings

from inference_worker.contracts.jobs import KINDS, Limits
from inference_worker.tasks.kinds import HANDLERS
from marketplace.accounts.models import User
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job
from tests.processes import drill
from tests.processes.fleet import HEARTBEAT, REAPER, RESEND, Fleet

MakeDrill = Callable[..., Job]


@pytest.fixture(autouse=True)
def _drill_kind(settings: LazySettings) -> Iterator[None]:
    settings.JOB_HEARTBEAT_SECONDS, settings.JOB_REAPER_SECONDS, settings.JOB_RESEND_SECONDS = HEARTBEAT, REAPER, RESEND
    drill.register()
    yield
    del KINDS["drill"], HANDLERS["drill"]


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("ada", "ada@example.org", "correct horse battery")


@pytest.fixture
def fleet(transactional_db: None, tmp_path: Path) -> Iterator[Fleet]:
    """Starts nothing by itself; ends what was started before the database is emptied."""
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.end()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where each run of a drill leaves its marks."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def make_drill(owner: User, notes: Path) -> MakeDrill:
    def make(limits: Limits | None = None, **wish: object) -> Job:
        request = drill.DrillRequest(notes=str(notes), **wish)  # type: ignore[arg-type]
        return create_job(owner=owner, kind="drill", request=request, subject={}, limits=limits)

    return make
