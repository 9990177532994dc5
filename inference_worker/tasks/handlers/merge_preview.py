"""Merge preview: base, parents and a merge that is not saved answer the same prompts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference_worker.contracts.generate import GenerateRequest, Sampling, WeightedAdapter
from inference_worker.contracts.merge_preview import (
    MergePreviewRequest,
    MergePreviewResult,
    PreviewAnswer,
    PreviewColumn,
)
from inference_worker.errors import BadInput, EngineError
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.serving.settings import EngineSettings
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers.trial import LABEL, Bench, alone

#: Seconds that one answer may take, the base's loading included.
DEADLINE = 600.0
#: The share of the job that the merge itself is, for its progress.
_MERGED = 0.5


@dataclass(frozen=True)
class _Column:
    kind: Literal["merge", "base", "parent"]
    label: str
    position: int
    members: tuple[WeightedAdapter, ...]


def handle(request: MergePreviewRequest, context: JobContext) -> MergePreviewResult:
    """Raises ``Refused`` and ``BadInput`` as merging and generating do."""
    started = time.monotonic()
    bench = Bench(context)

    def merging(fraction: float, words: str) -> None:
        context.progress(_MERGED * fraction, words)

    with (
        bench.trial(request.merge, merging) as trial,
        EnginePool(EngineSettings.from_environment(os.environ)) as pool,
    ):
        context.log("The engine adds the adapters up itself." if trial.composed else f"Merged to rank {trial.rank}.")
        columns = [_Column("merge", LABEL, 0, trial.members), _Column("base", request.base.name, 0, ())]
        parents = zip(request.merge.adapters, alone(request.merge.adapters), strict=True)
        columns += [_Column("parent", files.label, i, members) for i, (files, members) in enumerate(parents)]
        answered = _answers(pool, bench, request, columns, context)
        return MergePreviewResult(
            columns=answered,
            composed=trial.composed,
            rank=trial.rank,
            merge_seconds=round(trial.seconds, 3),
            seconds=round(time.monotonic() - started, 3),
        )


def _answers(
    pool: EnginePool, bench: Bench, request: MergePreviewRequest, columns: Sequence[_Column], context: JobContext
) -> tuple[PreviewColumn, ...]:
    """Every column's answers; all of them run in one batch."""
    places = range(len(request.prompts))
    handles = [[_submit(pool, bench, request, column, place) for place in places] for column in columns]
    total, done, found = len(columns) * len(request.prompts), 0, []
    for column, row in zip(columns, handles, strict=True):
        answers = []
        for handle in row:
            answers.append(_answer(handle, column.label))
            done += 1
            context.progress(_MERGED + (1 - _MERGED) * done / total, f"{done} of {total} answers")
        found.append(
            PreviewColumn(kind=column.kind, label=column.label, position=column.position, answers=tuple(answers))
        )
    return tuple(found)


def _submit(
    pool: EnginePool, bench: Bench, request: MergePreviewRequest, column: _Column, place: int
) -> GenerationHandle:
    return pool.submit(
        GenerateRequest(
            request=f"preview-{column.kind}-{column.position}",
            base=request.base,
            adapters=column.members,
            prompt=request.prompts[place],
            prompt_format=request.formats.get(place, request.prompt_format),
            sampling=Sampling(max_tokens=request.max_tokens),
            deadline=time.time() + DEADLINE,
        ),
        bench.resolve,
    )


def _answer(handle: GenerationHandle, label: str) -> PreviewAnswer:
    events = list(handle)
    last = events[-1]
    if last.kind == "error":
        own = last.error_code in ("engine_error", "engine_closed", "out_of_memory", "queue_full")
        raise (EngineError if own else BadInput)(f"{label} cannot answer: {last.error}", code=last.error_code)
    if last.finish_reason in ("cancelled", "deadline"):
        raise EngineError(f"{label} did not answer within {DEADLINE:.0f} s.", code="preview_late")
    text = "".join(event.text for event in events).strip()
    return PreviewAnswer(text=text, tokens=last.completion_tokens, finish_reason=last.finish_reason)
