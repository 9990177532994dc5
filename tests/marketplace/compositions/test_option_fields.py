"""Forms made from the methods' own options."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods import METHODS
from marketplace.compositions.method_groups import method_groups
from marketplace.compositions.option_fields import option_fields, read_options


class Options(Contract):
    density: float = Field(default=0.5, gt=0.0, le=1.0, description="Share that is kept.")
    rounds: int = Field(default=3, ge=1, le=9)
    most: int | None = Field(default=None, ge=1)
    space: Literal["factor", "core"] = "core"
    exact: bool = True
    layers: tuple[str, ...] = ()


def test_every_kind_of_field() -> None:
    density, rounds, most, space, exact, layers = option_fields(Options, {})
    assert (density.kind, density.value, density.range, density.help) == (
        "number",
        0.5,
        "above 0, at most 1",
        "Share that is kept.",
    )
    assert (rounds.range, rounds.whole, rounds.label) == ("1 to 9", True, "Rounds")
    assert (most.kind, most.value, most.range) == ("number", "", "at least 1")
    assert (space.kind, space.choices, space.value) == ("choice", ("factor", "core"), "core")
    assert (exact.kind, exact.value) == ("check", True)
    assert (layers.kind, layers.value) == ("text", "")


def test_what_was_chosen_is_shown_again() -> None:
    chosen = read_options(Options, {"option_density": "2", "option_space": "factor", "option_layers": "a, b"})
    assert chosen == {"density": "2", "space": "factor", "exact": False, "layers": ["a", "b"]}
    shown = {option.name: option.value for option in option_fields(Options, chosen)}
    assert shown["density"] == "2"
    assert shown["exact"] is False
    assert shown["layers"] == "a, b"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_filled_in_as_shown(method: str) -> None:
    options = METHODS[method].options
    form = {}
    for option in option_fields(options, {}):
        assert option.help, f"{option.name} of {method} says nothing of itself"
        if option.kind == "check":
            form |= {f"option_{option.name}": "on"} if option.value else {}
        else:
            form[f"option_{option.name}"] = str(option.value)
    assert options.model_validate(read_options(options, form)) == options()


def test_every_method_stands_in_one_group() -> None:
    groups = method_groups()
    names = [info.name for group in groups for info in group.methods]
    assert sorted(names) == sorted(METHODS)
    assert groups[0].methods[0].name == "lego"
    assert all(group.methods for group in groups)
