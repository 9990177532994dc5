"""The measurement behind the prediction of interference: pairs are measured once, and give shares of gains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._testbed_cells import Bench, Cells
from benchmarks.interference import MERGES, able, adds_up, measure, observations, options, run
from inference_worker.contracts.interference import Predictors
from inference_worker.testbed.manifest import SHIPPED


def test_a_run_goes_on_and_stores_what_it_fitted(tmp_path: Path) -> None:
    out, fit = tmp_path / "pairs.json", tmp_path / "interference.json"
    bench, cells = Bench(SHIPPED, 4, takes=adds_up), Cells(out)
    measure(bench, cells, most=2, seconds=600, seed=0)
    assert sum(key.startswith("cat ") for key in cells.found) == 2
    before = json.loads(out.read_text())
    arguments = ["--out", str(out), "--pairs", "3", "--count", "4", "--fit", str(fit), "--world", "here"]
    stored = run(options().parse_args(arguments))
    after = json.loads(out.read_text())
    assert {key: after[key] for key in before} == before
    assert sum(key.startswith("lego ") for key in after) == 3
    # Of three pairs nothing can be said about held-out adapters, and so nothing is predicted.
    assert [(item.method, item.pairs, item.source) for item in stored.predictors] == [(m, 3, "none") for m in MERGES]
    assert Predictors.model_validate_json(fit.read_text()) == stored


def test_shares_are_of_the_gain_over_the_base() -> None:
    bench, cells = Bench(SHIPPED, 4, takes=adds_up), Cells(None)
    first, second = sorted(bench.specs)[:2]
    cells.found = {f"alone {name}": [0.0, 0.1] for name in bench.specs}
    cells.found |= {f"alone {first}": [0.2, 1.0], f"alone {second}": [0.0, 0.5]}
    cells.found |= {f"{method} {first} + {second}": [0.6, 0.5] for method in MERGES}
    assert able(bench, cells) == [first, second]
    (found,) = observations(bench, cells)["cat"]
    assert found.kept == pytest.approx((0.5, 1.0))
