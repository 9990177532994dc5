"""mergekit's files: read by its own rules, written so that reading gives the same merge, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from inference_worker.contracts.merge_output import EnergyRank, GroupWeight, MergeOutput, factor_of
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from inference_worker.contracts.mergekit import MergekitMerge, read_mergekit, to_mergekit, translate
from inference_worker.errors import BadInput

MODULES = [f"model.layers.{layer}.{name}" for layer in range(5) for name in ("self_attn.q_proj", "mlp.up_proj")]
BOTH = [MODULES, MODULES]


def merge_of(text: str, modules: list[list[str]] | None = None) -> MergekitMerge:
    return translate(read_mergekit(text), modules or BOTH)


def weights_of(merge: MergekitMerge, adapter: int, modules: list[str] = MODULES) -> list[float]:
    groups = merge.layer_weights[adapter] if merge.layer_weights else ()
    return [merge.weights[adapter] * factor_of(groups, module) for module in modules]


def two(method: str, first: str = "weight: 1", second: str = "weight: 1", rest: str = "") -> str:
    return f"""
merge_method: {method}
base_model: org/base
models:
  - model: org/base
  - model: org/base+ann/one
    parameters: {{{first}}}
  - model: org/base+bob/two
    parameters: {{{second}}}
{rest}
"""


def test_ties_as_mergekit_documents_it() -> None:
    merge = merge_of(
        two(
            "ties",
            "weight: 0.5, density: 0.3",
            "weight: 0.25, density: 0.3",
            "parameters: {lambda: 0.8}\ndtype: bfloat16",
        )
    )
    assert (merge.method, merge.base, merge.adapters) == ("ties", "org/base", ("ann/one", "bob/two"))
    assert merge.weights == (0.5, 0.25)
    assert merge.layer_weights == ()
    assert merge.output == MergeOutput(dtype="bfloat16")
    wanted = {"density": 0.3, "average": "weight", "majority": "total", "scaling": 0.8, "space": "dense"}
    assert wanted.items() <= merge.options.items()
    assert any("cuts no rank" in note for note in merge.notes)


@pytest.mark.parametrize(
    ("method", "ours", "options"),
    [
        ("task_arithmetic", "task_arithmetic", {"scaling": 1.0}),
        ("dare_linear", "dare_linear", {"density": 0.5, "rescale": "l1"}),
        ("dare_ties", "dare_ties", {"density": 0.5, "rescale": "l1", "average": "sum"}),
        ("della", "della", {"epsilon": 0.3, "elect_signs": True, "average": "weight", "rescale": "l1"}),
        ("della_linear", "della", {"epsilon": 0.3, "elect_signs": False, "rescale": "l1"}),
        ("breadcrumbs", "breadcrumbs", {"gamma": 0.01, "elect_signs": False}),
        ("breadcrumbs_ties", "breadcrumbs", {"gamma": 0.01, "elect_signs": True, "average": "sum"}),
    ],
)
def test_defaults_are_those_of_mergekit(method: str, ours: str, options: dict[str, Any]) -> None:
    settings = "weight: 1" if method == "task_arithmetic" else "weight: 1, density: 0.5"
    merge = merge_of(two(method, settings, settings))
    assert merge.method == ours
    assert options.items() <= merge.options.items()


def test_linear_divides_by_all_weights() -> None:
    """The base counts with its own weight, as one of the models that are averaged."""
    text = """
merge_method: linear
models:
  - {model: org/base, parameters: {weight: 1}}
  - {model: org/base+ann/one, parameters: {weight: 2}}
  - {model: org/base+bob/two, parameters: {weight: 1}}
"""
    assert merge_of(text).method == "cat"
    assert merge_of(text).weights == (0.5, 0.25)
    assert merge_of(text + "parameters: {normalize: false}").weights == (2.0, 1.0)


def test_gradients_run_over_the_layers() -> None:
    merge = merge_of(two("task_arithmetic", "weight: [0, 1, -1]"))
    assert weights_of(merge, 0) == pytest.approx([0, 0, 0.5, 0.5, 1, 1, 0, 0, -1, -1])
    assert weights_of(merge, 1) == [1.0] * 10
    assert [group.modules for group in merge.layer_weights[0]] == ["0", "1", "2", "3", "4"]


def test_gradients_go_by_the_layers_of_the_slice() -> None:
    text = """
merge_method: task_arithmetic
base_model: org/base
slices:
  - sources:
      - {model: org/base+ann/one, layer_range: [0, 9], parameters: {weight: [0, 8]}}
      - {model: org/base+bob/two, layer_range: [0, 9]}
    parameters: {weight: 0.5}
"""
    merge = merge_of(text)
    assert weights_of(merge, 0)[::2] == pytest.approx([0, 1, 2, 3, 4])
    assert merge.weights[1] == 0.5


def test_the_first_filter_that_fits_counts() -> None:
    merge = merge_of(
        two("task_arithmetic", "weight: [{filter: q_proj, value: [0, 4]}, {filter: layers.1., value: 7}, {value: 2}]")
    )
    assert weights_of(merge, 0) == pytest.approx([0, 2, 1, 7, 2, 2, 3, 2, 4, 2])
    by_name = merge_of(two("task_arithmetic", "weight: [{filter: mlp, value: 3}, {value: 2}]"))
    assert [(group.modules, group.factor) for group in by_name.layer_weights[0]] == [("q_proj", 2.0), ("up_proj", 3.0)]


def test_settings_for_all_stand_in_for_a_models_own() -> None:
    text = two(
        "dare_linear",
        "density: 0.4",
        "density: 0.4",
        "parameters: {weight: [{filter: mlp, value: 3}], normalize: true}",
    )
    with pytest.raises(BadInput, match=r"ann/one has no weight for model.layers.0.self_attn.q_proj"):
        merge_of(text)
    merge = merge_of(text.replace("value: 3}]", "value: 3}, {value: 1}]"))
    assert weights_of(merge, 0) == [0.5] * 10


def test_layers_outside_the_layers() -> None:
    modules = ["model.embed_tokens", "model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "lm_head"]
    merge = merge_of(two("task_arithmetic", "weight: [1, 2]"), [modules, modules])
    assert weights_of(merge, 0, modules) == [1.0, 1.0, 2.0, 2.0]


def test_nuslerp_with_a_base_is_the_same() -> None:
    merge = merge_of(two("nuslerp", "weight: 1", "weight: 3"))
    assert (merge.method, merge.options["t"], merge.options["norms"]) == ("slerp", 0.75, "mergekit")
    assert not any("whole weights" in note for note in merge.notes)


def test_slerp_starts_at_its_base_and_says_what_differs() -> None:
    text = """
merge_method: slerp
base_model: org/base+bob/two
models: [{model: org/base+ann/one}, {model: org/base+bob/two}]
parameters: {t: 0.25}
"""
    merge = merge_of(text)
    assert (merge.adapters, merge.options["t"]) == (("bob/two", "ann/one"), 0.25)
    assert any("whole weights for slerp" in note for note in merge.notes)


def test_other_forms_of_a_models_name() -> None:
    text = two("ties").replace("org/base+ann/one", "{model: {path: org/base}, lora: {path: ann/one, revision: abc}}")
    assert merge_of(text).adapters == ("ann/one@abc", "bob/two")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (two("model_stock"), "merge_method model_stock: known here are breadcrumbs"),
        (two("ties", "weight: 1, density: 0.2", "weight: 1, density: 0.3"), "density differs between models"),
        (two("ties", "weight: 1, density: [0.2, 0.3]"), "density differs"),
        (two("ties", "weight: 1, colour: 3"), "ties has no colour"),
        (two("sce"), "sce has no weight"),
        (two("ties", "weight: -1"), "normalize with negative weights"),
        (
            two("task_arithmetic", rest="parameters: {normalize: true, weight: 1}").replace(
                "weight: 1}\n  - ", "weight: -1}\n  - "
            ),
            "add up to zero",
        ),
        (two("ties", rest="parameters: {rescale: true}"), "rescale: true with ties"),
        (two("dare_ties", rest="parameters: {rescale: false}"), "rescale: false with dare_ties"),
        (two("ties", rest="parameters: {lambda: 99}"), "ties: scaling"),
        (two("ties", "density: 1.0"), "has no weight"),
        (two("ties", rest="dtype: float64"), "dtype float64"),
        (two("ties", rest="chat_template: auto"), "chat_template: there is nothing like it here"),
        (two("ties", rest="tokenizer_source: union"), "cannot change the tokenizer"),
        (two("ties", rest="modules: {}"), "modules: there is nothing like it here"),
        (two("ties", "weight: .nan"), "models.1.parameters.weight"),
        (two("ties").replace("org/base+bob/two", "org/other+bob/two"), "several bases .org/base, org/other."),
        (two("ties").replace("+ann/one", "").replace("+bob/two", ""), "whole models"),
        (two("ties").replace("base_model: org/base\n", ""), "ties needs a base_model"),
        (two("nuslerp", rest="parameters: {nuslerp_flatten: false}"), "nuslerp by rows or columns"),
        (two("nuslerp", "weight: [1, 2]"), "nuslerp with weights by layer"),
        ("merge_method: ties", "write either models or slices"),
        ("[]", "not a table"),
        ("a: [", "not YAML"),
        ("a: !!python/object/apply:os.system [id]", "not YAML"),
        ("a: &x 1\nb: *x", "aliases"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper"),
        ("a: " + " " * (1 << 18), "more than 262,144 bytes"),
    ],
)
def test_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        merge_of(text)
    assert caught.value.code == "bad_mergekit"


# --- out --------------------------------------------------------------------------------------------------------------


def recipe(method: str, weights: tuple[float, ...] = (1.0, 1.0), **changes: Any) -> MergeRecipe:
    parents = tuple(
        RecipeParent(label=label, weight=weight, config="0" * 64, weights="1" * 64)
        for label, weight in zip(("ann/one", "bob/two"), weights, strict=True)
    )
    return MergeRecipe.model_validate({"method": method, "parents": parents, **changes})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("task_arithmetic", {"scaling": -2.0}),
        ("ties", {"average": "weight", "density": 0.3, "scaling": 0.5}),
        ("ties", {"average": "sum"}),
        ("ties", {"average": "sum", "trim": "module", "density": 0.3}),
        ("dare_linear", {"rescale": "l1", "density": 0.7}),
        ("dare_ties", {"rescale": "l1", "average": "weight"}),
        ("della", {"rescale": "l1", "average": "weight", "epsilon": 0.2}),
        ("della", {"rescale": "l1", "elect_signs": False}),
        ("breadcrumbs", {"gamma": 0.02}),
        ("breadcrumbs", {"elect_signs": True, "average": "sum"}),
    ],
)
def test_there_and_back(method: str, options: dict[str, Any]) -> None:
    made = recipe(method, (0.5, 0.25), options=options, output=MergeOutput(dtype="float16"))
    merge = merge_of(to_mergekit(made, "org/base"))
    assert (merge.method, merge.adapters, merge.weights) == (method, ("ann/one", "bob/two"), (0.5, 0.25))
    assert merge.output == made.output
    assert options.items() <= merge.options.items()


def test_slerp_there_and_back() -> None:
    merge = merge_of(to_mergekit(recipe("slerp", options={"t": 0.25}), "org/base", ["a", "b"]))
    assert (merge.method, merge.adapters, merge.options["t"]) == ("slerp", ("a", "b"), 0.25)


def test_weights_by_group_there_and_back() -> None:
    groups = (
        GroupWeight(modules="0-1", factor=-1.0),
        GroupWeight(modules="q_proj", factor=2.0),
        GroupWeight(modules=MODULES[5], factor=0.0),
    )
    made = recipe("cat", (0.5, 1.0))
    made = made.model_copy(
        update={"parents": (made.parents[0].model_copy(update={"layer_weights": groups}), made.parents[1])}
    )
    merge = merge_of(to_mergekit(made, "org/base"))
    assert merge.method == "task_arithmetic"
    assert weights_of(merge, 0) == pytest.approx([0.5 * factor_of(groups, module) for module in MODULES])


def test_the_papers_average_where_it_is_mergekits() -> None:
    """Dividing by the number of adapters is dividing by their weights, if all have the same, times that weight."""
    document = yaml.safe_load(to_mergekit(recipe("ties", (0.5, 0.5), options={"average": "count"}), "org/base"))
    assert document["parameters"] == {"normalize": True, "lambda": 0.5}


def test_magnitude_pruning_is_breadcrumbs_without_outliers() -> None:
    document = yaml.safe_load(to_mergekit(recipe("magnitude_prune", options={"density": 0.5}), "org/base"))
    assert document["merge_method"] == "breadcrumbs"
    assert document["models"][0]["parameters"] == {"weight": 1.0, "density": 0.5, "gamma": 0.0}


def test_what_differs_is_said_in_comments() -> None:
    text = to_mergekit(recipe("karcher", output=MergeOutput(rank=EnergyRank(energy=0.9))), "org/base")
    assert text.startswith("# Mergekit takes the whole weights for karcher")
    assert "# Mergekit writes whole models and cuts no rank" in text
    assert merge_of(text).method == "karcher"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (recipe("lego"), "it has no lego"),
        (recipe("linear"), "it has no linear"),
        (recipe("ties", options={"space": "core"}), "no ties of factors or cores"),
        (recipe("ties", (1.0, 0.5)), "not by their number"),
        (recipe("ties", (1.0, -1.0), options={"average": "weight"}), "signed weights"),
        (recipe("ties", options={"majority": "frequency"}), "signs by their total"),
        (recipe("ties", options={"trim": "model"}), "trims every tensor by itself"),
        (recipe("dare_linear"), "rescale=l1"),
        (recipe("sce", (0.5, 1.0), options={"space": "dense"}), "knows no weights"),
        (recipe("cat", output=MergeOutput(exclude=("mlp",))), "merges all modules"),
        (recipe("unheard"), "no method unheard"),
    ],
)
def test_what_mergekit_cannot_do(made: MergeRecipe, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        to_mergekit(made, "org/base")


def test_groups_that_are_no_part_of_a_name() -> None:
    made = recipe("cat")
    group = (GroupWeight(modules="0-3/q_proj", factor=2.0),)
    made = made.model_copy(
        update={"parents": (made.parents[0].model_copy(update={"layer_weights": group}), made.parents[1])}
    )
    with pytest.raises(BadInput, match="the group 0-3/q_proj is more than a part"):
        to_mergekit(made, "org/base")
