"""Merge preview: what a merge would answer, before anything is saved (kind ``merge_preview``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inference_worker.contracts.common import BaseFiles, Contract, PromptFormat
from inference_worker.contracts.merge import MergeRequest

MAX_PROMPTS = 5
MAX_PROMPT = 4000
MAX_TOKENS = 256

Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT)]


class MergePreviewRequest(Contract):
    """``base``, each of the merge's adapters by itself, and the merge answer every prompt greedily. A prompt of
    ``formats``, by its place, is put in that format, all others in ``prompt_format``."""

    base: BaseFiles
    merge: MergeRequest
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=MAX_PROMPTS)
    prompt_format: PromptFormat = PromptFormat()
    formats: dict[int, PromptFormat] = {}
    max_tokens: int = Field(default=64, ge=1, le=MAX_TOKENS)


class PreviewAnswer(Contract):
    """``finish_reason`` is ``length`` where the answer was cut at the limit."""

    text: str
    tokens: int
    finish_reason: str


class PreviewColumn(Contract):
    """One model's answers, in the order of the prompts. ``position`` is the parent's; 0 for the base and the merge."""

    kind: Literal["merge", "base", "parent"]
    label: str
    position: int = 0
    answers: tuple[PreviewAnswer, ...]


class MergePreviewResult(Contract):
    """The merge first, then the base and the parents. ``composed``: the engine added the adapters up itself, so no
    file was written at all; else the files lay in the job's own folder, which is gone."""

    columns: tuple[PreviewColumn, ...]
    composed: bool
    rank: int | None = None
    merge_seconds: float
    seconds: float
