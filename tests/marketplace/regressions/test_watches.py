"""Watching adapters and mixes: schedules, checks by the engine itself, and who is told what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.compositions import mixes
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_runs import evaluate_changed, evaluate_mix, results_of, runs_of_mix
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.evaluations.models import EvaluationRun
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from marketplace.moderation.services import decide
from marketplace.notifications.models import Notification
from marketplace.regressions import services
from marketplace.regressions.models import Check, Watch
from marketplace.regressions.services import due, start_due, unwatch, watch
from marketplace.regressions.settling import settle_ended
from marketplace.regressions.tasks import check_regressions
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


def later() -> None:
    """The next time of every watch has come."""
    Watch.objects.update(next_at=timezone.now() - timedelta(seconds=1))


def checked(run_waiting: RunWaiting) -> list[Check]:
    """One round: start, run, judge; its checks, the adapter's examples before the probes."""
    last = Check.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    assert start_due() == 1
    run_waiting()
    settle_ended()
    return list(Check.objects.filter(pk__gt=last).order_by("pk"))


def test_the_first_results_are_kept_and_nobody_is_told(adapter: Adapter, bob: User, run_waiting: RunWaiting) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    examples, probes = checked(run_waiting)
    assert (examples.reason, examples.outcome, probes.outcome) == ("first", "first", "first")
    row.refresh_from_db()
    assert row.next_at > timezone.now() + timedelta(hours=23)
    assert (row.seen_engine, row.base and row.base.name) == (services.engine(), "wordsmith-v1")
    assert not due().exists()
    assert Notification.objects.count() == 0
    assert AuditEntry.objects.get(action="watch.set").target == "ada/reverse-words"


def test_the_same_again_is_measured_anew_and_within(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    watch(user=ada, subject=adapter, every="weekly")
    first = checked(run_waiting)
    later()
    second = checked(run_waiting)
    assert [check.outcome for check in second] == ["within", "within"]
    assert [check.reason for check in second] == ["schedule", "schedule"]
    assert {check.run_id for check in second}.isdisjoint(check.run_id for check in first), "no answer from the cache"
    assert {check.run.against_id for check in second}.isdisjoint(check.run.against_id for check in first), (
        "nor the base"
    )
    assert second[0].before_id == first[0].run_id
    assert second[0].difference is not None
    assert (second[0].difference["value"], second[0].difference["n"]) == (0.0, 10)


def test_a_version_that_answers_otherwise_is_told_with_numbers(
    adapter: Adapter, bob: User, make_shipped: MakeShipped, run_waiting: RunWaiting, client: Client
) -> None:
    row = watch(user=bob, subject=adapter, every="daily")
    checked(run_waiting)
    # Its next version holds another adapter's weights, which do not know this task.
    other = make_shipped(bob, "opposites", examples=0)
    version, foreign = adapter.current, other.current
    assert version is not None
    assert foreign is not None
    version.artifact = foreign.artifact
    version.save()
    later()
    examples = checked(run_waiting)[0]
    assert (examples.outcome, examples.metric) == ("worse", "exact_match")
    told = Notification.objects.get(user=bob, title__contains="worse than before on Examples")
    assert told.address == f"/watches/{row.pk}#check-{examples.pk}"
    assert examples.before is not None
    was = examples.before.estimates["overall"]["exact_match"]["value"]
    assert f"Exact match {round(100 * was)} % before, " in told.text
    assert "10 pairs" in told.text
    assert "Another version of it runs now." in told.text
    client.force_login(bob)
    page = client.get(f"/watches/{row.pk}").content.decode()
    assert "worse than before" in page
    assert f'id="check-{examples.pk}"' in page, "the notification leads to its result"
    assert "10 pairs" in page
    shown = client.get(f"/api/v1/watches/{row.pk}/").json()["checks"]
    assert {check["outcome"] for check in shown} >= {"first", "worse"}


def test_another_revision_of_the_base_is_due_at_once(
    adapter: Adapter, base: Base, ada: User, run_waiting: RunWaiting
) -> None:
    watch(user=ada, subject=adapter, every="weekly")
    first = checked(run_waiting)
    Base.objects.filter(pk=base.pk).update(revision="two", state=Base.State.PENDING)
    assert not due().exists(), "a base that is being read cannot be run on"
    Base.objects.filter(pk=base.pk).update(state=Base.State.READY)
    second = checked(run_waiting)
    assert {check.reason for check in second} == {"base"}
    assert second[0].run.key != first[0].run.key
    assert second[0].run.against_id != first[0].run.against_id, "the bare base was another one, too"
    assert not due().exists()


def test_another_engine_is_due_at_once(
    adapter: Adapter, ada: User, run_waiting: RunWaiting, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(user=ada, subject=adapter, every="weekly")
    first = checked(run_waiting)
    settings.VERSION = "0.2.0"
    monkeypatch.setattr("marketplace.evaluations.services.ENGINE_VERSION", 2)
    second = checked(run_waiting)
    assert {check.reason for check in second} == {"engine"}
    assert second[0].run.key != first[0].run.key
    assert not due().exists()


def test_mixes_are_evaluated_and_watched(
    adapter: Adapter, make_shipped: MakeShipped, ada: User, bob: User, run_waiting: RunWaiting, client: Client
) -> None:
    other = make_shipped(bob, "opposites")
    mix = mixes.create_mix(
        user=ada, name="both", members=[Choice(adapter, 0.5), Choice(other, 0.5)], visibility="public"
    )
    assert len(evaluate_mix(user=ada, mix=mix)) == 3
    run_waiting()
    results = results_of(runs_of_mix(user=bob, mix=mix))
    assert [result.run.suite.probe for result in results] == [False, False, True]
    assert all(result.value and result.base and result.difference for result in results)
    page = client.get("/mix/ada/both").content.decode()
    assert "Examples of ada/reverse-words" in page
    assert len(client.get("/api/v1/mixes/ada/both/evaluations/").json()) == 3

    watch(user=bob, subject=mix, every="daily")
    assert [check.outcome for check in checked(run_waiting)] == ["first"] * 3
    Adapter.objects.filter(pk=other.pk).update(moderation="quarantined")
    later()
    assert start_due() == 0
    row = Watch.objects.get()
    assert "bob/opposites is no longer yours to use" in row.fault or "cannot be used" in row.fault
    assert Notification.objects.get(user=bob).title == "mix/ada/both could not be evaluated"
    later()
    start_due()
    assert Notification.objects.count() == 1, "said once"
    assert runs_of_mix(user=ada, mix=mix) == []


def test_mixes_that_changed_are_evaluated_by_themselves(
    adapter: Adapter, make_shipped: MakeShipped, ada: User, settings: Any
) -> None:
    mix = mixes.create_mix(user=ada, name="one", members=[Choice(adapter, 0.5)])
    assert evaluate_changed() == 0, "nobody wants it here"
    settings.EVALUATE_UPLOADS = True
    assert evaluate_changed() == 1
    waiting = EvaluationRun.objects.filter(state="waiting", subject__0__weight=0.5)
    assert waiting.count() == 2
    assert evaluate_changed() == 1
    assert waiting.count() == 2, "once for what it is now"
    # A member that is followed has another version.
    version, other = adapter.current, make_shipped(ada, "opposites").current
    assert version is not None
    assert other is not None
    version.artifact = other.artifact
    version.save()
    evaluate_changed()
    assert waiting.count() == 4
    Adapter.objects.filter(pk=adapter.pk).update(deleted_at=timezone.now())
    evaluate_changed()
    mix.refresh_from_db()
    assert mix.looked_at is not None


def test_a_check_waits_for_its_runs(adapter: Adapter, ada: User) -> None:
    watch(user=ada, subject=adapter, every="daily")
    assert check_regressions() == [0, 1]
    later()
    assert check_regressions() == [0, 0], "one at a time"
    EvaluationRun.objects.filter(state="waiting").update(state="failed", fault="It ran out of memory.")
    assert check_regressions() == [2, 1]
    assert set(Check.objects.filter(settled_at__isnull=False).values_list("outcome", flat=True)) == {"failed"}
    assert Notification.objects.filter(user=ada, text="It ran out of memory.").count() == 2


def test_who_watches_what(adapter: Adapter, ada: User, bob: User, settings: Any, make_shipped: MakeShipped) -> None:
    row = watch(user=ada, subject=adapter, every="daily")
    assert watch(user=ada, subject=adapter, every="weekly").pk == row.pk
    assert Watch.objects.get().every == "weekly"
    with pytest.raises(Invalid, match="daily or weekly"):
        watch(user=ada, subject=adapter, every="hourly")
    with pytest.raises(Forbidden):
        unwatch(user=bob, row=row)
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    with pytest.raises(NotFound):
        watch(user=bob, subject=Adapter.objects.get(pk=adapter.pk), every="daily")
    settings.REGRESSION_MAX_WATCHES = 1
    with pytest.raises(Conflict, match="already"):
        watch(user=ada, subject=make_shipped(ada, "opposites"), every="daily")
    User.objects.filter(pk=ada.pk).update(closing_at=timezone.now())
    assert not due().exists()
    unwatch(user=ada, row=row)
    assert not Watch.objects.exists()


def test_a_watch_says_that_its_adapter_is_in_quarantine(
    adapter: Adapter, ada: User, bob: User, client: Client, moderator: User
) -> None:
    """To its owner; others learn that it is out of their reach, as everywhere."""
    own, other = watch(user=ada, subject=adapter, every="daily"), watch(user=bob, subject=adapter, every="daily")
    decide(moderator=moderator, adapter=adapter, action="quarantine", reason="Copied.")
    client.force_login(ada)
    assert "put it in quarantine" in client.get(f"/watches/{own.pk}").content.decode()
    assert "In quarantine" in client.get("/watches/").content.decode()
    client.force_login(bob)
    page = client.get(f"/watches/{other.pk}").content.decode() + client.get("/watches/").content.decode()
    assert "not yours to use" in page
    assert "quarantine" not in page


def test_pages_and_rest(adapter: Adapter, ada: User, bob: User, client: Client) -> None:
    client.force_login(bob)
    page = client.get("/ada/reverse-words").content.decode()
    assert "Re-evaluate regularly" in page
    done = client.post("/watches/set", {"subject": "ada/reverse-words", "every": "weekly"})
    assert done.headers["Location"] == "/ada/reverse-words"
    assert "ada/reverse-words" in client.get("/watches/").content.decode()
    client.post("/watches/set", {"subject": "ada/reverse-words", "every": ""})
    assert not Watch.objects.exists()
    assert client.post("/watches/set", {"subject": "nobody/x", "every": "daily"}).headers["Location"] == "/watches/"

    made = client.post(
        "/api/v1/watches/", {"subject": "ada/reverse-words", "every": "daily"}, content_type="application/json"
    )
    assert (made.status_code, made.json()["every"]) == (201, "daily")
    key = made.json()["id"]
    assert [row["id"] for row in client.get("/api/v1/watches/").json()["results"]] == [key]
    client.force_login(ada)
    assert client.get(f"/api/v1/watches/{key}/").status_code == 404
    client.force_login(bob)
    assert client.delete(f"/api/v1/watches/{key}/").status_code == 204
