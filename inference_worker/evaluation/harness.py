"""Run a suite on a composition, batched by the engine, and say what came out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.evaluate import ENGINE_VERSION, Estimate, Evaluation, EvaluationSettings, Outcome
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, Strategy, WeightedAdapter
from inference_worker.errors import BadInput, EngineError
from inference_worker.evaluation.statistics import estimate
from inference_worker.evaluation.store import OutcomeStore, base_digest
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.serving.engine import Resolve
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.testbed.tasks.scorers import exact_match, token_f1

#: Seconds that one example may take, waiting included.
DEADLINE = 600.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Member:
    """An adapter of the composition, by its files, with its weight."""

    files: AdapterFiles
    weight: float = 1.0


@dataclass
class _Run:
    """What all parts of one run share."""

    pool: EnginePool
    resolve: Resolve
    base: BaseFiles
    members: Sequence[Member]
    suite: Suite
    settings: EvaluationSettings
    store: OutcomeStore
    strategy: Strategy
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def request(self, index: int, **more: Any) -> GenerateRequest:
        example = self.suite.examples[index]
        return GenerateRequest(
            request=f"evaluate-{index}",
            base=self.base,
            adapters=tuple(WeightedAdapter(adapter=member.files, weight=member.weight) for member in self.members),
            strategy=self.strategy,
            prompt=example.prompt,
            prompt_format=example.prompt_format or self.suite.prompt_format,
            deadline=time.time() + DEADLINE,
            **more,
        )


def evaluate(
    *,
    pool: EnginePool,
    resolve: Resolve,
    base: BaseFiles,
    members: Sequence[Member],
    suite: Suite,
    settings: EvaluationSettings | None = None,
    cache: Path | None = None,
    strategy: Strategy = "mix",
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Exact match, token F1 and perplexity of ``base`` with ``members`` on ``suite``, with 95 % intervals.

    Members are added up, or vote on every token as an ``ensemble``.

    Prompts are answered greedily by the engine that serves, many at a time. With ``cache``, outcomes are kept there as
    they come: a run that was stopped goes on, and one that was made is read. Raises ``EngineError`` when an example
    cannot be answered at all (``BadInput`` where the composition or the prompt is at fault).
    """
    settings = settings or EvaluationSettings()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(TemporaryDirectory(prefix="evaluation-")))
        store = stack.enter_context(OutcomeStore(folder, _key(pool, base, members, suite, settings, strategy)))
        run = _Run(pool, resolve, base, members, suite, settings, store, strategy)
        chosen = suite.chosen(settings.limit, settings.seed)
        cached = sum(_known(store, index, settings) for index in chosen)
        _fill(run, chosen, progress)
        outcomes = tuple(_outcome(index, suite.examples[index], store.rows[index]) for index in chosen)
    return Evaluation(
        suite=suite.name,
        suite_digest=suite.digest,
        base=base.name,
        composition=tuple((member.files.label, member.weight) for member in members),
        strategy=strategy,
        settings=settings,
        **estimates_of(outcomes, suite, settings),
        outcomes=outcomes,
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        seconds=time.monotonic() - started,
        cached=cached,
    )


def _key(
    pool: EnginePool,
    base: BaseFiles,
    members: Sequence[Member],
    suite: Suite,
    settings: EvaluationSettings,
    strategy: Strategy,
) -> dict[str, Any]:
    """Everything that an outcome depends on. Weight 0 is absence, and the order of members says nothing."""
    voting = {"strategy": strategy} if strategy != "mix" else {}
    return voting | {
        "engine": ENGINE_VERSION,
        "base": base_digest(base),
        "members": sorted([m.files.config, m.files.weights, m.weight] for m in members if m.weight != 0.0),
        "suite": suite.digest,
        "max_tokens": settings.max_tokens or suite.max_tokens,
        "device": str(pool.settings.resolve_device()),
        "dtype": pool.settings.dtype,
    }


def _needs(settings: EvaluationSettings) -> tuple[bool, bool]:
    """Whether answers are written, and whether the expected ones are scored."""
    return bool({"exact_match", "token_f1"} & set(settings.metrics)), "perplexity" in settings.metrics


def _known(store: OutcomeStore, index: int, settings: EvaluationSettings) -> bool:
    row = store.rows.get(index, {})
    write, score = _needs(settings)
    return ("answer" in row or not write) and ("logprob" in row or not score)


def _fill(run: _Run, chosen: Sequence[int], progress: Progress) -> None:
    """Answer and score what is not known yet, a few more at a time than the engine has rows."""
    waiting: deque[tuple[int, GenerationHandle]] = deque()
    window = run.pool.settings.max_rows + 8
    total, done = sum(1 for _ in _missing(run, chosen)), 0
    try:
        for index, request in _missing(run, chosen):
            waiting.append((index, run.pool.submit(request, run.resolve)))
            if len(waiting) >= window:
                _take(run, *waiting.popleft())
                done += 1
                progress(done, total)
        while waiting:
            _take(run, *waiting.popleft())
            done += 1
            progress(done, total)
    finally:
        for _, handle in waiting:
            handle.cancel()


def _missing(run: _Run, chosen: Sequence[int]) -> Iterator[tuple[int, GenerateRequest]]:
    write, score = _needs(run.settings)
    for index in chosen:
        row = dict(run.store.rows.get(index, {}))
        if write and "answer" not in row:
            most = run.settings.max_tokens or run.suite.max_tokens
            yield index, run.request(index, sampling=Sampling(max_tokens=most))
        if score and "logprob" not in row:
            text = run.suite.lead + run.suite.examples[index].expected[0]
            # An empty answer has no tokens, so there is nothing to score.
            if text.strip():
                yield index, run.request(index, continuation=text)
            else:
                run.store.add(index, logprob=None, answer_tokens=0)


def _take(run: _Run, index: int, handle: GenerationHandle) -> None:
    """Wait for one answer and keep it."""
    events = list(handle)
    last = events[-1]
    if last.kind == "error":
        raise _as_error(last, index, run.suite)
    if last.finish_reason in ("cancelled", "deadline"):
        raise EngineError(f"Example {index} was not answered within {DEADLINE:.0f} s.", code="evaluation_late")
    run.prompt_tokens += last.prompt_tokens
    run.completion_tokens += last.completion_tokens
    if last.finish_reason == "scored":
        run.store.add(index, logprob=sum(last.logprobs), answer_tokens=len(last.logprobs))
    else:
        run.store.add(index, answer="".join(event.text for event in events))


def _as_error(event: GenerateEvent, index: int, suite: Suite) -> EngineError:
    # By its number: whoever may run a suite may not always read it.
    message = f"Example {index + 1} of {suite.name} cannot be answered: {event.error}"
    own = event.error_code in ("engine_error", "engine_closed", "out_of_memory", "queue_full")
    return (EngineError if own else BadInput)(message, code=event.error_code)


def _outcome(index: int, example: Example, row: dict[str, Any]) -> Outcome:
    answer = row.get("answer")
    return Outcome(
        index=index,
        task=example.task,
        prompt=example.prompt,
        expected=example.expected,
        answer=(answer or "").strip(),
        exact_match=None if answer is None else float(any(exact_match(answer, right) for right in example.expected)),
        token_f1=None if answer is None else max(token_f1(answer, right) for right in example.expected),
        logprob=row.get("logprob"),
        answer_tokens=row.get("answer_tokens", 0),
    )


def estimates_of(outcomes: Sequence[Outcome], suite: Suite, settings: EvaluationSettings) -> dict[str, Any]:
    """``overall``, ``tasks`` and ``clusters`` of an ``Evaluation``."""
    tasks, clusters = {o.task for o in outcomes}, {suite.examples[o.index].cluster for o in outcomes}
    return {
        "overall": _estimates(outcomes, settings),
        "tasks": {name: _estimates([o for o in outcomes if o.task == name], settings) for name in sorted(tasks - {""})},
        "clusters": {
            name: _estimates([o for o in outcomes if suite.examples[o.index].cluster == name], settings)
            for name in sorted(clusters - {""})
        },
    }


def _estimates(outcomes: Sequence[Outcome], settings: EvaluationSettings) -> dict[str, Estimate]:
    found = {metric: estimate(outcomes, metric, settings.resamples, settings.seed) for metric in settings.metrics}
    return {metric: value for metric, value in found.items() if value is not None}
