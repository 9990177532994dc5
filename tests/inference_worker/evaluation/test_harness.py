"""Evaluations on the shipped base: values against plain decoding, the cache, resuming, faults."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference_worker.__main__ import main
from inference_worker.cli.generate import adapter_paths, file_sha256
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.evaluate import METRICS, Evaluation, EvaluationSettings
from inference_worker.errors import BadInput
from inference_worker.evaluation import Example, Member, Suite, evaluate
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.store import base_digest
from inference_worker.evaluation.suite import write_suite
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings

SHIPPED = Path(__file__).parents[3] / "inference_worker" / "testbed" / "shipped"
BASE = BaseFiles(name="wordsmith", source=str(SHIPPED / "base"))
FOLDER = SHIPPED / "adapters" / "reverse-words"
ALL = EvaluationSettings(metrics=METRICS, max_tokens=24)


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(EngineSettings(device="cpu", dtype="float32")) as pool:
        yield pool


@pytest.fixture(scope="module")
def suite() -> Suite:
    return builtin_suite("testbed:reverse", count=12)


@pytest.fixture
def member() -> Member:
    config, weights = adapter_paths(FOLDER)
    return Member(AdapterFiles(label="reverse", config=file_sha256(config), weights=file_sha256(weights)))


def run(pool: EnginePool, suite: Suite, *members: Member, **more: Any) -> Evaluation:
    return evaluate(
        pool=pool, resolve=lambda files: adapter_paths(FOLDER), base=BASE, members=members, suite=suite,
        **{"settings": ALL, **more},
    )  # fmt: skip


def test_values_are_those_of_peft(pool: EnginePool, suite: Suite, member: Member) -> None:
    """Greedy answers and log-probabilities one prompt at a time, by transformers and PEFT alone."""
    tokenizer = AutoTokenizer.from_pretrained(BASE.source)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE.source), FOLDER).float().eval()
    found = run(pool, suite, member)
    loss, tokens = 0.0, 0
    for outcome in found.outcomes:
        prompt = f"{outcome.prompt}\nOutput:"
        before = tokenizer(prompt, return_tensors="pt").input_ids
        whole = tokenizer(f"{prompt} {outcome.expected[0]}", return_tensors="pt").input_ids
        with torch.inference_mode():
            written = model.generate(input_ids=before, max_new_tokens=24, do_sample=False)[0, before.shape[1] :]
            logits = model(input_ids=whole).logits[0].log_softmax(-1)
        answer = tokenizer.decode(written, skip_special_tokens=True).partition("\n")[0].strip()
        assert outcome.answer == answer
        assert outcome.exact_match == float(answer == outcome.expected[0])
        own = logits[before.shape[1] - 1 : -1].gather(-1, whole[0, before.shape[1] :, None]).sum().item()
        assert outcome.logprob == pytest.approx(own, abs=1e-3)
        loss, tokens = loss - own, tokens + whole.shape[1] - before.shape[1]
    assert found.overall["exact_match"].value >= 0.9
    assert found.overall["perplexity"].value == pytest.approx(math.exp(loss / tokens), rel=1e-3)
    assert found.tasks["reverse"] == found.overall


def test_the_base_alone_does_not_know_the_task(pool: EnginePool, suite: Suite, member: Member) -> None:
    assert run(pool, suite).overall["exact_match"].value <= 0.2
    absent = run(pool, suite, Member(member.files, 0.0))
    assert [outcome.answer for outcome in absent.outcomes] == [outcome.answer for outcome in run(pool, suite).outcomes]


def test_a_second_run_is_read_and_a_broken_one_goes_on(
    pool: EnginePool, suite: Suite, member: Member, tmp_path: Path
) -> None:
    first = run(pool, suite, member, cache=tmp_path)
    again = run(pool, suite, member, cache=tmp_path)
    assert (first.cached, again.cached, again.completion_tokens) == (0, 12, 0)
    assert again.outcomes == first.outcomes
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:9])  # Killed in the middle of a line.
    resumed = run(pool, suite, member, cache=tmp_path)
    assert 0 < resumed.cached < 12
    # What was missing is asked in other batches, whose sums may round otherwise.
    found, asked = ([one.model_dump(exclude={"logprob"}) for one in each.outcomes] for each in (resumed, first))
    assert found == asked
    assert [one.logprob for one in resumed.outcomes] == pytest.approx([one.logprob for one in first.outcomes], abs=1e-5)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_other_metrics_and_limits_use_what_is_known(pool: EnginePool, suite: Suite, tmp_path: Path) -> None:
    plain = EvaluationSettings(max_tokens=24, limit=5)
    assert run(pool, suite, settings=plain, cache=tmp_path).cached == 0
    assert len(list(tmp_path.iterdir())) == 1
    scored = run(pool, suite, settings=ALL.model_copy(update={"limit": 5}), cache=tmp_path)
    assert (scored.cached, scored.completion_tokens < 200, "perplexity" in scored.overall) == (0, True, True)
    assert run(pool, suite, settings=plain, cache=tmp_path).cached == 5
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("expected", "tokens"), [("la", 18), ("é" * 100, 216), ("x" * 5000, 1024)])
def test_answers_may_be_as_long_as_what_is_expected(expected: str, tokens: int) -> None:
    assert Suite("s", (Example("a", ("l",)), Example("b", ("l", expected)))).max_tokens == tokens


def test_long_answers_are_not_cut_off(pool: EnginePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, submit = [], pool.submit

    def record(request: Any, resolve: Any) -> Any:
        asked.append(request.sampling.max_tokens)
        return submit(request, resolve)

    monkeypatch.setattr(pool, "submit", record)
    wide = Suite("s", (Example("cat", ("x" * 184,)),))
    assert run(pool, wide, settings=EvaluationSettings(), cache=tmp_path).cached == 0
    assert run(pool, wide, settings=EvaluationSettings(max_tokens=200), cache=tmp_path).cached == 1, "the same limit"
    run(pool, wide, settings=EvaluationSettings(max_tokens=9), cache=tmp_path)
    assert asked == [200, 9]


def test_another_composition_suite_or_base_is_another_file(
    pool: EnginePool, suite: Suite, member: Member, tmp_path: Path
) -> None:
    small = EvaluationSettings(limit=1, max_tokens=8)
    run(pool, suite, settings=small, cache=tmp_path)
    run(pool, suite, member, settings=small, cache=tmp_path)
    run(pool, suite, Member(member.files, 0.5), settings=small, cache=tmp_path)
    run(pool, builtin_suite("testbed:reverse", count=3), settings=small, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    other = tmp_path / "base"
    other.mkdir()
    (other / "config.json").write_text("{}")
    assert base_digest(BaseFiles(name="a", source=str(other))) != base_digest(BASE)


def test_a_prompt_that_cannot_be_answered_is_named(pool: EnginePool) -> None:
    with pytest.raises(BadInput, match="Example 1 of long cannot be answered") as caught:
        run(pool, Suite("long", (Example("word " * 3000, ("x",)),)))
    assert caught.value.code == "prompt_too_long"


def test_the_command_prints_tables_and_json(suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(Suite("own", suite.examples[:4]), tmp_path / "own.jsonl")
    arguments = [
        "evaluate", "--base", BASE.source, "--adapter", str(FOLDER), "--suite", str(tmp_path / "own.jsonl"),
        "--template", "{prompt}\\nOutput:", "--stop", "\\n", "--cache", str(tmp_path / "cache"), "--against-base",
    ]  # fmt: skip
    assert main([*arguments, "--out", str(tmp_path / "all.json")]) == 0
    table = capsys.readouterr().out
    assert "exact_match, own" in table
    assert "reverse-words" in table
    written = json.loads((tmp_path / "all.json").read_text())
    assert [len(one["outcomes"]) for one in written] == [4, 4]
    assert main([*arguments, "--json"]) == 0
    short = json.loads(capsys.readouterr().out)
    assert short[1]["overall"]["exact_match"]["value"] == written[1]["overall"]["exact_match"]["value"]
    assert short[1]["cached"] == 4
    assert main(["evaluate", "--base", BASE.source, "--suite", "testbed:nothing"]) == 3
