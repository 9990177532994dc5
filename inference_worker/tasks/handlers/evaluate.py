"""Evaluate: compositions on suites, through an engine of this job's own."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from inference_worker.contracts.common import AdapterFiles, OutputFile, PromptFormat
from inference_worker.contracts.evaluate import (
    Comparison,
    Difference,
    EvaluateRequest,
    EvaluateResult,
    Evaluation,
    EvaluationSettings,
    Metric,
    Outcome,
    SuiteFiles,
)
from inference_worker.errors import BlobMissing
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.harness import Member, estimates_of, evaluate
from inference_worker.evaluation.statistics import paired_difference
from inference_worker.evaluation.suite import Suite, parse_examples
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings
from inference_worker.tasks.context import JobContext

#: Where bare bases' answers to built-in suites are kept for other jobs: many uploads at once are compared with the same
#: ones. Answers to what somebody wrote are not: they may repeat it, and would outlast a suite that is deleted. The
#: collection of abandoned scratch files takes the folder a day after its last new suite.
SHARED = "built-in-suites-on-bases"
#: Scores that differ by less are the same.
_SAME = 1e-9
#: Metrics with a value per example, which can be compared pair by pair.
PAIRED: tuple[Metric, ...] = ("exact_match", "token_f1")


def handle(request: EvaluateRequest, context: JobContext) -> EvaluateResult:
    """Raises ``BadInput`` naming the adapter, suite or example at fault."""
    started = time.monotonic()
    suites = [_suite(files, context) for files in request.suites]
    evaluations: list[Evaluation] = []
    shared = context.blobs.scratch / SHARED
    with context.going_on("evaluate") as own, ExitStack() as stack:
        # Opened when the first evaluation is to be made: where everything is known, no base is loaded.
        pool = functools.cache(lambda: stack.enter_context(EnginePool(EngineSettings.from_environment(os.environ))))
        for number, suite in enumerate(suites):
            for place in range(len(request.compositions)):
                known = _known(request, context, number, place, suite)
                everybodys = request.suites[number].builtin and not request.compositions[place] and not request.anew
                cache = shared if everybodys else own
                evaluations.append(known or _made(request, context, pool(), suite, place, len(evaluations), cache))
    return EvaluateResult(
        evaluations=tuple(evaluation.model_copy(update={"outcomes": ()}) for evaluation in evaluations),
        outcomes=_stored(evaluations, context),
        seconds=round(time.monotonic() - started, 3),
        comparisons=tuple(_comparisons(request, evaluations)),
    )


def _known(request: EvaluateRequest, context: JobContext, number: int, place: int, suite: Suite) -> Evaluation | None:
    """What was made before, as long as it was made of the same examples and its blob can be read."""
    for known in request.known:
        if (known.suite, known.composition) != (number, place):
            continue
        try:
            table = json.loads(context.blobs.path(known.outcomes).read_text(encoding="utf-8"))
            found = Evaluation.model_validate(table[known.position])
        except (BlobMissing, ValueError, IndexError, KeyError) as fault:
            context.log(f"An earlier result on {suite.name} cannot be read and is made again: {str(fault)[:200]}")
            continue
        if found.suite_digest == suite.digest and found.settings == request.settings:
            # Its outcomes stand; what they come to is said in the same way as of all others.
            return found.model_copy(update=estimates_of(found.outcomes, suite, request.settings))
    return None


def _made(
    request: EvaluateRequest,
    context: JobContext,
    pool: EnginePool,
    suite: Suite,
    place: int,
    before: int,
    cache: Path,
) -> Evaluation:
    members = [Member(weighted.adapter, weighted.weight) for weighted in request.compositions[place]]
    between = " | " if place in request.ensembles else " + "
    name = between.join(member.files.label for member in members) or "the bare base"
    total = len(request.suites) * len(request.compositions)
    found = evaluate(
        pool=pool,
        resolve=partial(_paths, context),
        base=request.base,
        members=members,
        suite=suite,
        settings=request.settings,
        cache=cache,
        strategy="ensemble" if place in request.ensembles else "mix",
        progress=partial(_report, context, before, total, f"{name} on {suite.name}"),
    )
    context.log(f"{name} on {suite.name}: {_words(found)}.")
    return found


def _comparisons(request: EvaluateRequest, evaluations: Sequence[Evaluation]) -> Iterator[Comparison]:
    width = len(request.compositions)
    for number in range(len(request.suites)):
        for before, after in request.compare:
            pair = (evaluations[number * width + place].outcomes for place in (before, after))
            yield Comparison(
                suite=number, before=before, after=after, differences=_differences(*pair, settings=request.settings)
            )


def _differences(
    before: Sequence[Outcome], after: Sequence[Outcome], *, settings: EvaluationSettings
) -> dict[str, Difference]:
    def values(outcomes: Sequence[Outcome], metric: Metric) -> list[float]:
        return [float(getattr(outcome, metric)) for outcome in outcomes]

    same = sum(old.answer == new.answer for old, new in zip(before, after, strict=True))
    found: dict[str, Difference] = {}
    for metric in (metric for metric in PAIRED if metric in settings.metrics):
        old, new = values(before, metric), values(after, metric)
        found[metric] = Difference(
            **paired_difference(old, new, settings.resamples, settings.seed).model_dump(),
            wins=sum(b - a > _SAME for a, b in zip(old, new, strict=True)),
            losses=sum(a - b > _SAME for a, b in zip(old, new, strict=True)),
            same_answers=same,
        )
    return found


def _suite(files: SuiteFiles, context: JobContext) -> Suite:
    if files.examples is None:
        suite = builtin_suite(files.builtin, count=files.count)
        return replace(suite, prompt_format=files.prompt_format or suite.prompt_format)
    text = context.blobs.path(files.examples).read_text(encoding="utf-8")
    examples = parse_examples(text.split("\n"), files.name)
    return Suite(files.name, examples, files.prompt_format or PromptFormat(), files.lead)


def _paths(context: JobContext, files: AdapterFiles) -> tuple[str, str]:
    return str(context.blobs.path(files.config)), str(context.blobs.path(files.weights))


def _report(context: JobContext, before: int, total: int, words: str, done: int, of: int) -> None:
    context.progress((before + done / of) / total, f"{words}: {done} of {of}")


def _words(evaluation: Evaluation) -> str:
    return ", ".join(
        f"{metric.replace('_', ' ')} {value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
        for metric, value in evaluation.overall.items()
    )


def _stored(evaluations: list[Evaluation], context: JobContext) -> OutputFile:
    folder = context.workdir / "result"
    folder.mkdir()
    table = [evaluation.model_dump(mode="json") for evaluation in evaluations]
    (folder / "outcomes.json").write_text(json.dumps(table, ensure_ascii=False))
    return context.store(folder)[0]
