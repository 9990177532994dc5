"""What merges are run on by themselves: their parents' examples, each as its parent is asked, and beside whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Version
from marketplace.compositions.halves import is_for_fitting
from marketplace.evaluations.current import current_runs, runs_beside
from marketplace.evaluations.examples import numbers_of
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.reports import report_of
from marketplace.evaluations.selectors import lines_of
from marketplace.evaluations.standing import evaluate_adapter, parents_of
from marketplace.evaluations.suites import parent_task, parents_suite
from marketplace.evaluations.verdicts import verdicts_of
from marketplace.jobs.models import Job
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]


def test_a_merge_is_measured_on_its_parents_examples(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User, run_waiting: RunWaiting
) -> None:
    parents = [make_shipped(bob, "reverse-words", examples=8), make_shipped(bob, "opposites", examples=8)]
    evaluate_adapter(make_merge(ada, parents))
    run_waiting()
    standing = Standing.objects.get(adapter__name="both")
    run, *_ = current_runs(standing)
    assert (run.suite.kind, run.suite.count) == ("parents", 16)
    assert set(run.estimates["tasks"]) == {parent_task(parent.pk) for parent in parents}
    beside = runs_beside(run)
    together = "bob/reverse-words | bob/opposites"
    assert {other.label for other in beside} == {"bob/reverse-words", "bob/opposites", together}
    assert [other.is_ensemble for other in beside].count(True) == 1
    assert set(run.differences) == {str(other.pk) for other in beside}
    for other in beside:
        own, theirs = (row.estimates["overall"]["exact_match"]["value"] for row in (run, other))
        assert run.differences[str(other.pk)]["exact_match"]["value"] == pytest.approx(own - theirs)
        assert other.against == run.against
    codes = [verdict.code for verdict in verdicts_of([run], [(other, other.label) for other in beside])]
    assert codes[0] == standing.verdict


def test_a_fitted_merge_is_measured_on_what_it_did_not_learn_from(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User
) -> None:
    """Also where its weights come from its recipe; all other merges are measured on everything."""
    parents = [make_shipped(bob, "reverse-words", examples=8), make_shipped(bob, "opposites", examples=8)]
    merge = make_merge(ada, parents)
    prompts = [example.prompt for parent in parents for example in parent.examples.all()]
    for method, expected in (
        ("lorahub", [prompt for prompt in prompts if not is_for_fitting(prompt)]),
        ("svd", prompts),
    ):
        merge.current.recipe, merge.current.fitted_on_half = {"method": method}, True
        with transaction.atomic():
            suite = parents_suite(merge, parents_of(merge))
        assert suite is not None
        assert [line["prompt"] for line in lines_of(suite)] == expected
        assert 0 < suite.count <= 16
        assert ("did not learn from" in suite.name) == (method == "lorahub")
        assert report_of(ada, merge).caution == ""


def test_a_merge_that_may_have_learned_from_all_says_so(
    make_shipped: MakeShipped, make_merge: Any, ada: User, client: Any
) -> None:
    """From before there were halves, or by a recipe with weights that were found elsewhere."""
    merge = make_merge(ada, [make_shipped(ada, "reverse-words", examples=12)])
    Version.objects.filter(pk=merge.current_id).update(recipe={"method": "lorahub"})
    merge = Adapter.objects.get(pk=merge.pk)
    with transaction.atomic():
        suite = parents_suite(merge, parents_of(merge))
    assert suite is not None
    assert "did not learn from" not in suite.name
    assert "found by LoraHub" in report_of(ada, merge).caution
    evaluate_adapter(merge)
    client.force_login(ada)
    assert "may flatter it" in client.get("/ada/both/evaluations").content.decode()
    assert "may flatter it" in client.get("/api/v1/adapters/ada/both/evaluations/").json()["caution"]


def test_parents_that_are_no_longer_open_are_left_out(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User, run_waiting: RunWaiting
) -> None:
    parents = [make_shipped(bob, "reverse-words"), make_shipped(bob, "opposites", visibility="private")]
    evaluate_adapter(make_merge(ada, parents))
    run_waiting()
    run, *_ = current_runs(Standing.objects.get(adapter__name="both"))
    assert set(run.estimates["tasks"]) == {parent_task(parents[0].pk)}


def test_each_parents_examples_are_asked_in_its_own_format(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User, run_waiting: RunWaiting
) -> None:
    """Of one bytes' copy under another format nothing else differs, so what each example was asked in shows."""
    parents = [make_shipped(bob, "reverse-words", examples=4), make_shipped(bob, "opposites", examples=4)]
    first, second = (parent.current for parent in parents)
    assert first is not None
    assert second is not None
    formats = {first.adapter_id: first.prompt_format, second.adapter_id: {"kind": "plain", "template": "{prompt} ??"}}
    second.prompt_format = formats[second.adapter_id]
    second.save()
    merge = make_merge(ada, parents)
    assert merge.current.prompt_format == first.prompt_format
    evaluate_adapter(merge)
    asked = list(lines_of(EvaluationSuite.objects.get(adapter=merge)))
    assert [line.get("prompt_format", {}).get("template") for line in asked] == [None] * 4 + ["{prompt} ??"] * 4
    run_waiting()
    run, *_ = current_runs(Standing.objects.get(adapter=merge))
    alone = evaluate_adapter(parents[1])
    run_waiting()
    by_itself = {one.prompt: one.answer for one in numbers_of(EvaluationRun.objects.get(pk=alone[0].pk))}
    beside = next(other for other in runs_beside(run) if other.label == "bob/opposites")
    theirs = [one for one in numbers_of(beside) if one.task == parent_task(parents[1].pk)]
    assert {one.prompt: one.answer for one in theirs} == by_itself, "asked as on its own page"
    bare = {one.prompt: one.answer for one in numbers_of(run.against)}
    assert {prompt: bare[prompt] for prompt in by_itself} == {
        one.prompt: one.answer for one in numbers_of(EvaluationRun.objects.get(pk=alone[0].pk).against)
    }, "and so is the bare base"


def test_another_format_of_the_merge_changes_nothing_for_its_parents(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User
) -> None:
    parents = [make_shipped(bob, "reverse-words", examples=2)]
    merge = make_merge(ada, parents)
    evaluate_adapter(merge)
    merge.current.prompt_format = {"kind": "plain", "template": "{prompt} !!"}
    merge.current.save()
    runs = evaluate_adapter(merge)
    suite = next(run.suite for run in runs if run.suite.kind == "parents")
    stated = {line["prompt_format"]["template"] for line in lines_of(suite)}
    assert stated == {parents[0].current.prompt_format["template"]}
