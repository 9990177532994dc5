"""What one person may have under way: repeated keys find their job, and what is tried again counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.accounts.throttling import VerdictThrottle
from marketplace.compositions import services
from marketplace.compositions.lab import recipes, sweeps
from marketplace.compositions.planning import plan_merge
from marketplace.core.errors import Conflict, TooManyRequests
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, retry_job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.compositions.conftest import Members, preview, sweep

pytestmark = pytest.mark.django_db


def test_a_repeated_key_at_the_limit_finds_its_job(pair: Members, ada: User, settings: Any) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1
    axes = sweeps.Axes(ranks=[2, 4])
    plan = plan_merge(user=ada, members=pair, method="svd")
    asks = {
        "preview": lambda key: preview(ada, pair, idempotency_key=key),
        "sweep": lambda key: sweep(ada, pair, axes, idempotency_key=key),
        "merge": lambda key: services.create_merge(
            user=ada, name="one", members=pair, method="svd", idempotency_key=key
        ),
    }
    for name, ask in asks.items():
        first = ask(name)
        assert ask(name) == first
        with pytest.raises(TooManyRequests, match="of yours are under way"):
            ask(f"another {name}")
    again = recipes.create_planned_merge(user=ada, plan=plan, name="one", idempotency_key="merge")
    assert again.subject["name"] == "one", "the first one's"
    with pytest.raises(Conflict, match="another kind"):
        services.create_merge(user=ada, name="two", members=pair, method="svd", idempotency_key="sweep")
    for action in ("merge.preview", "merge.sweep", "merge.create"):
        assert AuditEntry.objects.filter(action=action).count() == 1, action


def test_a_sweep_that_is_tried_again_costs_what_a_new_one_does(pair: Members, ada: User) -> None:
    axes = sweeps.Axes(ranks=list(range(1, 61)))
    first = sweep(ada, pair, axes)
    cancel_job(user=ada, job=first)
    others = [sweep(ada, pair, axes) for _ in range(2)]
    with pytest.raises(TooManyRequests, match="120 settings"):
        retry_job(user=ada, job=first)
    cancel_job(user=ada, job=others[0])
    assert retry_job(user=ada, job=first).state == "queued"


def test_settings_of_sweeps_are_bounded_by_the_hour(pair: Members, ada: User, bob: User, settings: Any) -> None:
    """Also of those that were cancelled: a sweep of one setting after the other would be as dear as one of many."""
    settings.SWEEP_POINTS_PER_HOUR = 10
    first = sweep(ada, pair, sweeps.Axes(ranks=[1, 2, 3, 4]))
    cancel_job(user=ada, job=first)
    second = sweep(ada, pair, sweeps.Axes(ranks=[1, 2, 3, 4, 5]))
    with pytest.raises(TooManyRequests, match="9 settings of sweeps within the last hour, and 10") as refused:
        sweep(ada, pair, sweeps.Axes(ranks=[1, 2]))
    assert 3500 < refused.value.extra["retry_after"] <= 3600
    assert retry_job(user=ada, job=first).state == "queued", "it is not counted twice"
    Job.objects.filter(pk=second.pk).update(created_at=timezone.now() - timedelta(minutes=61))
    sweep(ada, pair, sweeps.Axes(ranks=[1, 2]))


def test_a_single_sweep_may_be_larger_than_the_hour(pair: Members, ada: User, settings: Any) -> None:
    """Otherwise nobody could start it at all."""
    settings.SWEEP_POINTS_PER_HOUR = 2
    sweep(ada, pair, sweeps.Axes(ranks=[1, 2, 3, 4]))


def test_looking_at_verdicts_is_counted(pair: Members, ada: User, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerdictThrottle, "THROTTLE_RATES", {"verdict": "2/min", "verdict_anon": "1/min"})
    address = "/combine/?with=bob/past"
    assert client.get(address).status_code == 200
    assert client.get("/combine/fit?with=bob/past").status_code == 429
    client.force_login(ada)
    assert [client.get(address).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/combine/").status_code == 200, "nothing is judged there"


def test_a_merge_that_is_tried_again_is_counted(pair: Members, ada: User, settings: Any) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1
    first = services.create_merge(user=ada, name="one", members=pair, method="svd")
    cancel_job(user=ada, job=first)
    services.create_merge(user=ada, name="two", members=pair, method="svd")
    with pytest.raises(TooManyRequests, match="1 merges of yours"):
        retry_job(user=ada, job=first)
