"""``inspect`` and ``merge`` on the command line: exit status, words, JSON; as whole processes where that matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reference.hostile_files import HEADERS, write_pair
from reference.random_factors import deltas, write_random
from reference.tiny_adapters import adapter_logits, make_adapter

from inference_worker.__main__ import main
from inference_worker.adapter_format import open_directory
from inference_worker.contracts.merge_methods import METHODS

ROOT = Path(__file__).parents[3]


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "inference_worker", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_merge_as_a_process(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / str(seed), seed) for seed in range(2)]
    out = tmp_path / "out"
    done = command("merge", "--method", "svd", "--rank", "8", "--weights", "0.5,-0.3", "--out", out, *parents, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert (summary["modules"], summary["rank"]) == (4, 8)
    assert summary["largest_error"] < 1e-5
    assert [parent["weight"] for parent in summary["recipe"]["parents"]] == [0.5, -0.3]
    assert sorted(path.name for path in out.iterdir()) == summary["files"]
    assert torch.isfinite(adapter_logits(out)).all()


def test_neither_django_nor_transformers_is_needed() -> None:
    code = (
        "import sys; import inference_worker.cli.inspect, inference_worker.cli.merge; "
        "print([name for name in ('django', 'transformers', 'peft', 'safetensors', 'celery') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_web_side_sees_methods_without_torch() -> None:
    code = (
        "import sys; from inference_worker.contracts.merge_methods import METHODS; "
        "print('torch' in sys.modules, sorted(METHODS))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"False {sorted(METHODS)}"


def test_merge_options_and_seed(tmp_path: Path) -> None:
    for seed in range(2):
        write_random(tmp_path / str(seed), seed).close()
    parents = [str(tmp_path / str(seed)) for seed in range(2)]
    base = ["merge", "--method", "lego", "--rank", "8", *parents]
    assert main([*base, "--option", "output_reweighting=false", "--seed", "4", "--out", str(tmp_path / "out")]) == 0
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert recipe["options"]["output_reweighting"] == "never"
    assert recipe["seed"] == 4
    with open_directory(tmp_path / "out") as merged:
        found = deltas(merged)
    expected = [deltas(open_directory(parent)) for parent in parents]
    for name, delta in found.items():
        torch.testing.assert_close(delta, expected[0][name] + expected[1][name], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--method", "lego", "--option", "parameter_reweighting=l3"], 3, "parameter_reweighting"),
        (["--method", "lego", "--option", "colour=red"], 3, "Options it has"),
        (["--method", "cat", "--rank", "none"], 2, "is no rank: write a number from 1"),
        (["--method", "cat", "--rank", "inertia:0.9"], 3, "has no clusters"),
        (["--method", "cat", "--ranks", "q_proj"], 2, "no group and value"),
        (["--method", "cat", "--modules", "k_proj"], 3, "fits no module"),
        (["--method", "cat", "--modules", "a b"], 3, "match pattern"),
        (["--method", "cat", "--layer-weights", "2=0:1.0"], 3, "There is no adapter 2"),
        (["--method", "cat", "--layer-weights", "0:lots"], 2, "could not convert"),
        (["--method", "cat", "--weights", "1,2"], 3, "2 weights for 1 adapters"),
        (["--method", "mean"], 2, "invalid choice"),
        (["--method", "svd", "--rank", "0"], 2, "is no rank"),
        (["--method", "svd", "--weights", "a"], 2, "is no number"),
    ],
)
def test_merge_faults(
    arguments: list[str], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random(tmp_path / "a", 1).close()
    line = ["merge", *arguments, "--out", str(tmp_path / "out"), str(tmp_path / "a")]
    try:
        found = main(line)
    except SystemExit as end:  # argparse
        found = int(end.code or 0)
    assert found == status
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_merge_lists_the_problems_of_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(tmp_path / "bad", weights=HEADERS["torch zip"][0])
    line = ["merge", "--method", "cat", "--out", str(tmp_path / "out"), str(tmp_path / "bad"), "--json"]
    assert main(line) == 3
    fault = json.loads(capsys.readouterr().out)
    assert fault["code"] == "pickle_refused"
    assert "save_file" in fault["extra"]["problems"][0]["remedy"]


def test_inspect_shows_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_adapter(tmp_path / "good", 1, use_rslora=True)
    assert main(["inspect", str(tmp_path / "good")]) == 0
    text = capsys.readouterr().out
    assert "valid" in text
    assert "model.layers.1.mlp.up_proj" in text
    assert "rslora" in text
    assert main(["inspect", str(tmp_path / "good"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["valid"] is True
    assert len(result["signature"]) == 256


@pytest.mark.parametrize(("name", "code"), [("pickle", "pickle_refused"), ("lfs pointer", "lfs_pointer")])
def test_inspect_ends_with_three_on_problems(
    name: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path, weights=HEADERS[name][0])
    assert main(["inspect", str(tmp_path)]) == 3
    assert code in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "nowhere"), "--json"]) == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["code"] for problem in problems] == ["missing_file", "missing_file"]
