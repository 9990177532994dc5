"""Slow changes against a reference, and watches of what their owners may no longer use."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, Forbidden
from marketplace.core.redis import redis_client
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.notifications.models import Notification
from marketplace.notifications.services import write_letter
from marketplace.regressions import services
from marketplace.regressions.models import Check, Watch
from marketplace.regressions.services import due, start_due, take_reference, unwatch, watch
from marketplace.regressions.settling import sentence_of, settle_ended
from tests.marketplace.evaluations.conftest import MakeShipped
from tests.marketplace.regressions.test_comparing import measured_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


@pytest.fixture
def suite(db: None) -> EvaluationSuite:
    return EvaluationSuite.objects.create(name="Probes", builtin="testbed:plural", count=8)


def _check(row: Watch, run: EvaluationRun) -> Check:
    """What a check of ``run`` amounts to, as the clock makes and judges it."""
    made = Check.objects.create(
        watch=row,
        suite=run.suite,
        run=run,
        before=services._before(row, run),
        reference=services._reference(row, run),
        reason=Check.Reason.SCHEDULE,
    )
    assert settle_ended() == 1
    made.refresh_from_db()
    return made


def test_slow_decay_is_told_once_against_the_reference(
    adapter: Adapter, base: Base, suite: EvaluationSuite, bob: User, client: Client
) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    found = [_check(row, measured_run(base, suite, [1.0] * right + [0.0] * (60 - right))) for right in (50, 46, 42, 40)]
    assert [check.outcome for check in found] == ["first", "within", "within", "within"]
    assert [check.since for check in found] == ["", "within", "worse", "worse"]
    assert {check.reference_id for check in found[1:]} == {found[0].run_id}
    told = Notification.objects.get(user=bob)
    assert told.title == "ada/reverse-words is worse than its reference on Probes"
    assert "−13.3 points" in told.text
    client.force_login(bob)
    assert "worse than its reference" in client.get(f"/watches/{row.pk}").content.decode()

    client.post(f"/watches/{row.pk}/reference")
    after = _check(row, measured_run(base, suite, [1.0] * 40 + [0.0] * 20))
    assert (after.reference_id, after.since) == (found[-1].run_id, "within")
    assert client.post(f"/api/v1/watches/{row.pk}/").json()["checks"][0]["taken_at"]
    shown = client.get(f"/api/v1/watches/{row.pk}/").json()["checks"]
    assert [check["since"] for check in shown] == ["within", "worse", "worse", "within", ""]


def test_every_result_has_its_letter_also_while_the_one_before_is_unread(
    adapter: Adapter, base: Base, suite: EvaluationSuite, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    for right in (60, 40, 20):
        with django_capture_on_commit_callbacks(execute=True):
            _check(row, measured_run(base, suite, [1.0] * right + [0.0] * (60 - right)))
    settle_ended()
    waiting = [json.loads(message)["headers"] for message in redis_client().lrange("marketplace", 0, -1)]
    assert [headers["task"] for headers in waiting] == ["marketplace.mail_notification"] * 2
    for told in Notification.objects.filter(user=bob, read_at=None).order_by("pk"):
        assert write_letter(told.pk)
        assert not write_letter(told.pk), "and only one"
    first, second = (letter.body for letter in mail.outbox)
    assert "Exact match 100 % before, 66.7 % now: −33.3 points" in first
    assert "Exact match 66.7 % before, 33.3 % now: −33.4 points" in second
    assert first.count("/watches/") == 1


def test_who_takes_a_reference(adapter: Adapter, ada: User, bob: User) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    with pytest.raises(Conflict, match="no result yet"):
        take_reference(user=bob, row=row)
    with pytest.raises(Forbidden):
        take_reference(user=ada, row=row)


def test_what_was_made_private_and_renamed_keeps_its_new_name_and_numbers(
    adapter: Adapter, base: Base, suite: EvaluationSuite, bob: User, client: Client
) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    _check(row, measured_run(base, suite, [1.0] * 40))
    waiting = measured_run(base, suite, [0.0] * 40)
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private", name="secret-plan")
    late = _check(row, waiting)
    assert (late.outcome, late.metric, late.difference) == ("failed", "", None)
    assert sentence_of(late) == ""
    Watch.objects.update(next_at=timezone.now())
    assert start_due() == 0

    client.force_login(bob)
    pages = [client.get(f"/watches/{row.pk}").content.decode(), client.get("/watches/").content.decode()]
    told = [f"{row.title} {row.text}" for row in Notification.objects.filter(user=bob)]
    assert len(told) == 2
    for words in (*pages, *told, client.get(f"/api/v1/watches/{row.pk}/").content.decode()):
        assert "secret-plan" not in words
        assert "ada/reverse-words" in words
    assert "Its page" not in pages[0]
    assert client.post(f"/watches/{row.pk}/stop").headers["Location"] == "/watches/"
    assert "ada/reverse-words" not in client.get("/api/v1/watches/").content.decode()


def test_the_name_follows_while_it_may_be_used(adapter: Adapter, bob: User) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    Adapter.objects.filter(pk=adapter.pk).update(name="renamed")
    assert start_due() == 1
    row.refresh_from_db()
    assert row.label == "ada/renamed"


def test_stopping_and_starting_again_brings_no_check_nearer(adapter: Adapter, bob: User) -> None:
    row = watch(user=bob, subject=adapter, every="weekly")
    assert start_due() == 1
    row.refresh_from_db()
    unwatch(user=bob, row=row)
    Check.objects.all().delete()
    assert not due().exists()
    again = watch(user=bob, subject=adapter, every="weekly")
    assert (again.pk, again.next_at) == (row.pk, row.next_at)
    assert start_due() == 0
    unwatch(user=bob, row=again)
    Watch.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    assert start_due() == 0
    assert not Watch.objects.exists(), "forgotten when its time has come"


def test_what_is_refused_after_a_change_waits_for_its_next_time(adapter: Adapter, base: Base, bob: User) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    start_due()
    Check.objects.all().delete()
    Base.objects.filter(pk=base.pk).update(revision="two")
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    assert list(due()) == [row]
    assert start_due() == 0
    assert not due().exists(), "not at every tick"
    Adapter.objects.filter(pk=adapter.pk).update(visibility="public")
    Watch.objects.update(next_at=timezone.now())
    assert start_due() == 1
    assert set(Check.objects.values_list("reason", flat=True)) == {"base"}
