"""Short words for groups of modules."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from inference_worker.contracts.module_selectors import Selector, layer_of, select_modules, selects

Q3 = "model.layers.3.self_attn.q_proj"
EXPERT = "model.layers.3.mlp.experts.5.w1"


@pytest.mark.parametrize(
    ("selector", "module", "fits"),
    [
        ("3", Q3, True),
        ("0-3", Q3, True),
        ("4-9", Q3, False),
        ("5", EXPERT, False),  # an expert's number is no layer
        ("0-99", "lm_head", False),
        ("q_proj", Q3, True),
        ("q_pro", Q3, False),
        ("proj", Q3, False),
        ("self_attn", Q3, True),
        ("self_attn.q_proj", Q3, True),
        ("?_proj", Q3, True),
        ("*_proj", Q3, True),
        ("experts.*.w1", EXPERT, True),
        ("3/q_proj", Q3, True),
        ("3/k_proj", Q3, False),
        ("0-2/q_proj", Q3, False),
        (Q3, Q3, True),
        (Q3, Q3 + "_two", False),
    ],
)
def test_what_a_selector_fits(selector: str, module: str, fits: bool) -> None:
    assert selects(selector, module) is fits


def test_include_and_exclude() -> None:
    modules = [f"model.layers.{layer}.self_attn.{name}" for layer in range(3) for name in ("q_proj", "v_proj")]
    assert select_modules(modules, (), ()) == modules
    assert select_modules(modules, ("0-1",), ("v_proj",)) == [modules[0], modules[2]]
    assert select_modules(modules, (), ("*",)) == []


@pytest.mark.parametrize("text", ["", "a b", "a/", "/", "7-3", "q[ab]", "x" * 201, "(a+)+"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Selector).validate_python(text)


def test_layers() -> None:
    assert (layer_of(Q3), layer_of(EXPERT), layer_of("lm_head")) == (3, 3, None)
