"""``inspect DIR --against DIR…``: the verdict before anything is merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reference.random_factors import MODULES, random_factors, write_factors, write_random
from reference.tiny_adapters import make_adapter

from inference_worker.__main__ import main
from inference_worker.contracts.composability import FolderVerdict
from inference_worker.contracts.merge_methods import METHODS


def judge(capsys: pytest.CaptureFixture[str], *folders: Path) -> FolderVerdict:
    assert main(["inspect", str(folders[0]), "--json", "--against", *map(str, folders[1:])]) == 0
    return FolderVerdict.model_validate_json(capsys.readouterr().out)


def test_three_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("abc"):
        write_random(tmp_path / name, seed, rank=4 + 2 * (name == "c"))
    (tmp_path / "b" / "README.md").write_text("---\nlicense: cc-by-4.0\ntags: []\n---\nlicense: mit\n")
    verdict = judge(capsys, tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert [(pair.first, pair.second) for pair in verdict.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [adapter.licence for adapter in verdict.adapters] == ["", "cc-by-4.0", ""]
    assert (verdict.same_base, verdict.shared_modules, verdict.all_modules) == (True, 4, 4)
    states = {method.name: method for method in verdict.methods}
    assert list(states) == list(METHODS)
    assert states["cat"].state == "legal"
    assert states["linear"].state == "refused"
    assert "rank 4 in a and 6 in c" in states["linear"].reasons[0]


def test_methods_with_one_reason_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random(tmp_path / "small", 1, rank=4)
    write_random(tmp_path / "large", 2, rank=6)
    assert main(["inspect", str(tmp_path / "small"), "--against", str(tmp_path / "large")]) == 0
    text = capsys.readouterr().out
    assert text.count("rank 4 in small and 6 in large") == 1
    assert all(f" {name}" in text for name in METHODS)
    assert "  cat                legal\n" in text


def test_a_near_duplicate_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_random(tmp_path / name, 1)
    assert main(["inspect", str(tmp_path / "a"), "--against", str(tmp_path / "b")]) == 0
    text = capsys.readouterr().out
    assert "of signatures 1.000, near-duplicates" in text
    assert "same base       yes" in text


def test_what_no_method_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, dora = make_adapter(tmp_path / "plain", 1), make_adapter(tmp_path / "dora", 2, use_dora=True)
    verdict = judge(capsys, plain, dora)
    assert {method.state for method in verdict.methods} == {"refused"}
    assert "dora cannot be merged" in verdict.methods[0].reasons[0]
    (pair,) = verdict.pairs
    assert (pair.kept, {reason.code for reason in pair.not_predicted.values()}) == ({}, {"not_fitted"})
    assert main(["inspect", str(plain), "--against", str(dora)]) == 0
    text = capsys.readouterr().out
    assert text.count("dora cannot be merged") == 1
    assert "all methods        refused" in text
    assert "Not predicted: the fit has seen no adapter with dora." in text


def test_other_shapes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_factors(tmp_path / "one", {MODULES[0]: random_factors(0, 4)})
    write_factors(tmp_path / "two", {MODULES[0]: random_factors(0, 4, d_in=32)})
    assert main(["inspect", str(tmp_path / "one"), "--against", str(tmp_path / "two")]) == 0
    text = capsys.readouterr().out
    assert "modules of other shapes: 1" in text
    assert f"same shapes     no; modules that differ: 1, first {MODULES[0]}" in text


def test_a_faulty_adapter_is_shown_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    assert main(["inspect", str(tmp_path / "a"), "--against", str(tmp_path / "b"), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert {problem["code"] for problem in found["problems"]} == {"missing_file"}


def test_tokenizers_and_licences_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, (folder, licence) in enumerate(zip(folders, ("mit", "cc-by-4.0"), strict=True)):
        write_random(folder, seed)
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    assert judge(capsys, *folders).same_tokenizer is None
    for folder in folders:
        (folder / "tokenizer.json").write_text("{}")
    assert judge(capsys, *folders).same_tokenizer is True
    (folders[1] / "tokenizer.json").write_text("[]")
    assert main(["inspect", str(folders[0]), "--against", str(folders[1])]) == 0
    text = capsys.readouterr().out
    assert "same tokenizer  no" in text
    assert "same shapes     yes" in text
    assert "licence         cc-by-4.0 and mit: a merge has to meet the terms of all" in text
    assert "both merged at weight 1" in text
