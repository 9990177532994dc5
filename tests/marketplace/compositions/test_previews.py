"""Previews as the marketplace sees them: who may, what is planned, what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import QueryDict

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_preview import (
    MergePreviewRequest,
    MergePreviewResult,
    PreviewAnswer,
    PreviewColumn,
)
from inference_worker.contracts.merge_sweep import MergeSweepRequest
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Version
from marketplace.bases.models import Base
from marketplace.compositions import services
from marketplace.compositions.forms import parameters_of, read_form
from marketplace.compositions.lab import sweeps
from marketplace.core.errors import Invalid, NotAuthenticated
from marketplace.jobs import checking
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.compositions.conftest import Members, preview, succeed, sweep

pytestmark = pytest.mark.django_db


def test_a_preview_is_a_closed_plan(pair: Members, ada: User) -> None:
    job = preview(ada, pair, output={"rank": 4})
    request = MergePreviewRequest.model_validate(job.request)
    assert (request.prompts, request.base.name) == (("plural: cat",), "tiny")
    assert (request.merge.weights, request.merge.output.rank) == ((1.0, -0.5), 4)
    assert job.queue == "merge"
    assert AuditEntry.objects.get(action="merge.preview").detail["members"] == ["ada/plural", "bob/past"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"prompts": [" "]}, "prompts"),
        ({"prompts": ["x"] * 6}, "prompts"),
        ({"prompts": ["x" * 4001]}, "prompts"),
        ({"method": "magic"}, "method"),
        ({"output": {"rank": "many"}}, "rank"),
    ],
)
def test_faults_of_previews_are_named(pair: Members, ada: User, more: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as fault:
        preview(ada, pair, **more)
    assert field in fault.value.extra["fields"]
    assert not Job.objects.exists()


def test_a_base_that_is_not_served_previews_nothing(pair: Members, ada: User) -> None:
    Base.objects.update(served=False)
    members = [(Adapter.objects.get(pk=adapter.pk), weight) for adapter, weight in pair]
    with pytest.raises(Invalid, match="not served"):
        preview(ada, members)


def test_visitors_sign_in_first(pair: Members) -> None:
    from django.contrib.auth.models import AnonymousUser

    with pytest.raises(NotAuthenticated):
        preview(AnonymousUser(), pair)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["preview", "sweep"])
def test_a_member_that_was_withdrawn_stops_it(pair: Members, ada: User, kind: str) -> None:
    job = preview(ada, pair) if kind == "preview" else sweep(ada, pair, sweeps.Axes(ranks=[2]))
    Adapter.objects.filter(name="past").update(visibility="private")
    assert checking.recheck_jobs() == 1
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "bob/past" in job.error_message


def test_the_previews_page_shows_answers_and_saves_the_same(pair: Members, ada: User, bob: User, client: Any) -> None:
    job = preview(ada, pair, output={"rank": 4, "rotate": True}, options={"restarts": 2})
    address = f"/combine/previews/{job.pk}"
    client.force_login(ada)
    assert "Merging and answering" in client.get(address).content.decode()
    answer = PreviewAnswer(text="<b>cats</b>", tokens=3, finish_reason="stop")
    columns = tuple(
        PreviewColumn(kind=kind, label=label, answers=(answer,))  # type: ignore[arg-type]
        for kind, label in (("merge", "the merge"), ("base", "tiny"), ("parent", "ada/plural"), ("parent", "bob/past"))
    )
    succeed(job, MergePreviewResult(columns=columns, composed=False, rank=4, merge_seconds=0.1, seconds=1.0))
    page = client.get(address)
    assert page.content.decode().count("&lt;b&gt;cats&lt;/b&gt;") == 4
    saved = client.post("/combine/", dict_of(page.context["parameters"]) | {"name": "mixed"})
    assert saved.status_code == 302
    made = MergeRequest.model_validate(Job.objects.get(kind="merge").request)
    assert made == MergePreviewRequest.model_validate(job.request).merge
    client.force_login(bob)
    assert client.get(address).status_code == 404


def dict_of(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for name, value in fields:
        table.setdefault(name, []).append(value)
    return table


def test_rest_starts_previews_and_sweeps(pair: Members, ada: User, client: Any) -> None:
    members = [
        {"adapter": "ada/plural"},
        {"adapter": "bob/past", "weight": 0.5, "layer_weights": [{"modules": "0-3", "factor": 0.5}]},
    ]
    body = {"members": members, "method": "svd", "rank": 4}

    def post(path: str, **more: Any) -> Any:
        return client.post(f"/api/v1/merges/{path}/", {**body, **more}, content_type="application/json")

    assert post("previews", prompts=["a"]).status_code == 401
    client.force_login(ada)
    accepted = post("previews", prompts=["a"], max_tokens=8)
    assert accepted.status_code == 202
    merge = Job.objects.get(pk=accepted.json()["id"]).request["merge"]
    assert (merge["output"]["rank"], merge["layer_weights"][1][0]["factor"]) == (4, 0.5)
    assert post("sweeps", ranks=[2, {"energy": 0.9}], weights=[[1, 1]]).status_code == 202
    twice = post("sweeps", output={"rank": 3})
    assert (twice.status_code, twice.json()["extra"]["fields"].keys()) == (400, {"rank"})
    assert post("previews", prompts=[]).status_code == 400


FORMATS: tuple[dict[str, Any], ...] = ({"kind": "plain"}, {"kind": "plain", "template": "Q: {prompt}"})


@pytest.fixture
def mixed(pair: Members) -> Members:
    """Members that expect different prompt formats; the first one is the strongest."""
    for (adapter, _), form in zip(pair, FORMATS, strict=True):
        Version.objects.filter(pk=adapter.current_id).update(prompt_format=form)
        adapter.refresh_from_db()
    return pair


@pytest.mark.parametrize("kind", ["preview", "sweep"])
def test_members_of_other_prompt_formats_are_told(mixed: Members, ada: User, client: Any, kind: str) -> None:
    client.force_login(ada)
    examples = [{"prompt": "a", "expected": "b"}]
    body = {"members": [{"adapter": "ada/plural"}, {"adapter": "bob/past"}], "method": "svd", "prompts": ["a"]}
    sent = client.post(
        f"/api/v1/merges/{kind}s/", {**body, "examples": examples}, content_type="application/json"
    ).json()
    assert len(sent["notes"]) == 1
    assert "the strongest member's is used" in sent["notes"][0]
    page = client.get(f"/combine/{kind}s/{sent['id']}").content.decode()
    assert "different prompt formats" in page
    if kind == "sweep":
        assert client.get(f"/api/v1/merges/sweeps/{sent['id']}/").json()["notes"] == sent["notes"]


def test_examples_are_asked_in_the_format_of_their_adapter(mixed: Members, ada: User) -> None:
    job = sweep(ada, mixed, sweeps.Axes())
    suite = MergeSweepRequest.model_validate(job.request).suite
    templates = {one.prompt: one.prompt_format.template for one in suite.examples if one.prompt_format}
    assert templates == {"plural: cat": "{prompt}", "plural: secret": "{prompt}", "past: cat": "Q: {prompt}"}
    assert "each example is asked in that of its adapter" in job.subject["notes"][0]
    prompts = ["past: cat", "my own", "plural: cat"]
    request = MergePreviewRequest.model_validate(preview(ada, mixed, prompts=prompts).request)
    assert {place: form.template for place, form in request.formats.items()} == {0: "Q: {prompt}", 2: "{prompt}"}
    assert request.prompt_format.template == "{prompt}"
    (note,) = preview(ada, mixed, prompts=prompts).subject["notes"]
    assert "all others in the strongest member's" in note
    hidden = MergePreviewRequest.model_validate(preview(ada, mixed, prompts=["past: secret"]).request)
    assert hidden.formats == {}, "whose example it is, is not theirs to know"


def test_one_format_for_all_is_said_once(pair: Members, ada: User) -> None:
    suite = MergeSweepRequest.model_validate(sweep(ada, pair, sweeps.Axes()).request).suite
    assert [one.prompt_format for one in suite.examples] == [None] * 3
    assert MergePreviewRequest.model_validate(preview(ada, pair).request).formats == {}


def test_settings_are_gone_on_with_under_a_short_address(pair: Members, ada: User, bob: User, client: Any) -> None:
    """Weights by layer make the settings longer than an address may be; the job holds them."""
    layers = [[{"modules": f"0-{place + 1}", "factor": 0.5} for place in range(90)] for _ in pair]
    points = sweep(ada, pair, sweeps.Axes(ranks=[2, 3]), layer_weights=layers)
    tried = preview(ada, pair, layer_weights=layers, prompts=["plural: cat"])
    client.force_login(ada)
    pages = [f"/combine/sweeps/{points.pk}", f"/combine/previews/{tried.pk}"]
    links = [client.get(page).context["settings_url"] for page in pages]
    assert max(map(len, links)) < 80
    merge = MergeRequest.model_validate(tried.request["merge"])
    assert len(urlencode(parameters_of(merge))) > 2000
    form = client.get(links[1]).context["form"]
    assert read_form(ada, QueryDict(urlencode(parameters_of(merge)))) == replace(form, key="")
    assert form.settings()["layer_weights"] == layers
    assert client.get(links[1]).context["lab"].prompts == ["plural: cat"]
    ranks = [client.get(f"{links[0]}&point={place}").context["form"].rank for place in (0, 1)]
    assert ranks == ["2", "3"]
    assert client.get(f"{links[0]}&point=2").status_code == 404
    assert client.get("/combine/?trial=x").status_code == 404
    merging = services.create_merge(user=ada, name="one", members=pair, method="svd")
    assert client.get(f"/combine/?trial={merging.pk}").status_code == 404
    client.force_login(bob)
    assert client.get(links[1]).status_code == 404
    client.logout()
    assert client.get(links[1]).status_code == 404
