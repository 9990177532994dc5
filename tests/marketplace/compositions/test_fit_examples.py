"""Merges that find their weights: whose examples they get, what is refused, which weights lineage tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.compositions import planning, services
from marketplace.compositions.halves import is_for_fitting
from marketplace.core.errors import Invalid

MakeAdapter = Callable[..., Adapter]
Members = list[tuple[Adapter, float]]
pytestmark = pytest.mark.django_db
FINDING = sorted(name for name, info in METHODS.items() if info.examples)


@pytest.fixture
def base() -> Base:
    return Base.objects.create(name="tiny", source="/srv/tiny", state=Base.State.READY, task="CAUSAL_LM")


@pytest.fixture
def pair(make_adapter: MakeAdapter, ada: User, bob: User, base: Base) -> Members:
    members = []
    for owner, name in ((ada, "plural"), (bob, "past")):
        adapter = make_adapter(owner, name, base="tiny", license="mit")
        adapter.base = base
        adapter.save()
        artifact = adapter.current.artifact
        artifact.modules = [{"name": "layers.0.q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0}]
        artifact.summary = {"features": [], "task_type": "CAUSAL_LM"}
        artifact.save()
        adapter.current.prompt_format = {"kind": "plain", "template": f"{name}: {{prompt}}\n"}
        adapter.current.save()
        for position, prompt in enumerate((*prompts(name, True)[:3], *prompts(name, False)[:2])):
            adapter.examples.create(prompt=prompt, expected="yes", position=position, public=position in (2, 4))
        adapter.examples.create(prompt=f"{name} without an answer", expected="", position=5)
        members.append((adapter, 1.0))
    return members


def prompts(name: str, fitting: bool) -> list[str]:
    """Prompts of one half."""
    return [prompt for place in range(40) if is_for_fitting(prompt := f"{name} {place}") == fitting]


def test_the_methods_are_these() -> None:
    assert FINDING == ["lora_soup", "lorahub"]


@pytest.mark.parametrize("method", FINDING)
def test_the_plan_holds_the_examples_that_its_owner_may_see(pair: Members, ada: User, method: str) -> None:
    job = services.create_merge(user=ada, name="both", members=pair, method=method)
    fit = MergeRequest.model_validate(job.request).fit
    assert fit is not None
    assert (fit.base.name, fit.base.source) == ("tiny", "/srv/tiny")
    assert {group.name: [one.prompt for one in group.examples] for group in fit.groups} == {
        "ada/plural": prompts("plural", True)[:3],
        "bob/past": prompts("past", True)[2:3],
    }
    assert [group.prompt_format.template for group in fit.groups] == ["plural: {prompt}\n", "past: {prompt}\n"]


def test_other_methods_take_the_weights_as_given(pair: Members, ada: User) -> None:
    plan = planning.plan_merge(user=ada, members=pair, method="cat")
    assert plan.request.fit is None
    with pytest.raises(Invalid, match="choose it as the merge's own method"):
        planning.vary(plan, weights=[1.0, 1.0], method="lorahub", output={}, options={})
    finding = planning.plan_merge(user=ada, members=pair, method="lorahub")
    varied = planning.vary(finding, weights=[0.5, 0.5], method="lora_soup", output={}, options={})
    assert varied.request.fit == finding.request.fit
    assert planning.vary(finding, weights=[1, 1], method="svd", output={}, options={}).request.fit is None


def test_too_few_examples_are_said(pair: Members, bob: User, ada: User) -> None:
    pair[0][0].examples.filter(public=False).delete()
    with pytest.raises(Invalid, match=r"at least 4 examples .* takes one half .* 2 of the 4 that"):
        services.create_merge(user=ada, name="both", members=pair, method="lorahub")


def test_halves_are_of_prompts_and_nearly_equal() -> None:
    """Wherever a prompt stands, and whatever blanks surround it."""
    halves = [is_for_fitting(f"Write the plural of noun {place}") for place in range(400)]
    assert 160 < sum(halves) < 240
    assert is_for_fitting(" a prompt\n") == is_for_fitting("a prompt")


def test_how_many_examples_judge_it_is_said_before(pair: Members, ada: User) -> None:
    def words() -> list[str]:
        return services.plan_caveats(user=ada, members=pair, method="lorahub", options={})

    (sentence,) = words()
    assert "learns from 4 of the 7 examples that you may see" in sentence
    assert "so that 3 are left to judge it by, which says little" in sentence
    for prompt in prompts("plural", False)[2:6]:
        pair[0][0].examples.create(prompt=prompt, expected="yes", position=9)
    (sentence,) = words()
    assert sentence.endswith("learns from 4 of the 11 examples that you may see; the other 7 judge it.")
    assert services.plan_caveats(user=ada, members=pair, method="svd", options={}) == []


def test_a_base_that_is_not_served_cannot_be_tried(pair: Members, ada: User, base: Base) -> None:
    base.served = False
    base.save()
    with pytest.raises(Invalid, match="tiny is not served here"):
        services.create_merge(user=ada, name="both", members=pair, method="lora_soup")


def test_faults_of_options_are_named(pair: Members, ada: User) -> None:
    wrong: dict[str, Any] = {"evaluations": 1}
    with pytest.raises(Invalid, match="evaluations"):
        services.create_merge(user=ada, name="both", members=pair, method="lorahub", options=wrong)
