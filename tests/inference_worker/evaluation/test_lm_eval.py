"""The harness of lm-eval over the engine: values against its own transformers model, on a local task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="the optional extra lm-eval is not installed")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from inference_worker.cli.generate import adapter_paths, file_sha256
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.harness import Member
from inference_worker.evaluation.lm_eval_model import EngineLM, run_tasks
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings

pytestmark = pytest.mark.filterwarnings("ignore")

SHIPPED = Path(__file__).parents[3] / "inference_worker" / "testbed" / "shipped"
BASE = BaseFiles(name="wordsmith", source=str(SHIPPED / "base"))
FOLDER = SHIPPED / "adapters" / "reverse-words"
TASK = """
task: reverse_{kind}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {output}
doc_to_text: "{{{{prompt}}}}\\nOutput:"
"""


@pytest.fixture(scope="module")
def model() -> Iterator[EngineLM]:
    config, weights = adapter_paths(FOLDER)
    files = AdapterFiles(label="reverse", config=file_sha256(config), weights=file_sha256(weights))
    with EnginePool(EngineSettings(device="cpu", dtype="float32")) as pool:
        yield EngineLM(pool, lambda _: adapter_paths(FOLDER), BASE, [Member(files)])


@pytest.fixture(scope="module")
def reference() -> HFLM:
    """The harness's own model: transformers with PEFT."""
    return HFLM(pretrained=BASE.source, peft=str(FOLDER), device="cpu", dtype="float32", batch_size=1)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two local tasks on the same documents: one writes, one chooses between two answers."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    rows = []
    for example in builtin_suite("testbed:reverse", count=8).examples:
        wrong = example.prompt.rpartition("Input: ")[2]
        rows.append({"prompt": example.prompt, "answer": example.expected[0], "choices": [wrong, example.expected[0]]})
    data = tmp_path / "documents.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    folder = tmp_path / "tasks"
    folder.mkdir()
    writes = TASK.format(kind="writes", data=data, output="generate_until")
    writes += 'doc_to_target: "{{answer}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 24}\n'
    writes += "filter_list: [{name: strip, filter: [{function: regex, regex_pattern: '^\\s*(.*?)\\s*$'}, "
    writes += "{function: take_first}]}]\nmetric_list: [{metric: exact_match}]\n"
    (folder / "writes.yaml").write_text(writes)
    chooses = TASK.format(kind="chooses", data=data, output="multiple_choice")
    chooses += 'doc_to_choice: "{{choices}}"\ndoc_to_target: 1\nmetric_list: [{metric: acc}]\n'
    (folder / "chooses.yaml").write_text(chooses)
    return folder


def test_local_tasks_run_on_a_composition(model: EngineLM, tasks: Path) -> None:
    results = run_tasks(model, ["reverse_writes", "reverse_chooses"], include=tasks)
    assert results["reverse_writes"]["exact_match,strip"] >= 0.8
    assert results["reverse_chooses"]["acc,none"] >= 0.8


def test_an_unknown_task_is_named(model: EngineLM, tasks: Path) -> None:
    with pytest.raises(BadInput, match="no_such_task"):
        run_tasks(model, ["no_such_task"], include=tasks)


def instances(kind: Any, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=args, idx=i) for i, args in enumerate(arguments)]


def test_log_likelihoods_are_the_harness_own(model: EngineLM, reference: HFLM) -> None:
    pairs: list[tuple[Any, ...]] = [
        (f"{example.prompt}\nOutput:", f" {example.expected[0]}")
        for example in builtin_suite("testbed:reverse", count=4).examples
    ]
    pairs += [("the cat ", "dog"), ("", "cat dog table"), ("word " * 600, " cat")]
    found = model.loglikelihood(instances("loglikelihood", pairs))
    expected = reference.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    for (logprob, greedy), (own, own_greedy) in zip(found, expected, strict=True):
        assert logprob == pytest.approx(own, abs=2e-3, rel=1e-4)
        assert greedy == own_greedy


def test_rolling_log_likelihoods_are_the_harness_own(model: EngineLM, reference: HFLM) -> None:
    texts: list[tuple[Any, ...]] = [("cat dog table pear",), ("river stone " * 400,)]
    found = model.loglikelihood_rolling(instances("loglikelihood_rolling", texts))
    expected = reference.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    assert found == pytest.approx(expected, rel=1e-4)


def test_answers_are_the_harness_own(model: EngineLM, reference: HFLM) -> None:
    options = {"until": ["\n"], "max_gen_toks": 16}
    asked: list[tuple[Any, ...]] = [
        (f"{example.prompt}\nOutput:", dict(options)) for example in builtin_suite("testbed:reverse", count=4).examples
    ]
    found = model.generate_until(instances("generate_until", asked))
    expected = reference.generate_until(instances("generate_until", asked), disable_tqdm=True)
    assert [text.strip() for text in found] == [text.strip() for text in expected]
