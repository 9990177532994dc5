"""Examples as token batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.serving.prompt import encode_continuation, encode_prompt

IGNORED = -100
#: Least number of examples that weights can be found from: some to fit, some to see whether it helped.
LEAST = 4


@dataclass(frozen=True)
class Answers:
    """Rows of tokens, padded on the right. ``labels`` hold IGNORED but where an answer's token is predicted."""

    ids: Tensor  # (n, width) int64
    mask: Tensor  # (n, width) int64, 1 where a token stands
    labels: Tensor  # (n, width) int64

    def __len__(self) -> int:
        return self.ids.shape[0]

    def rows(self, indices: Sequence[int]) -> Answers:
        chosen = torch.tensor(list(indices), dtype=torch.int64, device=self.ids.device)
        return Answers(self.ids[chosen], self.mask[chosen], self.labels[chosen])


def read_answers(
    tokenizer: PreTrainedTokenizerBase, suites: Sequence[Suite], device: torch.device, context: int
) -> tuple[Answers, list[int]]:
    """All examples of the suites as one batch, and the suite that each row came from.

    The end token is learnt with every answer where the base has one. Raises ``BadInput`` for fewer than LEAST examples
    and for one that the base's context does not hold.
    """
    encoded: list[tuple[list[int], list[int], int]] = []
    for number, suite in enumerate(suites):
        for example in suite.examples:
            encoded.append((*_encode(tokenizer, suite.prompt_format, suite.lead, example, context), number))
    if len(encoded) < LEAST:
        raise BadInput(
            f"Weights are found from at least {LEAST} examples with expected answers; there are {len(encoded)}.",
            code="few_examples",
        )
    width = max(len(read) + len(learn) for read, learn, _ in encoded) - 1
    ids = torch.zeros(len(encoded), width, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for row, (read, learn, _) in enumerate(encoded):
        tokens = torch.tensor([*read, *learn])
        ids[row, : len(tokens) - 1] = tokens[:-1]
        mask[row, : len(tokens) - 1] = 1
        labels[row, len(read) - 1 : len(tokens) - 1] = tokens[len(read) :]
    return Answers(ids.to(device), mask.to(device), labels.to(device)), [number for *_, number in encoded]


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat, lead: str, example: Example, context: int
) -> tuple[list[int], list[int]]:
    read = list(encode_prompt(tokenizer, prompt_format, example.prompt))
    learn = list(encode_continuation(tokenizer, prompt_format, example.prompt, lead + example.expected[0]))
    if tokenizer.eos_token_id is not None:
        learn.append(int(tokenizer.eos_token_id))
    if len(read) + len(learn) > context:
        shown = example.prompt[:60]
        raise BadInput(f"The example “{shown}” is longer than the base's {context} tokens.", code="example_too_long")
    return read, learn


def split(owners: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to fit on and rows held out: ``share`` of every suite's rows, at least one and not all, are held out.

    Suites of a single row count as one suite, so that something is held out where every suite is as small as that.
    """
    fit: list[int] = []
    held: list[int] = []
    rng = Random(f"fit:{seed}")
    suites = [[row for row, owner in enumerate(owners) if owner == number] for number in sorted(set(owners))]
    singles = [row for rows in suites if len(rows) == 1 for row in rows]
    for rows in (*(rows for rows in suites if len(rows) > 1), singles):
        rng.shuffle(rows)
        count = min(max(1, round(share * len(rows))), len(rows) - 1) if rows and share > 0.0 else 0
        held += rows[:count]
        fit += rows[count:]
    return sorted(fit), sorted(held)
