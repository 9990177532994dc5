"""What watches show and are held against outlasts pruning; checks beyond are forgotten."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.retention import prune_runs
from marketplace.evaluations.suites import probe_suite
from marketplace.regressions import keeping, selectors
from marketplace.regressions.models import Check, Watch
from marketplace.regressions.services import _before, _reference, watch
from marketplace.regressions.tasks import forget_checks
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


@pytest.fixture
def row(adapter: Adapter, ada: User) -> Watch:
    return watch(user=ada, subject=adapter, every="daily")


@pytest.fixture
def checks(adapter: Adapter, row: Watch) -> list[Check]:
    """Seven daily checks of long ago on the probes, oldest first; the first one is the reference of all."""
    assert adapter.base is not None
    suite = probe_suite(adapter.base)
    assert suite is not None
    found: list[Check] = []
    for day in range(7):
        at = timezone.now() - timedelta(days=400 - day)
        run = _run(adapter, suite, f"{day}")
        EvaluationRun.objects.filter(pk=run.pk).update(created_at=at, finished_at=at)
        found.append(
            Check.objects.create(
                watch=row,
                suite=suite,
                run=run,
                before=found[-1].run if found else None,
                reference=found[0].run if found else None,
                reason="schedule",
                outcome="within",
                metric="exact_match",
                created_at=at,
                settled_at=at,
            )
        )
    return found


def _run(adapter: Adapter, suite: EvaluationSuite, key: str) -> EvaluationRun:
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20}
    fields = {
        "key": key,
        "subject_digest": "d",
        "state": "measured",
        "estimates": {"overall": {"exact_match": estimate}},
    }
    return EvaluationRun.objects.create(base=adapter.base, suite=suite, **fields)


def test_a_watchs_page_shows_the_same_after_pruning(
    checks: list[Check], row: Watch, ada: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(ada)

    def page() -> str:
        return re.sub('name="csrfmiddlewaretoken" value="[^"]*"', "", client.get(f"/watches/{row.pk}").content.decode())

    assert page().count("before, 50 % now") == 6
    assert prune_runs(keep=1, days=0).runs == 0, "all are shown"
    monkeypatch.setattr(keeping, "HISTORY", 2)
    monkeypatch.setattr(selectors, "HISTORY", 2)
    shown = page()
    assert prune_runs(keep=1, days=0).runs == 3
    left = set(EvaluationRun.objects.values_list("pk", flat=True))
    wanted = [checks[0], *checks[4:]]
    assert left == {check.run_id for check in wanted}, "the reference, the shown ones, and the one before these"
    assert page() == shown


def test_the_next_check_is_held_against_the_same(
    adapter: Adapter, checks: list[Check], row: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "HISTORY", 1)
    next_run = _run(adapter, checks[0].suite, "next")
    sides = _before(row, next_run), _reference(row, next_run)
    assert sides == (checks[-1].run, checks[0].run)
    assert (prune_runs(keep=1, days=0).runs, forget_checks()) == (4, 5)
    assert set(Check.objects.all()) == {checks[0], checks[-1]}
    assert (_before(row, next_run), _reference(row, next_run)) == sides
    Check.objects.filter(pk=checks[-1].pk).update(taken_at=timezone.now())
    assert forget_checks() == 1, "another one is the reference by now"


def test_what_is_not_judged_yet_stays(checks: list[Check], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "HISTORY", 1)
    Check.objects.filter(pk=checks[2].pk).update(outcome="waiting")
    forget_checks()
    assert set(Check.objects.all()) == {checks[0], checks[2], checks[-1]}
