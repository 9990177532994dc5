"""Which run speaks of an adapter: the one of what it is now, whoever measured what else, and whenever."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference_worker.contracts.common import OutputFile
from inference_worker.contracts.evaluate import Comparison, EvaluateRequest, EvaluateResult
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import edit_adapter
from marketplace.bases.models import Base
from marketplace.core.store import blob_store
from marketplace.evaluations.current import current_runs
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.reports import report_of
from marketplace.evaluations.retention import prune_runs
from marketplace.evaluations.selectors import runs_on
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.jobs.models import Job
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation, report

pytestmark = pytest.mark.django_db
Answer = Callable[[], int]
#: Nobody has learned to answer after these words.
ODD = {"kind": "plain", "template": "{prompt}\nSay nothing at all:", "stop": ["\n"]}
COUNT = 20


def numbers(value: float) -> dict[str, dict[str, Any]]:
    """Of twenty examples that all score the same."""
    one = {"value": value, "low": value, "high": value, "n": COUNT}
    return {"exact_match": one, "token_f1": one}


def answered(request: EvaluateRequest) -> EvaluateResult:
    """What a worker reports where nothing is right of what is asked in the odd way, of everything else all but what the
    bare base is asked."""
    common = {"suite": "s", "suite_digest": "d", "base": "b", "composition": [], "settings": request.settings}
    common |= {"tasks": {}, "clusters": {}, "outcomes": [], "cached": 0, "seconds": 1.0}
    common |= {"prompt_tokens": 1, "completion_tokens": 1}
    odd = [suite.prompt_format is None or "nothing" in suite.prompt_format.template for suite in request.suites]
    found = [
        {**common, "overall": numbers(0.0 if asked_oddly or not composition else 1.0)}
        for asked_oddly in odd
        for composition in request.compositions
    ]
    compared = []
    for number, asked_oddly in enumerate(odd):
        for before, after in request.compare:
            gain = 1.0 if before == 0 and not asked_oddly else 0.0
            more = {"wins": round(gain * COUNT), "losses": 0, "same_answers": 0}
            differences = {metric: {**row, **more} for metric, row in numbers(gain).items()}
            compared.append(Comparison(suite=number, before=before, after=after, differences=differences))
    info = blob_store().put_bytes(json.dumps([str(number) for number in range(len(found))]).encode())
    return EvaluateResult.model_validate(
        {
            "evaluations": found,
            "outcomes": OutputFile(path="outcomes.json", sha256=info.sha256, git_sha1=info.git_sha1, size=info.size),
            "comparisons": compared,
            "seconds": 1.0,
        }
    )


@pytest.fixture
def answer() -> Answer:
    """End every evaluation that waits; how many there were."""

    def run() -> int:
        jobs = list(Job.objects.filter(kind="evaluate", state=Job.State.QUEUED).order_by("created_at"))
        for job in jobs:
            result = answered(EvaluateRequest.model_validate(job.request))
            report(job, status="succeeded", result=result.model_dump(mode="json"))
        return len(jobs)

    return run


def said(adapter: Adapter, reader: User) -> dict[str, Any]:
    """Everything that is shown of an adapter by its runs."""
    row = Standing.objects.get(adapter=adapter)
    probes = EvaluationSuite.objects.get(probe=True)
    report = report_of(reader, adapter)
    return {
        "standing": (row.verdict, row.gain, row.gain_low, row.forgets, row.tries, row.digest),
        "current": [run.pk for run in current_runs(row)],
        "page": [result.run.pk for result in report.results],
        "verdicts": [(verdict.code, verdict.message) for verdict in report.verdicts],
        "probes": [run.pk for run, other in runs_on(reader, probes, limit=9) if other == adapter],
    }


@pytest.mark.parametrize("fails", [False, True])
def test_a_strangers_merge_says_nothing_of_its_parents(
    make_shipped: MakeShipped, make_merge: Any, ada: User, bob: User, answer: Answer, fails: bool
) -> None:
    parents = [make_shipped(ada, "plural-nouns"), make_shipped(ada, "opposites")]
    for parent in parents:
        evaluate_adapter(parent)
    answer()
    before = [said(parent, ada) for parent in parents]
    assert all(before[0].values())
    merge = make_merge(bob, parents)
    Adapter.objects.filter(pk=merge.pk).update(visibility="private")
    merge.current.prompt_format = ODD
    merge.current.save()
    evaluate_adapter(merge)
    if fails:
        fail_evaluation(Job.objects.get(kind="evaluate", state="queued"))
    else:
        answer()
    asked = EvaluationRun.objects.filter(artifact=parents[0].current.artifact, prompt_format__template=ODD["template"])
    assert asked.exists()
    assert [said(parent, ada) for parent in parents] == before


def test_what_was_taken_back_is_no_verdict(make_shipped: MakeShipped, ada: User, answer: Answer) -> None:
    adapter = make_shipped(ada, "plural-nouns")
    good = adapter.current.prompt_format
    evaluate_adapter(adapter)
    answer()
    before = said(adapter, ada)
    edit_adapter(user=ada, adapter=adapter, prompt_format=ODD)
    evaluate_adapter(adapter)
    assert said(adapter, ada)["standing"][:4] == ("", None, None, None), "the way it is asked now was not measured yet"
    answer()
    assert said(adapter, ada)["current"] != before["current"]
    edit_adapter(user=ada, adapter=adapter, prompt_format=good)
    evaluate_adapter(adapter)
    assert answer() == 0, "it is known"
    assert said(adapter, ada) == before


def test_a_base_that_goes_back_is_measured_as_before(
    make_shipped: MakeShipped, ada: User, base: Base, answer: Answer
) -> None:
    adapter = make_shipped(ada, "plural-nouns")
    evaluate_adapter(adapter)
    answer()
    before = said(adapter, ada)
    for revision in ("two", base.revision):
        Base.objects.filter(pk=base.pk).update(revision=revision)
        evaluate_adapter(adapter)
        assert answer() == (revision == "two")
        assert (said(adapter, ada) == before) == (revision == base.revision)


def test_what_counts_is_never_pruned(make_shipped: MakeShipped, ada: User, answer: Answer) -> None:
    """Also where it is the oldest of all: several ways to ask were tried after it, and taken back."""
    adapter = make_shipped(ada, "plural-nouns")
    good = adapter.current.prompt_format
    evaluate_adapter(adapter)
    answer()
    before = said(adapter, ada)
    for number in range(3):
        edit_adapter(user=ada, adapter=adapter, prompt_format={**ODD, "template": f"{{prompt}} {number}:"})
        evaluate_adapter(adapter)
        answer()
        evaluate_adapter(adapter, again=True)
        answer()
    edit_adapter(user=ada, adapter=adapter, prompt_format=good)
    evaluate_adapter(adapter)
    EvaluationRun.objects.update(created_at=timezone.now() - timedelta(days=999))
    assert prune_runs(keep=1, days=0).runs > 0
    assert said(adapter, ada) == before
