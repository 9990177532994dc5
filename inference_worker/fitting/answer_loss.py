"""The loss of a model on answers, a few rows at a time, so that memory does not grow with the number of examples."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from inference_worker.fitting.examples import IGNORED, Answers

#: Most tokens, padding included, that go through the model at once.
MOST_TOKENS = 8192
#: Most logits at once: 256 MB in float32.
MOST_LOGITS = 1 << 26


class AnswerLoss:
    """Mean cross-entropy of ``model`` on ``answers``, in nats per token of the answers.

    Rows of like lengths go together, always the same ones. Logits are made only from the first to the last place of
    such a group at which an answer's token is predicted, where the architecture takes ``logits_to_keep``.
    """

    def __init__(self, model: PreTrainedModel, answers: Answers) -> None:
        self._model = model
        self._partial = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._tokens = int((answers.labels != IGNORED).sum())
        self._groups = [answers.rows(rows) for rows in self._grouped(answers)]

    def parts(self) -> Iterator[Tensor]:
        """One term per group of rows; together they are the loss. Each has its own graph, so that what one needs in
        memory is given back before the next."""
        for group in self._groups:
            width, first, stop = _extent(group)
            ids, mask, labels = group.ids[:, :width], group.mask[:, :width], group.labels[:, first:stop]
            kept = {"logits_to_keep": torch.arange(first, stop, device=ids.device)} if self._partial else {}
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False, **kept).logits
            logits = logits if self._partial else logits[:, first:stop]
            wanted = labels != IGNORED
            summed = torch.nn.functional.cross_entropy(logits[wanted].float(), labels[wanted], reduction="sum")
            yield summed / self._tokens

    @torch.no_grad()
    def value(self) -> float:
        """The loss; infinite where the model answers with what is no number."""
        total = math.fsum(float(part) for part in self.parts())
        return total if math.isfinite(total) else math.inf

    def _grouped(self, answers: Answers) -> list[list[int]]:
        """Rows in groups that keep within MOST_TOKENS and MOST_LOGITS, or are a single row."""
        extents = {row: _extent(answers.rows([row])) for row in range(len(answers))}
        most_places = MOST_LOGITS // int(self._model.get_output_embeddings().weight.shape[0])
        groups: list[list[int]] = []
        for row in sorted(extents, key=lambda row: extents[row]):
            joined = [*groups[-1], row] if groups else [row]
            width = max(extents[one][0] for one in joined)
            span = max(extents[one][2] for one in joined) - min(extents[one][1] for one in joined)
            places = span if self._partial else width
            if groups and len(joined) * width <= MOST_TOKENS and len(joined) * places <= most_places:
                groups[-1] = joined
            else:
                groups.append([row])
        return groups


def _extent(rows: Answers) -> tuple[int, int, int]:
    """Up to where tokens stand, and from where to where labels do."""
    learnt = (rows.labels != IGNORED).any(dim=0).nonzero()
    return int(rows.mask.sum(dim=1).max()), int(learnt[0]), int(learnt[-1]) + 1
