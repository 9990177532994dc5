"""Owners hide results on people's suites, and nothing that every adapter is run on."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Collaborator
from marketplace.core.errors import Conflict, Forbidden, NotFound
from marketplace.evaluations.asking import ask_for_evaluation
from marketplace.evaluations.current import refresh_standing
from marketplace.evaluations.hiding import hide_result, show_result
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, HiddenResult, Standing
from marketplace.evaluations.reports import report_of
from marketplace.evaluations.selectors import get_run
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.suite_services import create_suite
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]
LINES = '{"prompt": "Instruction: Reverse the list.\\\\nInput: a b", "expected": "b a"}'
ADDRESS = "/api/v1/adapters/ada/reverse-words/evaluations/"


@pytest.fixture
def suite(bob: User) -> EvaluationSuite:
    return create_suite(user=bob, name="Hard cases", lines=LINES, visibility="public")


@pytest.fixture
def adapter(
    make_shipped: MakeShipped, ada: User, bob: User, suite: EvaluationSuite, run_waiting: RunWaiting
) -> Adapter:
    """Ada's, measured by itself, and by Bob on his suite."""
    made = make_shipped(ada, "reverse-words")
    evaluate_adapter(made)
    ask_for_evaluation(user=bob, adapter=made, suite_id=suite.pk)
    run_waiting()
    return made


def test_only_authors_moderators_and_the_suites_owner_see_it(
    adapter: Adapter, suite: EvaluationSuite, ada: User, bob: User, make_person: Callable[..., User], client: Client
) -> None:
    writer, stranger = make_person("wim"), make_person("eve")
    admin = make_person("root", is_superuser=True, is_staff=True)
    Collaborator.objects.create(adapter=adapter, user=writer, role="write", added_by=ada)
    run = EvaluationRun.objects.get(suite=suite, artifact__isnull=False)
    assert [result.run for result in report_of(stranger, adapter).others] == [run]
    hide_result(user=ada, adapter=adapter, suite_id=suite.pk)
    hide_result(user=ada, adapter=adapter, suite_id=suite.pk)
    for person in (ada, writer, bob, admin):
        (shown,) = report_of(person, adapter).others
        assert (shown.run, shown.hidden, report_of(person, adapter).kept_back) == (run, True, 0), person
        assert get_run(user=person, adapter=adapter, run_id=run.pk) == run
    report = report_of(stranger, adapter)
    assert (report.others, report.kept_back, len(report.results)) == ((), 1, 2)
    with pytest.raises(NotFound):
        get_run(user=stranger, adapter=adapter, run_id=run.pk)
    with pytest.raises(Conflict, match="hides its results"):
        ask_for_evaluation(user=stranger, adapter=adapter, suite_id=suite.pk)
    entry = AuditEntry.objects.get(action="evaluation.hide")
    assert (entry.actor, entry.target, entry.detail["name"]) == (ada, "ada/reverse-words", "Hard cases")
    show_result(user=ada, adapter=adapter, suite_id=suite.pk)
    show_result(user=ada, adapter=adapter, suite_id=suite.pk)
    assert [(row.run, row.hidden) for row in report_of(stranger, adapter).others] == [(run, False)]
    assert AuditEntry.objects.filter(action="evaluation.show").count() == 1
    assert EvaluationRun.objects.filter(pk=run.pk).exists(), "nothing is deleted"


def test_the_base_and_own_examples_are_not_chosen_from(
    adapter: Adapter, suite: EvaluationSuite, ada: User, bob: User
) -> None:
    for kind in ("builtin", "examples"):
        own = EvaluationSuite.objects.get(kind=kind)
        with pytest.raises(Conflict, match="cannot be hidden"):
            hide_result(user=ada, adapter=adapter, suite_id=own.pk)
    hide_result(user=ada, adapter=adapter, suite_id=suite.pk)
    # An operator makes the suite the base's probes: what was hidden of it is hidden no more.
    EvaluationSuite.objects.filter(probe=True).update(probe=False)
    EvaluationSuite.objects.filter(pk=suite.pk).update(probe=True)
    assert not report_of(bob, adapter).others[0].hidden
    with pytest.raises(Conflict, match="cannot be hidden"):
        hide_result(user=ada, adapter=adapter, suite_id=suite.pk)


def test_verdict_and_gain_rest_on_nobodys_suite(adapter: Adapter, suite: EvaluationSuite, ada: User) -> None:
    def standing() -> tuple[object, ...]:
        row = Standing.objects.get(adapter=adapter)
        refresh_standing(row)
        return row.verdict, row.gain, row.gain_low, row.forgets

    before = standing()
    assert before[0] == "better"
    EvaluationRun.objects.filter(suite=suite).update(
        difference={"exact_match": {"value": -1.0, "low": -1.0, "high": -1.0, "n": 500, "wins": 0, "losses": 500}}
    )
    assert standing() == before
    hide_result(user=ada, adapter=adapter, suite_id=suite.pk)
    assert standing() == before


def test_who_may_hide_what(
    adapter: Adapter, suite: EvaluationSuite, ada: User, bob: User, make_shipped: MakeShipped
) -> None:
    Collaborator.objects.create(adapter=adapter, user=bob, role="write", added_by=ada)
    with pytest.raises(Forbidden):
        hide_result(user=bob, adapter=adapter, suite_id=suite.pk)
    with pytest.raises(Forbidden):
        show_result(user=bob, adapter=adapter, suite_id=suite.pk)
    other = make_shipped(ada, "opposites")
    with pytest.raises(Conflict, match="was not run on Hard cases"):
        hide_result(user=ada, adapter=other, suite_id=suite.pk)
    private = create_suite(user=bob, name="Mine", lines=LINES)
    for unseen in (private.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            hide_result(user=ada, adapter=adapter, suite_id=unseen)


def test_pages(adapter: Adapter, suite: EvaluationSuite, ada: User, bob: User, client: Client) -> None:
    page = "/ada/reverse-words/evaluations"
    run = EvaluationRun.objects.get(suite=suite, artifact__isnull=False)
    assert "Hide it" not in client.get(page).content.decode()
    client.force_login(ada)
    assert client.get(page).content.decode().count("Hide it") == 1, "of Bob's suite alone"
    answer = client.post(f"{page}/hidden", {"suite": str(suite.pk), "hidden": "1"}, follow=True).content.decode()
    assert "It is hidden." in answer
    assert '<span class="tag">hidden</span>' in answer
    assert "Show it again" in answer
    assert "Say which" in client.post(f"{page}/hidden", {"suite": "x"}, follow=True).content.decode()
    client.force_login(bob)
    assert f"{page}/{run.pk}" in client.get(f"/suites/{suite.pk}").content.decode()
    client.logout()
    seen = client.get(page).content.decode()
    assert "Hard cases" not in seen
    assert "1 result on people’s own suites is hidden by the owner." in seen
    assert client.get(f"{page}/{run.pk}").status_code == 404
    board = client.get(f"/suites/{suite.pk}").content.decode()
    assert "ada/reverse-words" in board, "the suite's page is its owner's"
    assert str(run.pk) not in board
    client.force_login(ada)
    client.post(f"{page}/hidden", {"suite": str(suite.pk)})
    assert not HiddenResult.objects.exists()


def test_rest(adapter: Adapter, suite: EvaluationSuite, ada: User, bob: User, client: Client) -> None:
    address = f"{ADDRESS}hidden/{suite.pk}/"
    assert client.put(address).status_code == 401
    client.force_login(bob)
    assert client.put(address).status_code == 403
    client.force_login(ada)
    builtin = EvaluationSuite.objects.get(kind="builtin")
    refused = client.put(f"{ADDRESS}hidden/{builtin.pk}/")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_hideable")
    assert client.put(address).status_code == 204
    rows = {row["suite"]["name"]: row["hidden"] for row in client.get(ADDRESS).json()["evaluations"]}
    assert rows["Hard cases"]
    assert sum(rows.values()) == 1
    client.logout()
    report = client.get(ADDRESS).json()
    assert (report["kept_back"], len(report["evaluations"])) == (1, 2)
    client.force_login(ada)
    assert client.delete(address).status_code == 204
    client.logout()
    assert client.get(ADDRESS).json()["kept_back"] == 0
