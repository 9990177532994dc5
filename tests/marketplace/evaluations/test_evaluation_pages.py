"""Pages of evaluations: what they say to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, VersionFile
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.reports import report_of
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.suites import make_for_all_bases
from marketplace.jobs.models import Job
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response.content
    return response.content.decode()


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_unknown_is_said_and_is_not_zero(adapter: Adapter, ada: User, client: Client) -> None:
    text = page(client, "/ada/reverse-words")
    assert "Nothing is known yet." in text
    assert "gain-bar" not in text
    evaluate_adapter(adapter)
    assert "Being evaluated" in page(client, "/ada/reverse-words")
    fail_evaluation(Job.objects.get(kind="evaluate"), "It needed more memory than it may have.")
    assert "It could not be evaluated: It needed more memory" in page(client, "/ada/reverse-words")


def test_bars_verdicts_and_the_table(adapter: Adapter, client: Client, run_waiting: RunWaiting) -> None:
    evaluate_adapter(adapter)
    run_waiting()
    for address in ("/ada/reverse-words", "/ada/reverse-words/evaluations"):
        text = page(client, address)
        assert "Better than its base on its own examples." in text
        assert text.count('<svg class="gain-bar ') == 2
        assert "style=" not in text.split('id="measured"')[-1].split("</section>")[0]
        assert "10 examples" in text
    run = EvaluationRun.objects.get(artifact=adapter.current.artifact, suite__kind="examples")
    assert "Token F1" in page(client, "/ada/reverse-words/evaluations")
    shown = page(client, f"/ada/reverse-words/evaluations/{run.pk}")
    assert shown.count('<tr><td class="') == 1, "visitors read the public example alone"
    assert "9 more examples are counted and not shown here." in shown


def test_the_owner_reads_every_example(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    evaluate_adapter(adapter)
    run_waiting()
    run = EvaluationRun.objects.get(artifact=adapter.current.artifact, suite__kind="examples")
    assert page(signed_in(ada), f"/ada/reverse-words/evaluations/{run.pk}").count('<tr><td class="') == 10


def test_the_owner_evaluates_again_and_others_do_not(adapter: Adapter, ada: User, bob: User) -> None:
    assert "Evaluate</button>" not in page(signed_in(bob), "/ada/reverse-words")
    client = signed_in(ada)
    assert "Evaluate</button>" in page(client, "/ada/reverse-words")
    response = client.post("/ada/reverse-words/evaluations/run", {"again": "1"})
    job = Job.objects.get(kind="evaluate")
    assert response["Location"] == f"/jobs/{job.pk}"
    assert signed_in(bob).post("/ada/reverse-words/evaluations/run", {"again": "1"}).status_code == 403


def test_anybody_runs_it_on_a_suite_they_see(
    adapter: Adapter, bob: User, make_person: Any, run_waiting: RunWaiting
) -> None:
    client = signed_in(bob)
    made = client.post(
        "/suites/new", {"name": "Mine", "lines": '{"prompt": "Say it", "expected": "it"}', "visibility": "private"}
    )
    suite = EvaluationSuite.objects.get(owner=bob)
    assert made["Location"] == f"/suites/{suite.pk}"
    assert "Mine" in page(client, "/ada/reverse-words/evaluations")
    assert client.post("/ada/reverse-words/evaluations/run", {"suite": suite.pk})["Location"].startswith("/jobs/")
    run_waiting()
    text = page(client, "/ada/reverse-words/evaluations")
    assert "On other suites" in text
    assert "ada/reverse-words" in page(client, f"/suites/{suite.pk}")
    again = client.post("/ada/reverse-words/evaluations/run", {"suite": suite.pk}, follow=True)
    assert "This was measured before; here it is." in again.content.decode()
    carol = signed_in(make_person("carol"))
    assert "On other suites" not in page(carol, "/ada/reverse-words/evaluations")
    assert carol.post("/ada/reverse-words/evaluations/run", {"suite": suite.pk}).status_code == 404
    run = EvaluationRun.objects.get(suite=suite, artifact=adapter.current.artifact)
    assert carol.get(f"/ada/reverse-words/evaluations/{run.pk}").status_code == 404
    assert "Say it" in page(client, f"/ada/reverse-words/evaluations/{run.pk}")


def test_a_base_has_its_suites_and_reading_makes_none(adapter: Adapter, bob: User) -> None:
    probes = EvaluationSuite.objects.get(base=adapter.base)
    assert (probes.builtin, probes.probe) == ("testbed:plural", True)
    EvaluationSuite.objects.all().delete()
    with CaptureQueriesContext(connection) as asked:
        assert "Run it on a suite" in page(signed_in(bob), "/ada/reverse-words/evaluations")
    assert not [query["sql"] for query in asked if "INSERT" in query["sql"] and "evaluations_" in query["sql"]]
    assert not EvaluationSuite.objects.exists()
    for _ in range(2):
        make_for_all_bases(sender=apps.get_app_config("evaluations"))
        assert EvaluationSuite.objects.get(base=adapter.base).probe


def test_parents_out_of_sight_have_no_names(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User, client: Client, run_waiting: RunWaiting
) -> None:
    secret = make_shipped(ada, "secret", shipped="opposites", visibility="private")
    shown = make_shipped(bob, "shown", shipped="reverse-words")
    evaluate_adapter(make_merge(ada, [secret, shown]))
    run_waiting()
    text = page(client, "/ada/both/evaluations")
    assert "bob/shown" in text
    assert "ada/secret" not in text
    assert "a parent that you may not see" in text
    assert "ada/secret" in page(signed_in(ada), "/ada/both/evaluations")
    answer = client.get("/api/v1/adapters/ada/both/evaluations/").content.decode()
    assert "ada/secret" not in answer
    run = EvaluationRun.objects.get(suite__kind="parents", subject__0__label="ada/both")
    for example in secret.examples.filter(public=False):
        assert example.prompt.splitlines()[-1] not in page(client, f"/ada/both/evaluations/{run.pk}")


def test_versions_are_compared_by_their_answers(
    adapter: Adapter, make_shipped: MakeShipped, ada: User, client: Client, run_waiting: RunWaiting
) -> None:
    evaluate_adapter(adapter)
    before = adapter.current
    other = make_shipped(ada, "other", shipped="opposites")
    version = other.current
    version.adapter, version.parent = adapter, before
    version.save()
    VersionFile.objects.create(version=version, path="adapter_model.safetensors", blob=version.artifact.weights_blob)
    adapter.current = version
    adapter.save()
    assert "Unknown. The two versions were not run" in page(client, "/ada/reverse-words/compare")
    evaluate_adapter(adapter)
    run_waiting()
    text = page(client, "/ada/reverse-words/compare")
    assert "sign test" in text
    assert '<td class="loss">' in text


def test_nobody_fills_the_page_with_suites_of_theirs(adapter: Adapter, ada: User, bob: User) -> None:
    assert adapter.current is not None
    for number in range(12):
        suite = EvaluationSuite.objects.create(
            kind="own", owner=bob, name=f"Number {number}.", visibility="public", sha256=f"{number:064x}", count=9
        )
        EvaluationRun.objects.create(
            key=f"{number:064x}",
            subject_digest="0" * 64,
            artifact=adapter.current.artifact,
            base=adapter.base,
            suite=suite,
            state="failed",
        )
    report = report_of(ada, adapter)
    assert [result.run.suite.name for result in report.others] == [f"Number {number}." for number in range(2, 12)]
    text = page(signed_in(ada), "/ada/reverse-words/evaluations")
    assert text.count('suite of <a href="/bob">bob</a>') == 10
