"""Evaluate: compositions on suites, through an engine of this job's own."""

from __future__ import annotations

import json
import os
import shutil
import time
from functools import partial

from inference_worker.contracts.common import AdapterFiles, OutputFile
from inference_worker.contracts.evaluate import EvaluateRequest, EvaluateResult, Evaluation, SuiteFiles
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.harness import Member, evaluate
from inference_worker.evaluation.suite import Suite, parse_examples
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings
from inference_worker.tasks.context import JobContext


def handle(request: EvaluateRequest, context: JobContext) -> EvaluateResult:
    """Raises ``BadInput`` naming the adapter, suite or example at fault."""
    started = time.monotonic()
    suites = [_suite(files, context) for files in request.suites]
    evaluations: list[Evaluation] = []
    total = len(suites) * len(request.compositions)
    # Named by the job, so that a later attempt goes on; the collection of abandoned scratch files takes the rest.
    cache = context.blobs.scratch / f"evaluate-{context.job}"
    with EnginePool(EngineSettings.from_environment(os.environ)) as pool:
        for suite in suites:
            for composition in request.compositions:
                members = [Member(weighted.adapter, weighted.weight) for weighted in composition]
                name = " + ".join(member.files.label for member in members) or "the bare base"
                evaluations.append(
                    evaluate(
                        pool=pool,
                        resolve=partial(_paths, context),
                        base=request.base,
                        members=members,
                        suite=suite,
                        settings=request.settings,
                        cache=cache,
                        progress=partial(_report, context, len(evaluations), total, f"{name} on {suite.name}"),
                    )
                )
                context.log(f"{name} on {suite.name}: {_words(evaluations[-1])}.")
    shutil.rmtree(cache, ignore_errors=True)
    return EvaluateResult(
        evaluations=tuple(evaluation.model_copy(update={"outcomes": ()}) for evaluation in evaluations),
        outcomes=_stored(evaluations, context),
        seconds=round(time.monotonic() - started, 3),
    )


def _suite(files: SuiteFiles, context: JobContext) -> Suite:
    if files.examples is None:
        return builtin_suite(files.builtin, count=files.count)
    text = context.blobs.path(files.examples).read_text(encoding="utf-8")
    return Suite(files.name, parse_examples(text.splitlines(), files.name), files.prompt_format, files.lead)


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
