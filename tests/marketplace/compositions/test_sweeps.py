"""Sweeps: what is planned and what of it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from inference_worker.contracts.evaluate import Estimate
from inference_worker.contracts.intervals import paired_interval, share_interval
from inference_worker.contracts.jobs import partial_name
from inference_worker.contracts.merge_sweep import MergeSweepRequest, MergeSweepResult, PairedDifference, SweepCell
from marketplace.accounts.models import User
from marketplace.compositions import services
from marketplace.compositions.halves import is_for_fitting
from marketplace.compositions.lab import sweeps
from marketplace.compositions.lab.sweep_chart import chart_of, table_of
from marketplace.compositions.lab.sweep_intervals import with_intervals
from marketplace.core.errors import Invalid, NotFound, TooManyRequests
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationSuite
from marketplace.jobs.services import cancel_job
from tests.marketplace.compositions.conftest import Members, sweep

pytestmark = pytest.mark.django_db


def test_a_sweep_is_the_product_of_its_axes(pair: Members, ada: User) -> None:
    axes = sweeps.Axes(weights=[[1, 1], [0.5, 0]], methods=["lego", "svd"], ranks=[2, "same"])
    request = MergeSweepRequest.model_validate(sweep(ada, pair, axes, options={"restarts": 2}).request)
    found = [(p.merge.weights, p.merge.method, p.merge.output.rank) for p in request.points]
    assert len(found) == len(set(found)) == 8
    assert request.points[0].label == "LoRA-LEGO, 1 : 1, rank 2"
    assert {p.merge.options.get("restarts") for p in request.points} == {2, None}
    asked = [(example.prompt, example.task) for example in request.suite.examples]
    assert asked == [("plural: cat", "ada/plural"), ("plural: secret", "ada/plural"), ("past: cat", "bob/past")]


@pytest.mark.parametrize(
    ("axes", "field"),
    [
        (sweeps.Axes(ranks=list(range(1, 66))), "sweep"),
        (sweeps.Axes(weights=[[1, 1, 1]]), "sweep_weights"),
        (sweeps.Axes(methods=["magic"]), "sweep_methods"),
        (sweeps.Axes(ranks=["many"]), "rank"),
    ],
)
def test_faults_of_sweeps_are_named(pair: Members, ada: User, axes: sweeps.Axes, field: str) -> None:
    with pytest.raises(Invalid) as fault:
        sweep(ada, pair, axes)
    assert field in fault.value.extra["fields"]


def test_a_sweep_needs_answers(pair: Members, ada: User) -> None:
    for adapter, _ in pair:
        adapter.examples.update(expected="")
    with pytest.raises(Invalid, match="None of these adapters has an example"):
        sweep(ada, pair, sweeps.Axes())
    own = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    assert sweep(ada, pair, sweeps.Axes(), own).request["suite"]["name"] == "examples of your own"
    builtin = sweeps.Asked(suite="testbed:named", count=3)
    assert sweep(ada, pair, sweeps.Axes(), builtin).request["suite"]["builtin"] == "testbed:named"


def test_a_sweep_on_a_suite_of_the_site(pair: Members, ada: User, bob: User) -> None:
    lines = b'{"prompt": "plural: ox", "expected": ["oxen", "oxes"], "task": "odd"}\n'
    stored = blob_store().put_bytes(lines)
    suite = EvaluationSuite.objects.create(name="Odd ones", owner=ada, sha256=stored.sha256, count=1)
    request = sweep(ada, pair, sweeps.Axes(), sweeps.Asked(suite=str(suite.pk))).request["suite"]
    asked = {"prompt": "plural: ox", "expected": "oxen", "also": ["oxes"], "task": "odd"}
    assert (request["name"], request["examples"]) == ("Odd ones", [{**asked, "prompt_format": None}])
    with pytest.raises(NotFound):
        sweep(bob, pair, sweeps.Axes(), sweeps.Asked(suite=str(suite.pk)))
    with pytest.raises(NotFound):
        sweep(ada, pair, sweeps.Axes(), sweeps.Asked(suite="nothing"))


def estimate(value: float, width: float = 0.1) -> Estimate:
    return Estimate(value=value, low=value - width, high=value + width, n=20)


def difference(value: float, width: float = 0.1, n: int = 20, **counts: int) -> PairedDifference:
    return PairedDifference(value=value, low=value - width, high=value + width, n=n, **counts)


def cell(kind: str, position: int, value: float, **more: Any) -> SweepCell:
    label = f"{kind} {position}"
    return SweepCell(kind=kind, position=position, label=label, overall={"exact_match": estimate(value)}, **more)  # type: ignore[arg-type]


MEASURED = MergeSweepResult(
    cells=(
        cell("base", 0, 0.1),
        cell("parent", 0, 0.6),
        cell("parent", 1, 0.5),
        cell("point", 0, 0.9, against_base=difference(0.8), against_best_parent=difference(0.3)),
        cell("point", 1, 0.6, against_base=difference(0.5), against_best_parent=difference(0.0)),
        cell("point", 2, 0.0, against_base=difference(-0.4), against_best_parent=difference(-0.6)),
        SweepCell(kind="point", position=3, label="point 3", fault="Ranks differ."),
    ),
    best_parent=0,
    seconds=2.0,
)


def test_intervals_of_before_are_made_anew() -> None:
    """By the bootstrap eight of eight were sure, and eight equal values of token F1, too."""
    sure = Estimate(value=1.0, low=1.0, high=1.0, n=8)
    half = Estimate(value=0.5, low=0.5, high=0.5, n=8)
    gain = PairedDifference(value=1.0, low=1.0, high=1.0, n=8)
    old = cell("point", 0, 1.0).model_copy(
        update={"overall": {"exact_match": sure, "token_f1": half}, "against_base": gain, "tasks": {"t": {}}}
    )
    result = MergeSweepResult(cells=(old,), best_parent=0, seconds=1.0)
    (found,) = with_intervals(result).cells
    assert found.overall["exact_match"].low == pytest.approx(share_interval(8, 8)[0])
    assert found.overall["token_f1"].high - found.overall["token_f1"].low > 0.1
    assert found.against_base is not None
    assert found.against_base.low == pytest.approx(paired_interval(8, 0, 8)[0])
    assert with_intervals(with_intervals(result)) == with_intervals(result)


def test_the_table_says_plainly_what_came_out() -> None:
    table = table_of(MEASURED)
    assert [row.verdict for row in table.rows if row.kind == "point"] == [
        "better than the best parent",
        "no better than the best parent",
        "worse than the base",
        "",
    ]
    assert table.highest is not None
    assert (table.highest.position, table.highest.best) == (0, True)


def test_without_a_verdict_no_setting_is_the_best(pair: Members, ada: User, client: Any) -> None:
    """Neither of few examples, nor where two came as high, as a badge, in the chart or in words."""
    few = [
        cell("point", at, 0.9 - at / 10, against_base=difference(0.1, n=6), against_best_parent=difference(0.0, n=6))
        for at in (0, 1)
    ]
    alike = [cell("point", at, 0.9, against_base=difference(0.8), against_best_parent=difference(0.3)) for at in (0, 1)]
    for points in (few, alike):
        result = MEASURED.model_copy(update={"cells": (*MEASURED.cells[:3], *points)})
        assert not any(row.best for row in table_of(result).rows)
        chart = chart_of(result, ["a", "b"])
        assert chart is not None
        assert not any(mark.best for mark in chart.marks)
        job = sweep(ada, pair, sweeps.Axes(ranks=[1, 2]))
        blob_store().put_document(partial_name(str(job.pk)), result.model_dump_json().encode())
        cancel_job(user=ada, job=job)
        client.force_login(ada)
        page = client.get(f"/combine/sweeps/{job.pk}").content.decode()
        assert "highest, not told apart from the others" in page
        assert "Save the highest: point 0" in page
        assert ">best<" not in page


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (difference(-1.0, 0.0, n=1), "too few examples to tell, 8 are needed"),
        (difference(1.0, 0.0, n=7), "too few examples to tell, 8 are needed"),
        (difference(1.0, 0.0, n=8, wins=8, losses=0), "better than the best parent"),
        (difference(-1.0, 0.0, n=8, wins=0, losses=8), "worse than the best parent"),
        # The interval is all on one side, and chance makes such counts often.
        (difference(0.2, 0.1, n=20, wins=4, losses=0), "no better than the best parent"),
        (difference(-0.2, 0.1, n=20, wins=1, losses=5), "no better than the best parent"),
    ],
)
def test_a_sweep_claims_no_more_than_a_run_of_the_site(found: PairedDifference, words: str) -> None:
    one = cell("point", 0, 0.5, against_base=difference(0.0, n=found.n), against_best_parent=found)
    table = table_of(MEASURED.model_copy(update={"cells": (*MEASURED.cells[:3], one)}))
    assert table.rows[-1].verdict == words


def test_the_chart_has_every_point_in_its_place() -> None:
    chart = chart_of(MEASURED, ["a", "b", "c", "d"])
    assert chart is not None
    first, second, third = chart.marks
    assert first.y < second.y < third.y
    assert all(mark.high < mark.y < mark.low for mark in chart.marks)
    assert [line.kind for line in chart.lines] == ["parent", "base"]
    assert chart.lines[0].y == pytest.approx(second.y)
    assert chart.waiting == 1
    assert chart_of(MEASURED.model_copy(update={"cells": MEASURED.cells[:3]}), ["a"]) is None


def test_the_ensemble_is_a_line_and_a_cell_beside_the_parents(pair: Members, ada: User, client: Any) -> None:
    """Words of lines that nearly meet stand apart; an ensemble that could not vote is in the table alone."""
    brackets, points = MEASURED.cells[:3], MEASURED.cells[3:]
    result = MEASURED.model_copy(update={"cells": (*brackets, cell("ensemble", 0, 0.59), *points)})
    chart = chart_of(result, ["a", "b", "c", "d"])
    assert chart is not None
    best, ensemble, base = chart.lines
    assert [line.label for line in chart.lines] == ["best parent", "ensemble", "base"]
    assert ensemble.y - best.y < 3
    assert ensemble.words - best.words >= 12
    assert base.words == base.y
    job = sweep(ada, pair, sweeps.Axes(ranks=[1, 2, 3, 4]))
    blob_store().put_document(partial_name(str(job.pk)), result.model_dump_json().encode())
    client.force_login(ada)
    page = client.get(f"/combine/sweeps/{job.pk}").content.decode()
    assert "at the cost of running each" in page
    assert 'class="bracket ensemble"' in page
    cells = client.get(f"/api/v1/merges/sweeps/{job.pk}/").json()["cells"]
    assert [(one["kind"], one["merge"]) for one in cells][3] == ("ensemble", None)
    refused = SweepCell(kind="ensemble", position=0, label="the parents", fault="One cannot vote.")
    result = result.model_copy(update={"cells": (*brackets, refused, *points)})
    blob_store().put_document(partial_name(str(job.pk)), result.model_dump_json().encode())
    page = client.get(f"/combine/sweeps/{job.pk}").content.decode()
    assert "One cannot vote." in page
    assert "at the cost of running each" not in page


def test_a_cancelled_sweep_keeps_its_cells(pair: Members, ada: User, client: Any) -> None:
    axes = sweeps.Axes(weights=[[1, 1], [1, 0.5], [0.5, 0.5], [0, 1]])
    job = sweep(ada, pair, axes)
    client.force_login(ada)
    page = client.get(f"/combine/sweeps/{job.pk}")
    assert "Base and members come first" in page.content.decode()
    blob_store().put_document(partial_name(str(job.pk)), MEASURED.model_dump_json().encode())
    assert "better than the best parent" in client.get(f"/combine/sweeps/{job.pk}").content.decode()
    cancel_job(user=ada, job=job)
    page = client.get(f"/combine/sweeps/{job.pk}")
    assert page.context["table"].done == 4
    assert "Save the best: point 0" in page.content.decode()
    read = client.get(f"/api/v1/merges/sweeps/{job.pk}/").json()
    assert (read["state"], read["total"], read["best"], len(read["cells"])) == ("cancelled", 4, 0, 7)
    assert read["cells"][3]["merge"]["weights"] == [1.0, 1.0]
    assert read["cells"][3]["verdict"] == "better than the best parent"


def test_a_sweep_asks_what_weights_were_not_fitted_on(pair: Members, ada: User) -> None:
    for place in range(12):
        pair[0][0].examples.create(prompt=f"plural: {place}", expected="oxen", position=2 + place)
    learned = sweep(ada, pair, sweeps.Axes(ranks=[2, 4]), method="lorahub")
    (note,) = learned.subject["notes"]
    assert "measured on the other half" in note
    fitted = {
        one["prompt"] for group in learned.request["points"][0]["merge"]["fit"]["groups"] for one in group["examples"]
    }
    asked = {one["prompt"] for one in learned.request["suite"]["examples"]}
    every = {one["prompt"] for one in sweep(ada, pair, sweeps.Axes()).request["suite"]["examples"]}
    assert fitted
    assert asked
    assert not fitted & asked
    assert fitted | asked == every
    own = sweeps.Asked(examples=[{"prompt": "a", "expected": "b"}])
    assert sweep(ada, pair, sweeps.Axes(), own, method="lorahub").subject["notes"] == []
    for adapter, _ in pair:
        kept = [example.pk for example in adapter.examples.all() if is_for_fitting(example.prompt)]
        adapter.examples.exclude(pk__in=kept).delete()
    with pytest.raises(Invalid, match="the other half is empty"):
        sweep(ada, pair, sweeps.Axes(), method="lorahub")


def test_what_one_person_has_under_way_is_bounded(pair: Members, ada: User, settings: Any) -> None:
    axes = sweeps.Axes(ranks=list(range(1, 61)))
    jobs = [sweep(ada, pair, axes) for _ in range(2)]
    with pytest.raises(TooManyRequests, match="120 settings"):
        sweep(ada, pair, axes)
    cancel_job(user=ada, job=jobs[0])
    sweep(ada, pair, axes)
    settings.JOBS_OPEN_PER_PERSON = 1
    services.create_merge(user=ada, name="one", members=pair, method="svd")
    with pytest.raises(TooManyRequests, match="1 merges of yours"):
        services.create_merge(user=ada, name="two", members=pair, method="svd")
