"""These tensors fit: by names and shapes, among many bases, for every task."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketplace.bases.models import Base
from marketplace.bases.shapes import compare, feature, fitting_bases, layers_of, lineages, shape_conflicts, summarise
from marketplace.bases.suggestion import suggest_base
from tests.marketplace.bases.conftest import MakeBase, modules

pytestmark = pytest.mark.django_db


def _names(fits: Any) -> list[tuple[str, bool]]:
    return [(fit.base.name, fit.whole) for fit in fits]


def test_features_leave_the_layer_out() -> None:
    assert feature("model.layers.12.mlp.experts.3.w1", 8, 4) == "model.layers.*.mlp.experts.*.w1 8×4"
    assert feature("h.0.attn.c_attn", 8, 4) == "h.*.attn.c_attn 8×4"
    assert feature("bert.layer2.query", 8, 4) == "bert.layer2.query 8×4"
    assert layers_of(["model.layers.3.q", "model.layers.11.q", "lm_head"]) == 12
    assert layers_of(["model.layers.3.mlp.experts.60.w1"]) == 4
    assert layers_of([]) == 0


def test_bases_of_the_same_names_and_shapes_fit(make_base: MakeBase) -> None:
    make_base("narrow", 8, 4)
    make_base("right", 16, 4)
    make_base("deeper", 16, 6)
    make_base("shallow", 16, 2)
    unread = make_base("unread", 16, 4)
    Base.objects.filter(pk=unread.pk).update(state=Base.State.PENDING)
    assert _names(fitting_bases(modules(16, 4))) == [("right", True), ("deeper", False)]
    assert _names(fitting_bases(modules(16, 4, parts=("self_attn.q_proj",)))) == [("right", True), ("deeper", False)]
    assert fitting_bases(modules(12, 4)) == []
    assert fitting_bases([]) == []
    other = [{**module, "name": module["name"].replace("q_proj", "query")} for module in modules(16, 4)]
    assert fitting_bases(other) == []


def test_a_hole_in_the_layers_is_seen(make_base: MakeBase) -> None:
    """Features are equal; only the comparison of every module tells."""
    base = make_base("holes", 16, 4)
    del base.shapes["model.layers.2.mlp.up_proj"]
    summarise(base)
    base.save()
    assert fitting_bases(modules(16, 4)) == []
    assert [found.code for found in compare(base, modules(16, 4))] == ["module_not_in_base"]


def test_names_of_another_task_count_for_that_task(make_base: MakeBase) -> None:
    headless = {name.removeprefix("model."): shape for name, shape in make_base("x", 16, 2).shapes.items()}
    base = make_base("llama", 16, 2, variants={"FEATURE_EXTRACTION": headless, "SEQ_CLS": {"score": [2, 16]}})
    bare = modules(16, 2, prefix="")
    assert _names(fitting_bases(bare, "FEATURE_EXTRACTION")) == [("llama", True)]
    assert _names(fitting_bases(bare)) == [("llama", True)]
    assert fitting_bases(bare, "CAUSAL_LM") == []
    head = {"name": "score", "kind": "linear", "d_out": 2, "d_in": 16}
    assert shape_conflicts(base, [head], "SEQ_CLS") == []
    assert shape_conflicts(base, [head], "CAUSAL_LM") == ["llama has no module score."]


def test_embeddings_alone_say_nothing(make_base: MakeBase) -> None:
    make_base("a")
    assert fitting_bases([{"name": "model.embed_tokens", "kind": "embedding", "d_out": 16, "d_in": 99}]) == []


def test_among_many_bases_few_are_compared(make_base: MakeBase) -> None:
    for number in range(60):
        make_base(f"base-{number}", 8 + number, 3)
    with CaptureQueriesContext(connection) as queries:
        assert _names(fitting_bases(modules(40, 3))) == [("base-32", True)]
    assert len(queries) == 1
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        wanted = Base.objects.filter(features__contains=[feature("model.layers.0.mlp.up_proj", 160, 40)])
        # Without an order, which another index could serve.
        explained = wanted.order_by().explain()
    assert "bases_base_features" in explained


def test_lineages_and_circles(make_base: MakeBase) -> None:
    root = make_base("root")
    child = make_base("child", parent=root)
    grandchild = make_base("grandchild", parent=child)
    other = make_base("other")
    found = lineages([grandchild, other, child])
    assert {key: [base.name for base in members] for key, members in found.items()} == {
        root.pk: ["child", "grandchild"], other.pk: ["other"],
    }  # fmt: skip
    root.parent = grandchild
    root.save()
    assert lineages([Base.objects.get(pk=child.pk)])


def test_suggestions_by_shapes(make_base: MakeBase) -> None:
    nothing = suggest_base(config_name="", modules=modules(16, 2))
    assert (nothing.base, nothing.note) == (
        None, "The config names no base. The tensors fit no base that is registered here.",
    )  # fmt: skip
    root = make_base("org/root", 16, 2)
    alone = suggest_base(config_name="./out", modules=modules(16, 2))
    assert (alone.base, alone.source, alone.named) == (root, "shapes", None)
    assert alone.note == "The config names a folder, ./out, and not a base. These tensors fit org/root alone."
    make_base("org/root-Instruct", 16, 2, parent=root)
    make_base("org/deeper", 16, 5)
    family = suggest_base(config_name="", modules=modules(16, 2))
    assert (family.base, family.source) == (root, "shapes")
    assert "fit org/root, and org/root-Instruct, made from it." in family.note
    assert [fit.base.name for fit in family.fits] == ["org/root", "org/root-Instruct", "org/deeper"]
    make_base("org/stranger", 16, 2)
    several = suggest_base(config_name="", modules=modules(16, 2))
    assert (several.base, several.source) == (None, "")
    assert several.note.endswith("These tensors fit org/root, org/root-Instruct, org/stranger and org/deeper.")


def test_names_come_before_shapes_when_they_fit(make_base: MakeBase) -> None:
    right, wrong = make_base("org/right", 16, 2), make_base("org/wrong", 8, 2)
    found = suggest_base(config_name="", card_names=["org/wrong", "org/right"], modules=modules(16, 2))
    assert (found.base, found.source) == (right, "card")
    assert found.note == ("The config names no base that is known here; the card names org/right, and the tensors fit.")
    path = suggest_base(config_name="/models/right", modules=modules(16, 2))
    assert (path.base, path.named) == (right, right)
    assert "the path /models/right, which looks like org/right, and the tensors fit" in path.note
    misled = suggest_base(config_name="/models/wrong", modules=modules(16, 2))
    assert (misled.base, misled.source) == (right, "shapes")
    assert misled.note == (
        "The name /models/wrong looks like org/wrong, but the tensors do not fit it. These tensors fit org/right alone."
    )
    assert suggest_base(config_name="org/wrong").base == wrong  # Nothing to compare while the check runs.


def test_a_copy_of_what_is_not_here_is_said_so(make_base: MakeBase) -> None:
    found = suggest_base(config_name="unsloth/Meta-Llama-3.1-8B-bnb-4bit", modules=modules(16, 2))
    assert found.note.startswith(
        "unsloth/Meta-Llama-3.1-8B-bnb-4bit is a copy of meta-llama/Llama-3.1-8B, which this site does not hold."
    )
