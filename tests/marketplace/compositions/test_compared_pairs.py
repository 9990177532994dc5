"""Measured pairs: asked for once, kept for good, shown to those who may use both."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError
from django.test import Client

from inference_worker.contracts.composability import ComposeCheckRequest, ComposeCheckResult, LayerPair, PairMeasures
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions.models import PairMeasure
from marketplace.compositions.pairs import services
from marketplace.compositions.pairs.page import CLEARLY_MORE, better_than
from marketplace.compositions.pairs.selectors import measured_with
from marketplace.core.errors import Invalid, NotAuthenticated, NotFound
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.compositions.conftest import succeed

MakeAdapter = Callable[..., Adapter]
Members = list[tuple[Adapter, float]]
pytestmark = pytest.mark.django_db


def inspected(adapter: Adapter, width: int = 16, features: tuple[str, ...] = ()) -> Adapter:
    """Give the adapter's artefact what an inspection would have found."""
    artifact = adapter.current.artifact
    names = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]
    shape = {"rank": artifact.rank, "d_in": width, "d_out": width, "norm": 1.0, "effective_rank": 2.0}
    artifact.modules = [{"name": name, **shape} for name in names]
    artifact.summary = {"features": list(features)}
    artifact.save()
    return adapter


def measures(**changes: Any) -> PairMeasures:
    found: dict[str, Any] = {
        "shared": 2,
        "only": (0, 0),
        "norms": (2.0, 1.0),
        "cosine": 0.1,
        "sign_agreement": 0.5,
        "row_overlap": 0.4,
        "row_chance": 0.1,
        "column_overlap": 0.2,
        "column_chance": 0.1,
        "row_angle": 30.0,
        "column_angle": 60.0,
        "leak": (0.3, 0.6),
        "unit_overlap": 0.3,
        "layers": (LayerPair(layer="layer 0", norms=(2.0, 1.0), cosine=0.1, row_overlap=0.4),),
    }
    return PairMeasures.model_validate(found | changes)


def finish(job: Job, *found: PairMeasures) -> None:
    """The outcome of a worker that measured ``found``."""
    succeed(job, ComposeCheckResult(pairs=found, seconds=0.1))


@pytest.fixture
def pair(make_adapter: MakeAdapter, ada: User, bob: User) -> Members:
    plural = make_adapter(ada, "plural", base="tiny", license="mit")
    past = make_adapter(bob, "past", base="tiny", license="cc-by-4.0", rank=4)
    return [(inspected(plural), 1.0), (inspected(past), 1.0)]


def compare(user: User, members: Members) -> Job:
    job = services.request_comparison(user=user, members=members)
    assert job is not None
    return job


def test_plan_is_closed(pair: Members, ada: User) -> None:
    job = compare(ada, pair)
    request = ComposeCheckRequest.model_validate(job.request)
    assert [files.label for files in request.adapters] == ["ada/plural", "bob/past"]
    assert (request.pairs, job.queue, job.kind) == (((0, 1),), "inspect", "compose_check")
    assert AuditEntry.objects.get(action="pairs.compare").detail["members"] == ["ada/plural", "bob/past"]


def test_a_pair_is_measured_once(pair: Members, ada: User, bob: User) -> None:
    job = compare(ada, pair)
    assert compare(ada, pair).pk == job.pk  # It is at it already.
    finish(job, measures())
    row = PairMeasure.objects.get()
    assert (row.contract, row.measures.get("layers")) == (measures(), None)
    for members in (pair, pair[::-1]):
        assert services.request_comparison(user=bob, members=members) is None
    job.refresh_from_db()
    assert job.result == {"pairs": 1, "seconds": 0.1}


def test_order_of_members_turns_the_measures(pair: Members, ada: User) -> None:
    finish(compare(ada, pair[::-1]), measures())  # bob/past first: its norm is 2
    (plural, past) = (adapter.current.artifact.pk for adapter, _ in pair)
    assert measured_with(past, [plural])[plural].norms == (2.0, 1.0)
    assert measured_with(plural, [past])[past].norms == (1.0, 2.0)
    judged = services.judge_members(user=ada, members=pair)
    assert judged["pairs"][0]["measures"]["norms"] == [1.0, 2.0]
    assert judged["pairs"][0]["measures"]["layers"][0]["norms"] == [1.0, 2.0]
    assert "bob/past changes" not in " ".join(judged["notes"])


def test_pairs_of_other_shapes_are_not_measured(pair: Members, ada: User, make_adapter: MakeAdapter) -> None:
    wide = inspected(make_adapter(ada, "wide", base="tiny"), width=32)
    assert services.request_comparison(user=ada, members=[pair[0], (wide, 1.0)]) is None
    judged = services.judge_members(user=ada, members=[pair[0], (wide, 1.0)])
    assert judged["unmeasured"] == 0
    assert {row["state"] for row in judged["method_verdicts"]} == {"refused"}


def test_a_pair_has_one_row_in_one_order(pair: Members) -> None:
    keys = sorted(adapter.current.artifact.pk for adapter, _ in pair)
    with pytest.raises(IntegrityError):
        PairMeasure.objects.create(first_id=keys[1], second_id=keys[0], version=1, measures={})


def test_who_may_not_use_a_member_has_nothing_compared(pair: Members, ada: User) -> None:
    Adapter.objects.filter(name="past").update(visibility="private")
    pair[1][0].refresh_from_db()
    with pytest.raises(NotFound):
        compare(ada, pair)
    stranger = Client()
    assert stranger.post("/combine/compare", {"with": "bob/past"}).status_code in (302, 404)
    assert not Job.objects.exists()


def test_strangers_are_asked_to_sign_in(pair: Members, client: Client) -> None:
    from_page = client.post("/combine/compare", {"with": ["ada/plural", "bob/past"]})
    assert from_page.status_code == 302
    assert "/login" in from_page["Location"]
    body = {"members": [{"adapter": "ada/plural"}, {"adapter": "bob/past"}]}
    answer = client.post("/api/v1/merges/comparisons/", body, content_type="application/json")
    assert answer.status_code == 401
    assert not Job.objects.exists()


def test_an_adapter_withdrawn_meanwhile_fails_the_comparison(pair: Members, ada: User) -> None:
    job = compare(ada, pair)
    Adapter.objects.filter(name="past").update(visibility="private")
    finish(job, measures())
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert not PairMeasure.objects.exists()


def test_measures_go_with_their_artefact(pair: Members, ada: User) -> None:
    finish(compare(ada, pair), measures())
    artifact = pair[1][0].current.artifact
    Adapter.objects.filter(name="past").update(current=None)
    pair[1][0].versions.all().delete()
    artifact.delete()
    assert not PairMeasure.objects.exists()


def test_measures_of_another_version_are_taken_again(pair: Members, ada: User) -> None:
    finish(compare(ada, pair), measures())
    PairMeasure.objects.update(version=0)
    job = compare(ada, pair)
    finish(job, measures(cosine=0.7))
    assert PairMeasure.objects.get().contract.cosine == 0.7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cosine": 0.99}, "do nearly the same"),
        ({"cosine": -0.8}, "undo each other"),
        ({"norms": (9.0, 2.0)}, "ada/plural changes the base 4.5 times as much as bob/past"),
        ({"norms": (0.0, 2.0)}, "ada/plural changes nothing"),
    ],
)
def test_what_to_think_of(changes: dict[str, Any], words: str, pair: Members, ada: User) -> None:
    finish(compare(ada, pair), measures(**changes))
    assert words in " ".join(services.judge_members(user=ada, members=pair)["notes"])


def test_verdict_per_method(pair: Members, ada: User) -> None:
    judged = services.judge_members(user=ada, members=pair)
    states = {row["name"]: row for row in judged["method_verdicts"]}
    assert states["cat"]["state"] == "legal"
    assert states["linear"]["state"] == "refused"  # ranks 8 and 4
    assert "rank 8 in ada/plural and 4 in bob/past" in states["linear"]["reasons"][0]


def test_rest_compares_and_says_so(pair: Members, ada: User, client: Client) -> None:
    client.force_login(ada)
    body = {"members": [{"adapter": "ada/plural"}, {"adapter": "bob/past"}]}
    before = client.post("/api/v1/merges/check/", body, content_type="application/json").json()
    assert (before["unmeasured"], before["comparison"], before["pairs"][0]["measures"]) == (1, None, None)
    asked = client.post("/api/v1/merges/comparisons/", body, content_type="application/json")
    assert asked.status_code == 202
    job = Job.objects.get(pk=asked.json()["comparison"])
    assert client.post("/api/v1/merges/check/", body, content_type="application/json").json()["comparison"] == str(
        job.pk
    )
    finish(job, measures())
    after = client.post("/api/v1/merges/check/", body, content_type="application/json").json()
    assert (after["unmeasured"], after["comparison"]) == (0, None)
    assert after["pairs"][0]["measures"]["cosine"] == 0.1
    assert after["mergeable"] is True
    assert client.post("/api/v1/merges/comparisons/", body, content_type="application/json").status_code == 200


def test_page_shows_what_is_known(pair: Members, ada: User, client: Client) -> None:
    client.force_login(ada)
    address = "/combine/?with=ada/plural&with=bob/past"
    page = client.get(address).content.decode()
    assert 'hx-post="/combine/compare"' in page
    assert not Job.objects.exists()  # Reading changes nothing.
    sent = client.post("/combine/compare", {"with": ["ada/plural", "bob/past"], "weight": ["1", "0.5"]})
    assert sent["Location"] == "/combine/?with=ada%2Fplural&weight=1&with=bob%2Fpast&weight=0.5#fit"
    job = Job.objects.get()
    waiting = client.get(address).content.decode()
    assert "Comparing 1 pair" in waiting
    part = f"/combine/fit?with=ada/plural&with=bob/past&job={job.pk}"
    assert client.get(part).status_code == 204
    finish(job, measures(row_overlap=0.43))
    done = client.get(part).content.decode()
    assert "43 %" in done
    assert "layer 0" in done
    assert "hx-get" not in done


def test_page_says_why_a_comparison_ended(pair: Members, ada: User, client: Client) -> None:
    client.force_login(ada)
    cancel_job(user=ada, job=compare(ada, pair))
    page = client.get("/combine/fit?with=ada/plural&with=bob/past").content.decode()
    assert "did not finish" in page
    assert 'hx-trigger="load"' not in page  # It is not started again by itself.
    assert "Compare again" in page


def test_nothing_to_judge(ada: User) -> None:
    with pytest.raises(Invalid):
        services.judge_members(user=ada, members=[])


def test_nobody_signed_in(pair: Members) -> None:
    with pytest.raises(NotAuthenticated):
        services.request_comparison(user=AnonymousUser(), members=pair)  # type: ignore[arg-type]


def test_visitors_see_the_pairs_of_a_few(make_adapter: MakeAdapter, ada: User, client: Client) -> None:
    for number in range(9):
        inspected(make_adapter(ada, f"many-{number}", base="tiny", license="mit"))
    few, many = (f"/combine/?{'&'.join(f'with=ada/many-{n}' for n in range(count))}" for count in (8, 9))
    assert "28 pairs of these" in client.get(few).content.decode()
    page = client.get(many).content.decode()
    assert "pairs of these" not in page
    assert "more than 8 adapters" in page
    assert "Find partners" not in page
    client.force_login(ada)
    assert "36 pairs of these" in client.get(many).content.decode()


def test_predictions_of_methods_hold_at_weight_one(pair: Members, ada: User) -> None:
    finish(services.request_comparison(user=ada, members=pair), measures())  # type: ignore[arg-type]

    def kept(weight: float) -> list[Any]:
        judged = services.judge_members(user=ada, members=[(adapter, weight) for adapter, _ in pair])
        assert judged["pairs"][0]["kept"]
        return [row["kept"] for row in judged["method_verdicts"] if row["kept"]]

    assert kept(1.0)
    assert not kept(0.5)


def test_a_method_that_is_predicted_to_keep_more_is_named(pair: Members, ada: User, client: Client) -> None:
    """On the page, beside the methods, and in the answer to the page that waited for the comparison."""
    client.force_login(ada)
    address = "?with=ada/plural&with=bob/past&method="
    assert "predicted to keep" not in client.get(f"/combine/{address}lego").content.decode()
    finish(services.request_comparison(user=ada, members=pair), measures())  # type: ignore[arg-type]
    judged = services.judge_members(user=ada, members=pair)
    kept = {row["name"]: sum(row["kept"]) / 2 for row in judged["method_verdicts"] if row["kept"]}
    best, worst = max(kept, key=lambda name: kept[name]), min(kept, key=lambda name: kept[name])
    assert kept[best] - kept[worst] > CLEARLY_MORE
    for part in ("/combine/", "/combine/fit"):
        page = client.get(f"{part}{address}{worst}").content.decode()
        for name, share in kept.items():
            found = re.search(rf'id="kept-{name}"[^>]*>([^<]*)<', page)
            assert found is not None
            assert found.group(1) == f"predicted to keep {100 * share:.0f} %"
        assert f"{METHODS[best].title} is predicted to keep" in page
        assert "of what these two gained" not in client.get(f"{part}{address}{best}").content.decode()
    assert better_than("ties", {"sum": 0.9}) is None
    assert better_than("lego", {"sum": 0.42, "lego": 0.4}) is None


def test_pairs_unlike_those_of_the_fit_get_a_reason(pair: Members, ada: User, client: Client) -> None:
    finish(services.request_comparison(user=ada, members=pair), measures(norms=(37.2, 3.3)))  # type: ignore[arg-type]
    judged = services.judge_members(user=ada, members=pair)
    (row,) = judged["pairs"]
    assert (row["kept"], row["not_predicted"]["cat"]["code"]) == ({}, "outside_fit")
    words = "Not predicted: sizes differ 11-fold, outside what was fitted"
    assert words in row["not_predicted"]["cat"]["message"]
    client.force_login(ada)
    names = [adapter.full_name for adapter, _ in pair]
    assert words in client.get("/combine/fit", {"with": names}).content.decode()
    body = {"members": [{"adapter": name, "weight": 1.0} for name in names]}
    answer = client.post("/api/v1/merges/check/", body, content_type="application/json").json()
    assert words in answer["pairs"][0]["not_predicted"]["cat"]["message"]
