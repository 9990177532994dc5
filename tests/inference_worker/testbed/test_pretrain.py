"""Muon, the schedule, and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from inference_worker.testbed import pretrain as pretraining
from inference_worker.testbed.corpus import Mixture, tokenizer_texts
from inference_worker.testbed.muon import Muon, orthogonalise
from inference_worker.testbed.pretrain import Recipe, Stage, pretrain
from inference_worker.testbed.tokenizer import train_tokenizer

TINY = Recipe(
    hidden=32, layers=1, feed_forward=64, heads=2, documents_per_step=8, chunks=2,
    stages=(Stage(3, Mixture(), (0.02, 0.02), (1e-3, 1e-3)), Stage(3, Mixture(), (0.02, 0.0), (1e-3, 0.0))),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(tokenizer_texts())


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_orthogonalising_keeps_the_singular_vectors() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 12, 20)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    ideal = u @ vh
    found = orthogonalise(matrix).float()
    assert torch.nn.functional.cosine_similarity(found.flatten(), ideal.flatten(), dim=0) > 0.97


def test_muon_moves_by_its_rate_whatever_the_gradient_scale() -> None:
    moves = []
    for scale in (1e-4, 1e3):
        torch.manual_seed(0)
        parameter = torch.nn.Parameter(torch.zeros(8, 8))
        parameter.grad = scale * torch.randn(8, 8)
        Muon([parameter], lr=0.1).step()
        moves.append(parameter.detach().clone())
    # The iteration runs in bfloat16, whose rounding it amplifies.
    assert torch.nn.functional.cosine_similarity(moves[0].flatten(), moves[1].flatten(), dim=0) > 0.995
    assert 0.06 < torch.linalg.matrix_norm(moves[0], 2) < 0.13


def test_schedule_warms_up_and_ends_at_the_last_rate() -> None:
    assert TINY.steps == 6
    assert TINY.at(0)[1] == pytest.approx(0.02 / 40)
    assert TINY.at(5)[1] == pytest.approx(0.02 / 3 * 6 / 40)
    with pytest.raises(ValueError, match="beyond the last stage"):
        TINY.at(6)


def test_a_resumed_run_equals_an_unbroken_one(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(pretraining, "progress_line", lambda model, tokenizer: "")
    whole, _ = pretrain(tokenizer, TINY, tmp_path / "whole.ckpt", log=lambda line: None)

    class Interrupted(Exception):
        pass

    real = pretraining.train_step

    def stops_at_four(model: torch.nn.Module, tokenizer: Tokenizer, recipe: Recipe, step: int) -> tuple[float, int]:
        if step == 4:
            raise Interrupted
        return real(model, tokenizer, recipe, step)

    monkeypatch.setattr(pretraining, "train_step", stops_at_four)
    with pytest.raises(Interrupted):
        pretrain(tokenizer, TINY, tmp_path / "broken.ckpt", log=lambda line: None, save_every=2)
    monkeypatch.setattr(pretraining, "train_step", real)
    lines: list[str] = []
    resumed, figures = pretrain(tokenizer, TINY, tmp_path / "broken.ckpt", log=lines.append, save_every=2)
    assert lines[0] == "resumed at step 4"
    assert figures["step"] == 6
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
