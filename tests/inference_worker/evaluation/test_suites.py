"""Suites: read, refused with the line at fault, cut evenly, and those of the testbed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.suite import Example, Suite, read_suite, write_suite
from inference_worker.testbed.tasks import TASKS


def test_a_suite_comes_back_as_it_was_written(tmp_path: Path) -> None:
    own = Example("p", ("x",), prompt_format=PromptFormat(template="Q: {prompt}", stop=("\n",)))
    suite = Suite("own", (Example("a\nb", ("x", "y"), "t", "c"), Example("ä\u2028ö\u0085ü\x1c", ("\u2029",)), own))
    write_suite(suite, tmp_path / "own.jsonl")
    again = read_suite(tmp_path / "own.jsonl")
    assert again == suite
    assert again.digest == suite.digest


def test_the_digest_depends_on_all_that_counts_and_not_on_the_name() -> None:
    suite = Suite("a", (Example("p", ("x",)),))
    assert Suite("b", suite.examples).digest == suite.digest
    others = [
        Suite("a", (Example("p", ("y",)),)),
        Suite("a", (Example("p", ("x",), task="t"),)),
        Suite("a", suite.examples, PromptFormat(template="{prompt}!")),
        Suite("a", suite.examples, lead=""),
    ]
    assert len({other.digest for other in [suite, *others]}) == 5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not an object"),
        ('{"prompt": "p"}', "line 2: expected"),
        ('{"prompt": "p", "expected": []}', "line 2: expected"),
        ('{"prompt": "p", "expected": [1]}', "line 2: expected"),
        ('{"prompt": " ", "expected": "x"}', "line 2: prompt"),
        ('{"prompt": 5, "expected": "x"}', "line 2: prompt"),
        ('{"prompt": "p", "expected": "x", "taks": "t"}', "line 2 is not an object"),
        ('{"prompt": "p", "expected": "x", "task": 3}', "line 2: task"),
        ('{"prompt": "p", "expected": "x", "prompt_format": {"kind": "odd"}}', r"line 2: prompt_format\.kind: "),
        ('{"prompt": "p", "expected": "x", "prompt_format": 5}', "line 2: prompt_format: "),
        ("[" * 100_000, "line 2 is not JSON"),
        ('{"prompt": "a\\ud800b", "expected": "x"}', "line 2 has half of a surrogate pair"),
        ('{"prompt": "p", "expected": ["x", "\\udfff"]}', "line 2 has half of a surrogate pair"),
        ('{"prompt": "p", "expected": "x", "cluster": "\\ud800"}', "line 2 has half of a surrogate pair"),
    ],
)
def test_a_fault_is_named_with_its_line(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"prompt": "p", "expected": "x"}) + "\n" + line)
    with pytest.raises(BadInput, match=says):
        read_suite(path)


def test_empty_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    for name in ("empty.jsonl", "missing.jsonl", "binary.jsonl"):
        with pytest.raises(BadInput):
            read_suite(tmp_path / name)


def test_a_limit_takes_the_same_examples_evenly_over_the_tasks() -> None:
    suite = Suite("a", tuple(Example(str(i), ("x",), task="abc"[i % 3]) for i in range(30)))
    chosen = suite.chosen(10, seed=1)
    assert chosen == suite.chosen(10, seed=1) != suite.chosen(10, seed=2)
    assert chosen == sorted(set(chosen))
    assert sorted(Counter(suite.examples[i].task for i in chosen).values()) == [3, 3, 4]
    assert suite.chosen(None, 0) == suite.chosen(99, 0) == list(range(30))
    assert set(suite.chosen(9, 1)) < set(chosen)


def test_built_in_suites_are_drawn_by_seed() -> None:
    suite = builtin_suite("testbed:reverse", count=5, seed=3)
    assert suite == builtin_suite("testbed:reverse", count=5, seed=3)
    assert suite.digest != builtin_suite("testbed:reverse", count=5, seed=4).digest
    assert {(e.task, e.cluster) for e in suite.examples} == {("reverse", TASKS["reverse"].cluster)}
    for example in suite.examples:
        given = example.prompt.rpartition("Input: ")[2].split()
        assert example.expected == (" ".join(reversed(given)),)


def test_every_group_of_the_testbed_is_a_suite() -> None:
    named = builtin_suite("testbed:named:unseen", count=1)
    assert len({example.task for example in named.examples}) >= 48
    assert len({example.cluster for example in named.examples}) >= 8
    assert builtin_suite("testbed:compositions", count=1).examples[0].task.count("+") == 1
    readable = {example.task for example in builtin_suite("testbed:readable", count=1).examples}
    assert not readable & {example.task for example in named.examples}
    for name in ("testbed:nothing", "testbed:reverse:odd"):
        with pytest.raises(BadInput):
            builtin_suite(name)
