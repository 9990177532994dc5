"""The examples that merge weights are found from, for methods that look for them. Free of torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from inference_worker.contracts.common import BaseFiles, Contract, PromptFormat

MAX_GROUPS = 64
MAX_EXAMPLES = 512
LONGEST = 4000


class FitExample(Contract):
    """A prompt and the answer that is to be learnt."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    expected: Annotated[str, StringConstraints(max_length=LONGEST)]


class FitGroup(Contract):
    """Examples of one kind, most often one adapter's own, in the prompt format that belongs to them."""

    name: str
    prompt_format: PromptFormat = PromptFormat()
    examples: tuple[FitExample, ...] = Field(min_length=1, max_length=MAX_EXAMPLES)


class MergeFit(Contract):
    """Of every group a share is held out, to see whether the weights help where they were not fitted."""

    base: BaseFiles
    groups: tuple[FitGroup, ...] = Field(min_length=1, max_length=MAX_GROUPS)


class FoundWeights(Contract):
    """What the search found. Losses are nats per token of the answers: on the fitted examples and on those held out,
    with the weights that were given (``start``) and with those that were found (``end``)."""

    fit_start: float
    fit_end: float
    held_start: float
    held_end: float
    rounds: int
