"""LoRA-LEGO's options: the paper's variant, and recipes of before."""

from __future__ import annotations

from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.contracts.merge_methods.lego import PAPER


def test_the_papers_variant_fills_in_what_is_left_alone() -> None:
    options = LegoOptions(variant="paper")
    assert {name: getattr(options, name) for name in PAPER} == dict(PAPER)
    # A form sends all defaults along.
    shown = LegoOptions().model_dump(mode="json")
    assert LegoOptions.model_validate({**shown, "variant": "paper"}) == options


def test_what_is_chosen_stays_beside_the_papers_variant() -> None:
    options = LegoOptions(variant="paper", parameter_reweighting="none", restarts=9)
    assert (options.parameter_reweighting, options.restarts, options.balance) == ("none", 9, False)


def test_resolving_a_recorded_recipe_changes_nothing() -> None:
    for options in (LegoOptions(variant="paper", normalise="each"), LegoOptions(align_signs=False)):
        assert LegoOptions.model_validate(options.model_dump(mode="json")) == options


def test_normalise_may_be_yes_or_no_as_in_older_recipes() -> None:
    assert LegoOptions.model_validate({"normalise": True}).normalise == "joint"
    assert LegoOptions.model_validate({"normalise": False}).normalise == "off"
