"""Heat map, forms and snippets of the adapter pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.adapters.forms import read_examples, write_examples
from marketplace.adapters.heat_map import MAX_ROWS, heat_map


def _module(name: str, norm: float) -> dict[str, object]:
    return {"name": name, "norm": norm, "rank": 8, "d_in": 4, "d_out": 4, "effective_rank": 3.2}


def test_kinds_are_rows_and_layers_are_columns() -> None:
    modules = [
        _module(f"base_model.model.model.layers.{layer}.self_attn.{kind}", norm)
        for layer, kind, norm in [(0, "q_proj", 2.0), (0, "v_proj", 1.0), (1, "q_proj", 4.0), (10, "v_proj", 0.0)]
    ]
    drawn = heat_map(modules)
    assert drawn is not None
    assert [label for _, label in drawn.rows] == ["q_proj", "v_proj"]
    assert [label for _, label in drawn.columns] == ["0", "1", "10"]
    assert [cell.strength for cell in drawn.cells] == [0.5, 0.25, 1.0, 0.0]
    assert len({(cell.x, cell.y) for cell in drawn.cells}) == 4
    assert drawn.largest == 4.0
    assert "rank 8, effective rank 3.2" in drawn.cells[0].title


def test_nothing_measured_draws_nothing() -> None:
    assert heat_map([]) is None


def test_zero_norms_do_not_divide() -> None:
    drawn = heat_map([_module("transformer.h.3.attn.c_attn", 0.0)])
    assert drawn is not None
    assert drawn.cells[0].strength == 0.0


def test_many_experts_are_cut_and_counted() -> None:
    drawn = heat_map([_module(f"model.layers.0.mlp.experts.{i}.up_proj", 1.0) for i in range(MAX_ROWS + 5)])
    assert drawn is not None
    assert drawn.left_out == 5
    assert len(drawn.cells) == MAX_ROWS


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a => b", [("a", "b")]),
        ("  a  \n\n c=>d ", [("a", ""), ("c", "d")]),
        (r"one\ntwo => x", [("one\ntwo", "x")]),
        (r"a\\n", [("a\\n", "")]),
    ],
)
def test_examples_are_read_line_by_line(text: str, pairs: list[tuple[str, str]]) -> None:
    assert read_examples(text) == pairs


_TEXT = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs"), include_characters="\n")).map(str.strip)


@given(
    st.lists(st.tuples(_TEXT.filter(lambda t: t and "=>" not in t), _TEXT.filter(lambda t: "=>" not in t)), max_size=4)
)
def test_examples_survive_a_round_through_the_form(pairs: list[tuple[str, str]]) -> None:
    assert read_examples(write_examples(pairs)) == pairs
