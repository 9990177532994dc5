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


Loss = Annotated[float, Field(allow_inf_nan=False)] | None


class FoundWeights(Contract):
    """What the search found. Losses are nats per token of the answers: on the fitted examples and on those held out,
    with the weights that were given (``start``) and with those that were found (``end``). None where nothing was held
    out, and where the model answers with what is no number."""

    fit_start: Loss
    fit_end: Loss
    held_start: Loss
    held_end: Loss
    rounds: int

    def words(self) -> str:
        """What the weights helped, as a line of a log."""
        if self.held_start is None or self.held_end is None:
            return "loss on held-out examples unknown"
        return f"loss on held-out examples {self.held_start:.4f}, with the weights found {self.held_end:.4f}"
