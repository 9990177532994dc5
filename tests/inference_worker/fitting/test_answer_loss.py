"""A loss in parts is the loss of all rows at once, with its gradient, and parts stay small."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from reference.tiny_adapters import tiny_llama
from torch import Tensor, nn

from inference_worker.fitting import Answers, answer_loss
from inference_worker.fitting.answer_loss import AnswerLoss
from inference_worker.fitting.examples import IGNORED


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Nine rows of 4 to 12 tokens, of which the last 1 to 3 are predicted."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 30, (9, 12), generator=generator)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for row in range(9):
        width, learnt = 4 + row, 1 + row % 3
        mask[row, :width] = 1
        labels[row, width - learnt : width] = ids[row, :learnt]
    return Answers(ids, mask, labels)


def whole(model: nn.Module, answers: Answers) -> Tensor:
    logits = model(input_ids=answers.ids, attention_mask=answers.mask).logits
    wanted = answers.labels != IGNORED
    return nn.functional.cross_entropy(logits[wanted], answers.labels[wanted])


class Plain(nn.Module):
    """A model that makes all logits, whatever it is asked."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    def get_output_embeddings(self) -> nn.Module:
        return self.model.get_output_embeddings()  # type: ignore[no-any-return]


@pytest.mark.parametrize("tokens", [1, 30, 8192])
@pytest.mark.parametrize("partial", [True, False])
def test_parts_add_up(answers: Answers, tokens: int, partial: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_loss, "MOST_TOKENS", tokens)
    model: Any = tiny_llama()
    loss = AnswerLoss(model if partial else Plain(model), answers)  # type: ignore[arg-type]
    head = model.get_output_embeddings().weight
    (expected,) = torch.autograd.grad(whole(model, answers), [head])
    found = torch.zeros_like(head)
    count = 0
    for part in loss.parts():
        found += torch.autograd.grad(part, [head])[0]
        count += 1
    assert count == {1: 9, 8192: 1}.get(tokens, count)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert loss.value() == pytest.approx(whole(model, answers).item(), rel=1e-5)
    assert loss.value() == AnswerLoss(model if partial else Plain(model), answers).value()  # type: ignore[arg-type]


@pytest.mark.parametrize("partial", [True, False])
def test_logits_are_few(answers: Answers, partial: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny_llama()
    vocabulary = model.get_output_embeddings().weight.shape[0]
    monkeypatch.setattr(answer_loss, "MOST_LOGITS", 16 * vocabulary)
    made: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: made.append(output.numel() // vocabulary)
    )
    AnswerLoss(model if partial else Plain(model), answers).value()  # type: ignore[arg-type]
    hook.remove()
    assert max(made) <= 16
    assert len(made) < 9


def test_what_is_no_number_is_infinite(answers: Answers) -> None:
    class Broken(Plain):
        def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
            return SimpleNamespace(logits=torch.full((*input_ids.shape, 30), torch.nan))

    assert AnswerLoss(Broken(tiny_llama()), answers).value() == math.inf  # type: ignore[arg-type]
