"""The measurement of LoRA-LEGO's choices: scores, resuming, tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from benchmarks._testbed_cells import Bench, Cells, task_sets
from benchmarks.lego_options import CHOICES, DEFAULT, WEIGHTED, cells_of, interval, means, rank_of, run, table
from inference_worker.adapter_format import open_directory
from inference_worker.merging import merge_adapters
from inference_worker.testbed.evaluate import right_answers
from inference_worker.testbed.library import adapter_named
from inference_worker.testbed.manifest import SHIPPED
from inference_worker.testbed.saving import load_base
from inference_worker.testbed.tasks import TASKS


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(SHIPPED, count=4, exact=True)


def test_scores_are_those_of_the_written_adapter(bench: Bench, tmp_path: Path) -> None:
    """Changing the weights in place and back gives what PEFT gives."""
    names = sorted(bench.specs)[:2]
    before = bench.scores({}, names)
    with open_directory(SHIPPED / "adapters" / names[0]) as reader:
        merge_adapters([reader], [1.0], "cat", tmp_path / "out", dtype="float32")
    model = PeftModel.from_pretrained(load_base(SHIPPED / "base"), str(tmp_path / "out")).eval().get_base_model()
    expected = [right_answers(model, bench.tokenizer, bench.examples[name]) for name in names]
    found = bench.scores(bench.adapters[names[0]], names)
    assert found == [round(sum(right) / len(right), 4) for right in expected]
    bench._known.clear()
    assert bench.scores({}, names) == before
    plain = load_base(SHIPPED / "base").state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in bench.model.state_dict().items())


def test_task_sets_have_one_adapter_per_family(bench: Bench) -> None:
    sets = task_sets(sorted(bench.specs), [2, 3], 3, seed=0)
    assert sets == task_sets(sorted(bench.specs), [2, 3], 3, seed=0)
    assert {len(names) for names in sets} == {2, 3}
    for names in sets:
        assert len({TASKS[adapter_named(name).task].family for name in names}) == len(names)


def test_known_cells_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells(tmp_path / "cells.json")
    run([SHIPPED], sizes=[2], sets=1, seeds=1, count=2, cells=cells)
    assert len(cells.found) == 6 + (len(CHOICES) + len(WEIGHTED)) * 3
    assert DEFAULT in table(cells)
    again = Cells(tmp_path / "cells.json")
    assert again.found == cells.found
    monkeypatch.setattr("benchmarks.lego_options.measure", lambda *_: pytest.fail("measured again"))
    run([SHIPPED], sizes=[2], sets=1, seeds=1, count=2, cells=again)


def test_means_weigh_ranks_and_sets_alike() -> None:
    cells = Cells(None)
    cells.found = {
        "w|a+b|default|8|0": [1.0, 0.0],
        "w|a+b|default|8|1": [0.0, 0.0],
        "w|a+b|default|16|0": [1.0, 1.0],
        "w|c+d|default|8|0": [1.0, 1.0],
    }
    assert means(cells, DEFAULT, "r") == {"w|a+b": 0.25, "w|c+d": 1.0}
    assert means(cells, DEFAULT, None) == {"w|a+b": 0.625, "w|c+d": 1.0}
    assert [rank_of(words, 3) for words in ("r/2", "r", "2r", "Σr")] == [4, 8, 16, 24]
    low, high = interval([0.1, 0.2, 0.3])
    assert 0.1 <= low < 0.2 < high <= 0.3


def test_a_brick_for_every_unit_needs_one_seed() -> None:
    cells = [cell for cell in cells_of("w", ["a", "b"], 3) if cell.label == DEFAULT]
    assert [(cell.rank, cell.seed) for cell in cells] == [(4, 0), (4, 1), (4, 2), (8, 0), (8, 1), (8, 2), (16, 0)]
