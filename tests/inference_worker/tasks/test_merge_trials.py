"""The jobs ``merge_preview`` and ``merge_sweep``: merges that answer, are measured, and leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.evaluate import EvaluationSettings
from inference_worker.contracts.jobs import partial_name
from inference_worker.contracts.merge import MergeOutput, MergeRequest
from inference_worker.contracts.merge_preview import MergePreviewRequest, MergePreviewResult
from inference_worker.contracts.merge_sweep import (
    MergeSweepRequest,
    MergeSweepResult,
    SweepExample,
    SweepPoint,
    SweepSuite,
)
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import PROMPT_FORMAT, builtin_suite
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers import merge_sweep
from inference_worker.tasks.handlers.trial import composes
from inference_worker.tasks.kinds import run_handler

SHIPPED = Path(__file__).parents[3] / "inference_worker" / "testbed" / "shipped"
BASE = BaseFiles(name="wordsmith", source=str(SHIPPED / "base"))
JOB = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[JobContext]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    (tmp_path / "work").mkdir()
    yield JobContext(BlobStore(f"file://{tmp_path / 'blobs'}"), tmp_path / "work", "", write, job=JOB)
    os.close(read)
    os.close(write)


@pytest.fixture
def parents(context: JobContext) -> tuple[AdapterFiles, ...]:
    def stored(name: str) -> AdapterFiles:
        folder = SHIPPED / "adapters" / name
        config = context.blobs.put_file(folder / "adapter_config.json").sha256
        weights = context.blobs.put_file(folder / "adapter_model.safetensors").sha256
        return AdapterFiles(label=f"ada/{name}", config=config, weights=weights)

    return stored("reverse-words"), stored("opposites")


def merge_of(parents: tuple[AdapterFiles, ...], method: str, weights: tuple[float, ...], **more: Any) -> MergeRequest:
    return MergeRequest(adapters=parents, weights=weights, method=method, **more)


def blobs_of(context: JobContext) -> set[str]:
    return {path.name for path in (Path(context.blobs.url.removeprefix("file://")) / "blobs").rglob("*")}


def preview(context: JobContext, merge: MergeRequest) -> MergePreviewResult:
    prompts = tuple(example.prompt for example in builtin_suite("testbed:reverse", count=3).examples)
    request = MergePreviewRequest(base=BASE, merge=merge, prompts=prompts, prompt_format=PROMPT_FORMAT, max_tokens=24)
    result = run_handler("merge_preview", request.model_dump(mode="json"), context)
    assert isinstance(result, MergePreviewResult)
    return result


@pytest.mark.parametrize("method", ["cat", "svd"])
def test_a_merge_of_weight_one_answers_like_its_parent(
    context: JobContext, parents: tuple[AdapterFiles, ...], method: str
) -> None:
    before = blobs_of(context)
    result = preview(context, merge_of(parents, method, (1.0, 0.0)))
    kinds = [(column.kind, column.label, column.position) for column in result.columns]
    assert kinds == [
        ("merge", "the merge", 0),
        ("base", "wordsmith", 0),
        ("parent", "ada/reverse-words", 0),
        ("parent", "ada/opposites", 1),
    ]
    texts = [[answer.text for answer in column.answers] for column in result.columns]
    assert texts[0] == texts[2]
    assert texts[0] != texts[1]
    assert (result.composed, result.rank is None) == ((True, True) if method == "cat" else (False, False))
    assert blobs_of(context) == before
    assert list(context.workdir.iterdir()) == []


def test_only_the_plain_sum_is_composed(parents: tuple[AdapterFiles, ...]) -> None:
    assert composes(merge_of(parents, "cat", (0.5, -0.3), options={"rotate": True}))
    assert composes(merge_of(parents, "cat", (0.5, -0.3), output=MergeOutput(dtype="float16")))
    assert not composes(merge_of(parents, "cat", (1.0, 1.0), output=MergeOutput(include=("q_proj",))))
    assert not composes(merge_of(parents, "svd", (1.0, 1.0)))


def test_a_preview_has_at_most_five_prompts(parents: tuple[AdapterFiles, ...]) -> None:
    with pytest.raises(ValidationError):
        MergePreviewRequest(base=BASE, merge=merge_of(parents, "cat", (1.0, 1.0)), prompts=("a",) * 6)


def sweep_of(points: list[tuple[str, MergeRequest]], **suite: Any) -> MergeSweepRequest:
    if not suite:
        asked = builtin_suite("testbed:reverse", count=6).examples
        examples = [SweepExample(prompt=one.prompt, expected=one.expected[0], task=one.task) for one in asked]
        suite = {"name": "own", "examples": tuple(examples), "prompt_format": PROMPT_FORMAT}
    return MergeSweepRequest(
        base=BASE,
        points=tuple(SweepPoint(label=label, merge=merge) for label, merge in points),
        suite=SweepSuite(**suite),
        settings=EvaluationSettings(max_tokens=24),
    )


def sweep(context: JobContext, request: MergeSweepRequest) -> MergeSweepResult:
    result = run_handler("merge_sweep", request.model_dump(mode="json"), context)
    assert isinstance(result, MergeSweepResult)
    return result


def kept(context: JobContext) -> MergeSweepResult:
    data = context.blobs.get_document(partial_name(JOB))
    assert data is not None
    return MergeSweepResult.model_validate_json(data)


def test_points_stand_beside_base_and_parents(context: JobContext, parents: tuple[AdapterFiles, ...]) -> None:
    points = [("1 : 0", merge_of(parents, "svd", (1.0, 0.0))), ("0 : 0", merge_of(parents, "cat", (0.0, 0.0)))]
    result = sweep(context, sweep_of([*points, ("rank 4096", merge_of(parents, "magic", (1.0, 1.0)))]))
    base, first, second, ensemble, like_first, nothing, refused = result.cells
    kinds = ["base", "parent", "parent", "ensemble", "point", "point", "point"]
    assert [cell.kind for cell in result.cells] == kinds
    assert (ensemble.fault, ensemble.overall["exact_match"].n) == ("", 6)
    assert result.best_parent == 0
    assert like_first.overall["exact_match"] == first.overall["exact_match"]
    assert nothing.overall["exact_match"] == base.overall["exact_match"]
    assert second.overall["exact_match"].n == 6
    assert like_first.against_best_parent is not None
    assert like_first.against_best_parent.value == 0.0
    assert (like_first.against_best_parent.wins, like_first.against_best_parent.losses) == (0, 0)
    assert nothing.against_base is not None
    assert nothing.against_base.value == 0.0
    assert "magic" in refused.fault
    assert refused.overall == {}
    assert set(like_first.tasks) == {"reverse"}
    assert kept(context).cells == result.cells
    assert list(context.workdir.iterdir()) == []
    assert not list(context.blobs.scratch.glob("sweep-*"))


def test_a_stopped_sweep_keeps_its_cells_and_goes_on(
    context: JobContext, parents: tuple[AdapterFiles, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = sweep_of([(f"{rank}", merge_of(parents, "cat", (rank, 1.0))) for rank in (0.5, 1.0)])
    measured = merge_sweep.evaluate
    calls: list[list[float]] = []

    def stops(**arguments: Any) -> Any:
        calls.append([member.weight for member in arguments["members"]])
        if len(calls) == 6:
            raise KeyboardInterrupt
        return measured(**arguments)

    monkeypatch.setattr(merge_sweep, "evaluate", stops)
    with pytest.raises(KeyboardInterrupt):
        sweep(context, request)
    assert [cell.kind for cell in kept(context).cells] == ["base", "parent", "parent", "ensemble", "point"]
    assert list(context.blobs.scratch.glob("sweep-*")), "for the next attempt"
    calls.clear()
    result = sweep(context, request)
    assert calls[-1] == [1.0, 1.0]
    assert [0.5, 1.0] not in calls
    assert len(result.cells) == 6


def test_a_failed_sweep_leaves_nothing_in_scratch(
    context: JobContext, parents: tuple[AdapterFiles, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = merge_sweep.evaluate

    def fails(**arguments: Any) -> Any:
        if arguments["members"]:
            raise BadInput("This adapter is at fault.")
        return measured(**arguments)

    monkeypatch.setattr(merge_sweep, "evaluate", fails)
    with pytest.raises(BadInput):
        sweep(context, sweep_of([("a", merge_of(parents, "cat", (1.0, 1.0)))]))
    assert [cell.kind for cell in kept(context).cells] == ["base"]
    assert not list(context.blobs.scratch.glob("sweep-*"))


def test_the_ensemble_is_the_engines(
    context: JobContext, parents: tuple[AdapterFiles, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parents vote with one and the same weight, whatever the points' weights; one parent has nobody to vote with;
    where the engine refuses the vote the cell says so and the sweep goes on."""
    measured = merge_sweep.evaluate
    votes: list[list[tuple[str, float]]] = []

    def watch(**arguments: Any) -> Any:
        if arguments["strategy"] == "ensemble":
            votes.append([(member.files.label, member.weight) for member in arguments["members"]])
            if len(votes) == 2:
                raise BadInput("This one cannot vote.")
        return measured(**arguments)

    monkeypatch.setattr(merge_sweep, "evaluate", watch)
    sweep(context, sweep_of([("a", merge_of(parents, "cat", (0.5, -2.0)))]))
    assert votes == [[("ada/reverse-words", 1.0), ("ada/opposites", 1.0)]]
    refused = sweep(context, sweep_of([("b", merge_of(parents, "cat", (0.25, 1.0)))]))
    (cell,) = [cell for cell in refused.cells if cell.kind == "ensemble"]
    assert (cell.fault, cell.overall) == ("This one cannot vote.", {})
    assert refused.cells[-1].overall["exact_match"].n == 6
    alone = sweep(context, sweep_of([("c", merge_of(parents[:1], "cat", (1.0,)))]))
    assert [cell.kind for cell in alone.cells] == ["base", "parent", "point"]


def test_every_example_is_asked_in_its_own_format(
    context: JobContext, parents: tuple[AdapterFiles, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of them in their own, half in the suite's: the answers are those of suites that are all one or the other."""
    asked = builtin_suite("testbed:reverse", count=4).examples
    other = PromptFormat(template="Nothing at all.")
    answers: list[list[str]] = []
    measured = merge_sweep.evaluate

    def watch(**arguments: Any) -> Any:
        found = measured(**arguments)
        answers.append([outcome.answer for outcome in found.outcomes])
        return found

    def of_the_parent(own: tuple[PromptFormat | None, ...], whole: PromptFormat) -> list[str]:
        examples = tuple(
            SweepExample(prompt=one.prompt, expected=one.expected[0], prompt_format=form)
            for one, form in zip(asked, own, strict=True)
        )
        points = [("a", merge_of(parents[:1], "cat", (1.0,)))]
        sweep(context, sweep_of(points, name="x", examples=examples, prompt_format=whole))
        return answers[-1]

    monkeypatch.setattr(merge_sweep, "evaluate", watch)
    mixed = of_the_parent((PROMPT_FORMAT, PROMPT_FORMAT, None, None), other)
    right, wrong = of_the_parent((None,) * 4, PROMPT_FORMAT), of_the_parent((None,) * 4, other)
    assert mixed == [*right[:2], *wrong[2:]]
    assert all(one != two for one, two in zip(right, wrong, strict=True))


def test_a_preview_asks_prompts_in_formats_of_their_own(context: JobContext, parents: tuple[AdapterFiles, ...]) -> None:
    prompts = tuple(example.prompt for example in builtin_suite("testbed:reverse", count=2).examples)
    merge = merge_of(parents, "cat", (1.0, 0.0))
    common: dict[str, Any] = {"base": BASE, "merge": merge, "max_tokens": 24}
    whole = MergePreviewRequest(prompts=prompts, prompt_format=PROMPT_FORMAT, **common)
    other = PromptFormat(template="Nothing at all.")
    mixed = MergePreviewRequest(prompts=prompts, prompt_format=other, formats={1: PROMPT_FORMAT}, **common)
    first, second = (run_handler("merge_preview", one.model_dump(mode="json"), context) for one in (whole, mixed))
    assert isinstance(first, MergePreviewResult)
    assert isinstance(second, MergePreviewResult)
    right, partly = (result.columns[2].answers for result in (first, second))
    assert right[1].text == partly[1].text
    assert right[0].text != partly[0].text


def test_a_built_in_suite_that_is_none_is_named(context: JobContext, parents: tuple[AdapterFiles, ...]) -> None:
    request = sweep_of([("a", merge_of(parents, "cat", (1.0, 1.0)))], name="x", builtin="testbed:nothing")
    with pytest.raises(BadInput, match="nothing"):
        sweep(context, request)
