"""The job ``evaluate``: what it answers, stores and says on its way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.evaluate import (
    EvaluateRequest,
    EvaluateResult,
    EvaluationSettings,
    KnownEvaluation,
    SuiteFiles,
)
from inference_worker.contracts.generate import WeightedAdapter
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import PROMPT_FORMAT, builtin_suite
from inference_worker.evaluation.suite import Suite, write_suite
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers.evaluate import SHARED
from inference_worker.tasks.kinds import run_handler

SHIPPED = Path(__file__).parents[3] / "inference_worker" / "testbed" / "shipped"
BASE = BaseFiles(name="wordsmith", source=str(SHIPPED / "base"))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[JobContext]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    (tmp_path / "work").mkdir()
    yield JobContext(BlobStore(f"file://{tmp_path / 'blobs'}"), tmp_path / "work", "", write, job="j1")
    os.close(read)
    os.close(write)


def stored(context: JobContext, name: str) -> WeightedAdapter:
    folder = SHIPPED / "adapters" / name
    config = context.blobs.put_file(folder / "adapter_config.json").sha256
    weights = context.blobs.put_file(folder / "adapter_model.safetensors").sha256
    return WeightedAdapter(adapter=AdapterFiles(label=f"ada/{name}", config=config, weights=weights))


def run(context: JobContext, request: EvaluateRequest) -> EvaluateResult:
    shutil.rmtree(context.workdir)  # Each job has one of its own.
    context.workdir.mkdir()
    result = run_handler("evaluate", request.model_dump(mode="json"), context)
    assert isinstance(result, EvaluateResult)
    return result


def test_compositions_on_suites(context: JobContext, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_suite(Suite("own", builtin_suite("testbed:reverse", count=6).examples), path)
    own = SuiteFiles(name="own", examples=context.blobs.put_file(path).sha256, prompt_format=PROMPT_FORMAT)
    adapter = stored(context, "reverse-words")
    request = EvaluateRequest(
        base=BASE,
        compositions=((), (adapter,)),
        suites=(own, SuiteFiles(name="probes", builtin="testbed:plural", count=4)),
        settings=EvaluationSettings(max_tokens=24),
    )
    result = run(context, request)
    found = [(one.suite, len(one.composition), one.overall["exact_match"].n) for one in result.evaluations]
    assert found == [("own", 0, 6), ("own", 1, 6), ("testbed:plural", 0, 4), ("testbed:plural", 1, 4)]
    base, adapted = (one.overall["exact_match"].value for one in result.evaluations[:2])
    assert base <= 0.2
    assert adapted >= 0.8
    table = json.loads(context.blobs.path(result.outcomes.sha256).read_text())
    assert [len(one["outcomes"]) for one in table] == [6, 6, 4, 4]
    assert all(one.outcomes == () for one in result.evaluations)
    assert not list(context.blobs.scratch.glob("evaluate-*"))


def test_what_is_known_is_not_made_again_and_is_compared_with(context: JobContext) -> None:
    suite = SuiteFiles(name="probes", builtin="testbed:reverse", count=5)
    settings = EvaluationSettings(max_tokens=24)
    first = run(context, EvaluateRequest(base=BASE, compositions=((),), suites=(suite,), settings=settings))
    table = json.loads(context.blobs.path(first.outcomes.sha256).read_text())
    # As written by an engine that had other intervals.
    table[0]["overall"]["exact_match"] |= {"low": 0.5, "high": 0.5}
    earlier = context.blobs.put_bytes(json.dumps(table).encode())
    known = KnownEvaluation(suite=0, composition=0, outcomes=earlier.sha256, position=0)
    request = EvaluateRequest(
        base=BASE,
        compositions=((), (stored(context, "reverse-words"),)),
        suites=(suite,),
        settings=settings,
        known=(known,),
        compare=((0, 1),),
    )
    second = run(context, request)
    assert second.evaluations[0] == first.evaluations[0]
    base, adapted = (one.overall["exact_match"] for one in second.evaluations)
    (comparison,) = second.comparisons
    difference = comparison.differences["exact_match"]
    assert difference.value == pytest.approx(adapted.value - base.value)
    assert difference.low <= difference.value <= difference.high
    assert difference.wins - difference.losses == round(5 * difference.value)
    assert difference.same_answers <= 5 - difference.wins - difference.losses
    itself = run(context, request.model_copy(update={"compare": ((1, 1),)})).comparisons[0].differences["exact_match"]
    assert (itself.wins, itself.losses, itself.same_answers) == (0, 0, 5)

    other = request.model_copy(update={"suites": (suite.model_copy(update={"count": 6}),)})
    assert [one.overall["exact_match"].n for one in run(context, other).evaluations] == [6, 6]
    with pytest.raises(ValidationError, match="not in the request"):
        EvaluateRequest(base=BASE, compositions=((),), suites=(suite,), compare=((0, 1),))


def test_a_built_in_suite_is_asked_in_the_format_that_is_given(context: JobContext) -> None:
    settings = EvaluationSettings(max_tokens=24)
    suite = SuiteFiles(name="probes", builtin="testbed:plural", count=6)
    strange = suite.model_copy(update={"prompt_format": PromptFormat(template="Nothing.")})
    same = suite.model_copy(update={"prompt_format": PROMPT_FORMAT})
    adapted = ((stored(context, "plural-nouns"),),)
    request = EvaluateRequest(base=BASE, compositions=adapted, suites=(suite, same, strange), settings=settings)
    left_out, given, other = run(context, request).evaluations
    assert (left_out.suite_digest, left_out.overall) == (given.suite_digest, given.overall)
    assert other.suite_digest != given.suite_digest
    assert other.overall["exact_match"].value < given.overall["exact_match"].value


def test_only_answers_to_built_in_suites_are_kept_for_other_jobs(context: JobContext, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_suite(Suite("own", builtin_suite("testbed:reverse", count=3).examples), path)
    own = SuiteFiles(name="own", examples=context.blobs.put_file(path).sha256, prompt_format=PROMPT_FORMAT)
    builtin = SuiteFiles(name="probes", builtin="testbed:plural", count=3)
    compositions = ((), (stored(context, "plural-nouns"),))
    settings = EvaluationSettings(max_tokens=24)
    request = EvaluateRequest(base=BASE, compositions=compositions, suites=(own, builtin), settings=settings)
    run(context, request)
    (kept,) = (context.blobs.scratch / SHARED).iterdir()
    assert len(kept.read_text().splitlines()) == 3
    assert [one.cached for one in run(context, request).evaluations] == [0, 0, 3, 0]
    anew = run(context, request.model_copy(update={"anew": True})).evaluations
    assert [one.cached for one in anew] == [0, 0, 0, 0]
    assert list(context.blobs.scratch.iterdir()) == [kept.parent]


def test_an_ensemble_is_evaluated_as_what_it_is(context: JobContext) -> None:
    pair = (stored(context, "reverse-words"), stored(context, "plural-nouns"))
    request = EvaluateRequest(
        base=BASE,
        compositions=(pair, pair),
        suites=(SuiteFiles(name="probes", builtin="testbed:reverse", count=6),),
        settings=EvaluationSettings(max_tokens=24),
        ensembles=(1,),
    )
    mix, ensemble = run(context, request).evaluations
    assert (mix.strategy, ensemble.strategy) == ("mix", "ensemble")
    # Each is known under its own name, so neither is taken for the other.
    assert mix.cached == ensemble.cached == 0
    single = request.model_copy(update={"compositions": (pair[:1], pair[:1])})
    alone, voting = run(context, single).evaluations
    assert alone.overall == voting.overall
    with pytest.raises(ValidationError, match="not in the request"):
        EvaluateRequest(base=BASE, compositions=(pair,), suites=request.suites, ensembles=(1,))


def test_a_broken_suite_is_named(context: JobContext, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("{}")
    own = SuiteFiles(name="own.jsonl", examples=context.blobs.put_file(path).sha256)
    with pytest.raises(BadInput, match=r"own\.jsonl, line 1"):
        run(context, EvaluateRequest(base=BASE, compositions=((),), suites=(own,)))


def test_a_suite_has_one_source() -> None:
    for fields in ({}, {"examples": "0" * 64, "builtin": "testbed:plural"}):
        with pytest.raises(ValidationError, match="not both"):
            SuiteFiles(name="x", **fields)
