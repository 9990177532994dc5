"""The merge benchmark in its quick mode: bounds that a slow or greedy change breaks.

The bounds leave room for small shapes and busy machines; docs/benchmarks.md has the figures for real shapes.
"""

from __future__ import annotations

import json

import pytest

from benchmarks._merge_peers import Row
from benchmarks.merge import markdown, options, run


def quick(*arguments: str) -> dict[str, list[Row]]:
    return run(options().parse_args(["--quick", "--repeat", "1", "--adapters", "4", *arguments]))


@pytest.fixture(scope="module")
def modules() -> list[Row]:
    return quick("--parts", "modules")["modules"]


def number(row: Row, key: str) -> float:
    value = row[key]
    assert isinstance(value, int | float)
    return value


def test_merges_are_many_times_faster_than_their_peers(modules: list[Row]) -> None:
    least = {"svd": 10.0, "lego": 4.0}
    for row in modules:
        method = str(row["method"]).partition(",")[0]
        assert number(row, "times_faster") >= least[method], json.dumps(row)
    assert {str(row["peer"]).partition(" ")[0] for row in modules} == {"peft", "scikit-learn"}


def test_clusters_are_as_tight_as_scikit_learns(modules: list[Row]) -> None:
    ratios = [number(row, "inertia_ratio") for row in modules if "inertia_ratio" in row]
    assert len(ratios) == 3
    assert max(ratios) <= 1.0


@pytest.mark.processes
def test_memory_does_not_grow_with_the_number_of_layers() -> None:
    """Four times the layers are 95 MB more of factors; the libraries' resident pages differ from run to run."""
    few, many = quick("--parts", "scaling", "--methods", "lego", "--threads", "1")["scaling"]
    assert number(many, "megabytes") > 3.9 * number(few, "megabytes")
    assert number(many, "peak_mb") <= number(few, "peak_mb") + 80.0


def test_rows_become_a_table() -> None:
    assert markdown([{"a": 1}, {"a": 2, "b": 3}]).splitlines()[2:] == ["| 1 |  |", "| 2 | 3 |"]
