"""Examples in REST: of suites, of runs and of two versions, as far as the asker may read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.suite_services import create_suite
from marketplace.jobs.models import Job
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]


def read(client: Client, address: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{address}" if address.startswith("/") else address)
    assert answer.status_code == status, answer.content
    return answer.json()


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_a_suite_is_read_by_pages_by_whoever_may_see_it(ada: User, bob: User, client: Client) -> None:
    lines = [{"prompt": f"Say {place}", "expected": str(place), "task": "say"} for place in range(5)]
    suite = create_suite(user=ada, name="Mine", lines="\n".join(json.dumps(line) for line in lines))
    address: str | None = f"/suites/{suite.pk}/examples/?limit=2"
    found = []
    while address:
        page = read(signed_in(ada), address)
        found.append([row["prompt"] for row in page["results"]])
        address = page["next"]
    assert found == [["Say 0", "Say 1"], ["Say 2", "Say 3"], ["Say 4"]]
    assert page["results"] == [{"prompt": "Say 4", "expected": ["4"], "task": "say", "cluster": ""}]
    for person in (client, signed_in(bob)):
        assert read(person, f"/suites/{suite.pk}/examples/", 404)["code"] == "not_found"
    for cursor in ("-1", "x", "9" * 30, "²"):
        assert "cursor" in read(signed_in(ada), f"/suites/{suite.pk}/examples/?cursor={cursor}", 400)["extra"]["fields"]
    assert read(signed_in(ada), f"/suites/{suite.pk}/examples/?cursor=77")["results"] == []


def test_runs_and_versions_say_what_their_pages_say(
    make_shipped: MakeShipped, ada: User, bob: User, client: Client, run_waiting: RunWaiting
) -> None:
    adapter: Adapter = make_shipped(ada, "reverse-words")
    evaluate_adapter(adapter)
    run_waiting()
    before = adapter.current
    assert before is not None
    run = EvaluationRun.objects.get(artifact=before.artifact, suite__kind="examples")
    address = f"/adapters/ada/reverse-words/evaluations/{run.pk}/"
    own = read(signed_in(ada), f"{address}?limit=4")
    assert (len(own["results"]), own["not_shown"], own["state"], own["suite"]["kind"]) == (4, 0, "measured", "examples")
    assert own["counts"]["wins"] + own["counts"]["losses"] + own["counts"]["same"] == 10
    assert own["counts"]["wins"] >= 8
    assert own["results"][-1]["after"]["exact_match"] == 1.0
    assert len(read(signed_in(ada), own["next"])["results"]) == 4
    public = read(client, address)
    assert (len(public["results"]), public["not_shown"], public["next"]) == (1, 9, None)
    assert public["counts"] == own["counts"], "counted for everybody"

    compared = "/adapters/ada/reverse-words/evaluations/compared/"
    assert read(client, compared, 404)["message"].startswith("ada/reverse-words has no version before")
    version = make_shipped(ada, "other", shipped="opposites").current
    assert version is not None
    version.adapter, version.parent = adapter, before
    version.save()
    adapter.current = version
    adapter.save()
    assert read(client, compared)["suites"] == []
    evaluate_adapter(adapter)
    run_waiting()
    (examples, *_) = read(client, compared)["suites"]
    assert (examples["suite"]["kind"], examples["before"]) == ("examples", str(run.pk))
    assert examples["counts"]["losses"] >= 8
    assert examples["counts"]["chance"] < 0.05
    assert (len(examples["examples"]), examples["not_shown"]) == (1, 9)
    (own_examples, *_) = read(signed_in(ada), compared)["suites"]
    assert [row["change"] for row in own_examples["examples"]][:8] == ["loss"] * 8
    backwards = read(client, f"{compared}?from={version.commit}&to={before.commit}")
    assert backwards["suites"][0]["counts"]["wins"] == examples["counts"]["losses"]
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    assert read(signed_in(bob), address, 404)
    assert read(signed_in(bob), compared, 404)
