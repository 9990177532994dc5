"""Outputs, weights by layer, recipes and mergekit's files on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from reference.random_factors import deltas, write_random

from inference_worker.__main__ import main
from inference_worker.adapter_format import open_directory

FILES = ("adapter_config.json", "adapter_model.safetensors", "merge_report.json", "recipe.json")


@pytest.fixture
def parents(tmp_path: Path) -> list[str]:
    for seed in range(2):
        write_random(tmp_path / f"p{seed}", seed).close()
    return [str(tmp_path / f"p{seed}") for seed in range(2)]


def merge(out: Path, *arguments: str) -> dict[str, bytes]:
    assert main(["merge", "--out", str(out), *arguments]) == 0
    return {name: (out / name).read_bytes() for name in FILES}


def test_output_and_weights_as_flags(parents: list[str], tmp_path: Path) -> None:
    flags = ["--rank", "energy:0.9", "--ranks", "0/q_proj:2,0/v_proj:same", "--dtype", "float32", "--rotate"]
    flags += ["--modules", "0,1/q_proj", "--layer-weights", "2=0:-1.0,1:0.5", "--layer-weights", "0/q_proj:2.0"]
    made = merge(tmp_path / "out", "--method", "svd", *flags, "--weights", "1,0.5", *parents)
    recipe = json.loads(made["recipe.json"])
    assert recipe["output"] == {
        "rank": {"energy": 0.9},
        "ranks": [{"modules": "0/q_proj", "rank": 2}, {"modules": "0/v_proj", "rank": "same"}],
        "dtype": "float32",
        "rotate": True,
        "include": ["0", "1/q_proj"],
        "exclude": [],
    }
    first, second = (parent["layer_weights"] for parent in recipe["parents"])
    assert first == [{"modules": "0/q_proj", "factor": 2.0}]
    assert [group["modules"] for group in second] == ["0", "1", "0/q_proj"]
    with open_directory(tmp_path / "out") as reader:
        ranks = {name: info.rank for name, info in reader.modules.items()}
    assert (ranks["model.layers.0.self_attn.q_proj"], ranks["model.layers.0.self_attn.v_proj"]) == (2, 4)
    assert set(ranks) == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.v_proj",
        "model.layers.1.self_attn.q_proj",
    }


def test_cut_is_said(parents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merge(tmp_path / "out", "--method", "linear", "--rank", "2", *parents)
    assert "of a module cut off" in capsys.readouterr().out


def test_replay(parents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = merge(tmp_path / "made", "--method", "dare_ties", "--seed", "3", "--rank", "3", *parents)
    recipe = str(tmp_path / "made" / "recipe.json")
    assert merge(tmp_path / "named", "--recipe", recipe, "--threads", "1", *reversed(parents)) == made
    monkeypatch.chdir(tmp_path)
    assert merge(tmp_path / "found", "--recipe", recipe) == made


def test_replay_says_other_versions(parents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merge(tmp_path / "made", "--method", "cat", *parents)
    table = json.loads((tmp_path / "made" / "recipe.json").read_text())
    table["versions"]["torch"] = "1.0"
    (tmp_path / "old.json").write_text(json.dumps(table))
    merge(tmp_path / "again", "--recipe", str(tmp_path / "old.json"), "--json", *parents)
    captured = capsys.readouterr()
    assert "made with torch 1.0" in captured.err
    assert "made with torch 1.0" in json.loads(captured.out[captured.out.index("{") :])["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--recipe", "R", "--rank", "3"], 2, "leave --rank out"),
        (["--recipe", "R", "--dtype", "float16"], 2, "leave --dtype out"),
        (["--recipe", "R", "--method", "cat"], 2, "not allowed with"),
        (["--recipe", "nowhere.json"], 3, "nowhere.json cannot be read"),
        (["--method", "cat"], 2, "at least one adapter"),
        ([], 2, "one of the arguments"),
    ],
)
def test_faults(
    arguments: list[str], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["merge", "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert (code, words in capsys.readouterr().err) == (status, True)


def test_layers_add_up(parents: list[str], tmp_path: Path) -> None:
    """Negative weights, by layer, come out as they should."""
    merge(tmp_path / "out", "--method", "cat", "--layer-weights", "2=0:0,1:-2", *parents)
    one, two = (deltas(open_directory(parent)) for parent in parents)
    for name, delta in deltas(open_directory(tmp_path / "out")).items():
        factor = -2.0 if ".layers.1." in name else 0.0
        torch.testing.assert_close(delta, one[name] + factor * two[name], rtol=0, atol=1e-4)


def test_a_mergekit_file_and_back(parents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Adapters lie beside the file; the merge is that of the same flags; its recipe gives an equal file."""
    text = "merge_method: ties\nbase_model: org/base\nmodels:\n"
    text += "  - {model: org/base+p0, parameters: {weight: [1.0, 0.5], density: 0.5}}\n"
    text += "  - {model: org/base+p1, parameters: {weight: 0.25, density: 0.5}}\n"
    (tmp_path / "config.yml").write_text(text)
    merged = merge(tmp_path / "file", "--mergekit", str(tmp_path / "config.yml"), "--rank", "4")
    assert "cuts no rank" in capsys.readouterr().err
    flags = ["--method", "ties", "--option", "density=0.5", "--option", "average=weight", "--rank", "4"]
    flags += ["--option", "trim=module"]
    flags += ["--weights", "1,0.25", "--layer-weights", "1=0:1,1:0.5"]
    by_hand = merge(tmp_path / "flags", *flags, *parents)
    assert merged["adapter_model.safetensors"] == by_hand["adapter_model.safetensors"]
    capsys.readouterr()
    places = [argument for parent in parents for argument in ("--adapter", parent)]
    assert main(["recipe", "to-mergekit", str(tmp_path / "file/recipe.json"), "--base", "org/base", *places]) == 0
    (tmp_path / "again.yml").write_text(capsys.readouterr().out)
    again = merge(tmp_path / "again", "--mergekit", str(tmp_path / "again.yml"), "--rank", "4")
    assert again["adapter_model.safetensors"] == merged["adapter_model.safetensors"]


def test_mergekit_faults(parents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yml").write_text("merge_method: passthrough\nmodels: [{model: org/base+p0}]")
    line = ["merge", "--mergekit", str(tmp_path / "config.yml"), "--out", str(tmp_path / "out")]
    assert main([*line, parents[0]]) == 3
    assert "merge_method passthrough: known here are" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*line, "--weights", "1", parents[0]])
    assert "leave --weights out" in capsys.readouterr().err


def test_a_recipe_in_words(parents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merge(
        tmp_path / "out", "--method", "svd", "--rank", "energy:0.9", "--ranks", "0:2", "--exclude", "1/q_proj", *parents
    )
    capsys.readouterr()
    assert main(["recipe", "show", str(tmp_path / "out/recipe.json")]) == 0
    words = capsys.readouterr().out
    for part in ("svd (Truncated sum) of 2 adapters", "1 × p0", "rank energy:0.9", "rank 2 in 0", "without 1/q_proj"):
        assert part in words
    assert main(["recipe", "show", str(tmp_path / "nothing.json")]) == 3
