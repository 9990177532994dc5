"""The combine page's form: what people write, what the services get, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import QueryDict

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions.forms import CombineForm, parameters_of, read_form
from marketplace.compositions.lab.forms import read_lab, sweep_arguments
from marketplace.compositions.method_groups import GROUPS
from marketplace.compositions.planning import plan_merge
from marketplace.core.errors import Invalid
from marketplace.jobs.models import Job

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db

BOTH = "with=ada/plural&weight=1&layers=&with=bob/past&weight=-0,5&layers=0-3%3A+0.5%3B+mlp%3A+0"


@pytest.fixture(autouse=True)
def pair(make_adapter: MakeAdapter, ada: User, bob: User) -> None:
    for owner, name in ((ada, "plural"), (bob, "past")):
        artifact = make_adapter(owner, name, base="tiny", license="mit").current.artifact
        artifact.modules = [
            {"name": f"model.layers.{layer}.mlp.up_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0}
            for layer in range(2)
        ]
        artifact.summary = {"features": []}
        artifact.save()


def form_of(ada: User, query: str) -> CombineForm:
    return read_form(ada, QueryDict(query))


def request_of(ada: User, query: str) -> MergeRequest:
    return plan_merge(user=ada, **form_of(ada, query).settings()).request


def test_everything_that_can_be_written(ada: User) -> None:
    query = (
        f"{BOTH}&method=lego&rank_rule=inertia&rank=0,9&ranks=mlp%3A+4%0A0%3A+inertia+0.95&rotate=on&include=0-1+mlp"
        "&exclude=1&dtype=float16&seed=7&options_of=lego&option_restarts=2"
    )
    request = request_of(ada, query)
    output = request.output.model_dump(mode="json", exclude_defaults=True)
    assert output == {
        "rank": {"inertia": 0.9},
        "ranks": [{"modules": "mlp", "rank": 4}, {"modules": "0", "rank": {"inertia": 0.95}}],
        "dtype": "float16",
        "rotate": True,
        "include": ["0-1", "mlp"],
        "exclude": ["1"],
    }
    assert request.weights == (1.0, -0.5)
    groups = [[(group.modules, group.factor) for group in groups] for groups in request.layer_weights]
    assert groups == [[], [("0-3", 0.5), ("mlp", 0.0)]]
    assert (request.seed, request.options["restarts"]) == (7, 2)


@pytest.mark.parametrize(
    "query",
    [
        f"{BOTH}&method=lego&rank=4",
        f"{BOTH.replace('-0,5', '0.12345678901234567')}&method=svd&rank_rule=energy&rank=0.987654321",
        f"{BOTH}&method=svd&rank_rule=energy&rank=0.9&ranks=mlp%3A+same&rotate=on&seed=3",
        f"{BOTH}&method=cat&rank_rule=same&include=0&dtype=bfloat16",
        f"{BOTH}&method=lego&options_of=lego&option_normalise=each&option_variant=settled",
    ],
)
def test_a_planned_merge_fills_in_the_form_that_made_it(ada: User, query: str) -> None:
    request = request_of(ada, query)
    again = QueryDict(mutable=True)
    for name, value in parameters_of(request):
        again.appendlist(name, value)
    assert request_of(ada, again.urlencode()) == request


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("rank=many", "rank", "“many” is no rank"),
        ("rank_rule=energy&rank=2", "rank", "Give a number from 1 to 4096"),
        ("rank=0", "rank", "Give a number from 1 to 4096"),
        ("method=svd&rank_rule=inertia&rank=0.9", "rank", "Only LoRA-LEGO"),
        ("ranks=mlp", "ranks", "is no group"),
        ("include=9-3", "include", "run backwards"),
        ("include=nowhere", "include", "fits no module"),
        ("seed=-1", "seed", "whole number"),
    ],
)
def test_faults_stand_at_their_field(ada: User, client: Any, query: str, field: str, words: str) -> None:
    client.force_login(ada)
    prefix = "" if "method=" in query else "method=lego&"
    answer = client.post(
        "/combine/", f"{BOTH}&name=mixed&{prefix}{query}", content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 422
    assert words in " ".join(answer.context["errors"][field])
    assert words.replace("“", "“") in answer.content.decode()
    assert not Job.objects.exists()


def test_the_page_shows_every_method_and_the_chosen_ones_options(client: Any) -> None:
    page = client.get(f"/combine/?{BOTH}&method=lego").content.decode()
    assert 'value="svd"' in page
    assert "option_restarts" in page
    assert "1 to 64" in page
    assert "Nothing chosen yet" in client.get("/combine/").content.decode()
    other = client.get(f"/combine/?{BOTH}&method=svd").content.decode()
    assert "option_restarts" not in other
    assert "the fewest bricks" not in other


def test_the_grid_of_a_sweep(ada: User) -> None:
    query = QueryDict(
        f"{BOTH}&sweep_weights=1+1%0A0.5,0.5&sweep_ranks=2,+same&sweep_methods=svd&sweep_methods=lego&suite=own"
        "&examples=plural%3A+cat+%3D%3E+cats"
    )
    found = sweep_arguments(read_form(ada, query), read_lab(query))
    axes, asked = found["axes"], found["asked"]
    assert (axes.weights, axes.methods, axes.ranks) == ([[1, 1], [0.5, 0.5]], ["svd", "lego"], [2, "same"])
    assert len(axes) == 8
    assert asked.examples == [{"prompt": "plural: cat", "expected": "cats"}]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sweep_weights=a+b", "sweep_weights"),
        ("sweep_weights=nan+1", "sweep_weights"),
        ("sweep_ranks=x", "sweep_ranks"),
        ("suite=own&examples=cat", "examples"),
    ],
)
def test_faults_of_a_sweep(ada: User, query: str, field: str) -> None:
    data = QueryDict(f"{BOTH}&{query}")
    form = read_form(ada, data)
    with pytest.raises(Invalid):
        sweep_arguments(form, read_lab(data))
    assert list(form.faults) == [field]


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf", "1e999", "101"])
def test_no_weight_that_cannot_be_merged(ada: User, client: Any, weight: str) -> None:
    client.force_login(ada)
    query = f"with=ada/plural&weight={weight}&with=bob/past&weight=1&method=svd&name=both&prompt=a"
    assert "Write a number from −100 to 100" in client.get(f"/combine/?{query}").content.decode()
    for path in ("", "preview", "sweep"):
        answer = client.post(f"/combine/{path}", query, content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 422
    layers = client.post("/combine/", f"{BOTH}&layers={weight}", content_type="application/x-www-form-urlencoded")
    assert layers.status_code == 422
    members = [{"adapter": "ada/plural", "weight": weight}, {"adapter": "bob/past"}]
    for path in ("", "check/", "previews/", "sweeps/"):
        body = {"members": members, "method": "svd", "name": "both", "prompts": ["a"]}
        assert client.post(f"/api/v1/merges/{path}", body, content_type="application/json").status_code == 400
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("method=lego&rank_rule=energy&rank=0.9", "rank"),
        ("method=lego&ranks=mlp%3A+energy+0.9", "ranks"),
        ("method=svd&rank_rule=inertia&rank=0.9", "rank"),
        ("method=svd&include=atention", "include"),
        ("method=svd&ranks=atention%3A+4", "ranks"),
        ("method=svd&weight=0&weight=0", "weights"),
        ("method=svd&layers=&layers=9%3A+0.5", "layer_weights"),
    ],
)
def test_what_the_worker_would_refuse_is_refused_before(ada: User, settings: str, field: str) -> None:
    both = "with=ada/plural&with=bob/past"
    with pytest.raises(Invalid) as fault:
        request_of(ada, f"{both}&{settings}")
    assert list(fault.value.extra["fields"]) == [field]
    assert not Job.objects.exists()


def test_the_page_offers_the_share_that_the_method_keeps(ada: User, client: Any) -> None:
    client.force_login(ada)
    for method, offered, other in (("lego", "inertia", "energy"), ("svd", "energy", "inertia")):
        page = client.get(f"/combine/?{BOTH}&method={method}&rank_rule={other}&rank=0.9").content.decode()
        assert f'<option value="{offered}" selected>' in page
        assert f'<option value="{other}"' not in page


def test_groups_name_methods_that_there_are() -> None:
    assert {name for _, _, names in GROUPS for name in names} <= METHODS.keys()


def test_the_page_follows_what_is_written_however_long_it_is(ada: User, client: Any, make_adapter: Any) -> None:
    """Short settings are an address, which people share and reload; long ones are the body's alone."""
    names = [make_adapter(ada, f"adapter-{number}", base="tiny").full_name for number in range(3)]
    client.force_login(ada)
    written = {"with": names[:2], "weight": ["1", "0.5"], "layers": ["", "0-3: 0.5"], "method": "svd"}
    changed = client.post("/combine/update", {**written, "add": names[2]})
    assert changed.status_code == 302
    assert client.get(changed.url).context["form"].members[2].adapter.full_name == names[2]
    live = client.post("/combine/update", {**written, "drop": names[0]}, headers={"HX-Request": "true"})
    assert live["HX-Push-Url"].startswith("/combine/?with=ada%2Fadapter-1")
    assert [member.layers for member in live.context["form"].members] == ["0-3: 0.5"]
    assert Job.objects.count() == 0
    long = {**written, "layers": ["; ".join(f"{place}: 0.5" for place in range(800)), ""]}
    for headers in ({}, {"HX-Request": "true"}):
        page = client.post("/combine/update", long, headers=headers)
        assert (page.status_code, page["HX-Push-Url"]) == (200, "false")
        assert len(page.context["form"].members[0].layers) > 2000
        assert 'formaction="/combine/update"' in page.content.decode()
    found = client.get("/combine/pick", {"update": "", "with": names[:1], "q": "adapter"}).content.decode()
    assert 'formaction="/combine/update"' in found
    assert 'formmethod="get"' in client.get("/combine/pick", {"with": names[:1]}).content.decode()
