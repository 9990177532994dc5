"""Find partners: ranked by the prediction, out of what the asker may use and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from inference_worker.contracts.composability import MEASURES_VERSION, PairMeasures
from inference_worker.contracts.interference import Correlation, Feature, Predictor, Predictors
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding
from marketplace.compositions.members import resolve_members
from marketplace.compositions.models import PairMeasure
from marketplace.compositions.pairs import describe, partners
from marketplace.compositions.pairs.partners import Partners, compare_with_candidates, find_partners
from marketplace.core.errors import NotAuthenticated
from marketplace.jobs.models import Job

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db

CORRELATION = Correlation(value=0.6, low=0.4, high=0.7)


def predictors(source: str = "model") -> Predictors:
    """What one adapter answers to the other's inputs costs it one tenth per step of e."""
    feature = Feature(name="disturbed", mean=0.0, scale=1.0, coefficient=-0.1, low=-5.0, high=2.0)
    found = Predictor.model_validate(
        {
            "method": "cat",
            "source": source,
            "features": [feature],
            "intercept": 0.5,
            "model": CORRELATION,
            "cosine": CORRELATION,
            "adapters": 40,
            "pairs": 700,
            "mean": 0.6,
        }
    )
    return Predictors(measures=MEASURES_VERSION, measured_on="a test", predictors=(found,))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (partners, describe):
        monkeypatch.setattr(module, "stored_predictors", predictors)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (partners, describe):
        monkeypatch.setattr(module, "stored_predictors", lambda: predictors("none"))


@pytest.fixture
def library(make_adapter: MakeAdapter, ada: User, bob: User) -> dict[str, Adapter]:
    """Six adapters of one base, the first ada's; each with the modules that an inspection found."""
    found = {}
    for number, name in enumerate(["own", "quiet", "loud", "twin", "hidden", "fresh"]):
        adapter = make_adapter(ada if name == "own" else bob, name, base="tiny", downloads=number)
        module = {"name": "q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0, "effective_rank": 2.0}
        adapter.current.artifact.modules = [module]
        adapter.current.artifact.summary = {"features": []}
        adapter.current.artifact.save()
        found[name] = adapter
    Adapter.objects.filter(name="hidden").update(visibility="private")
    for first, second in combinations(["own", "quiet", "loud", "twin", "hidden"], 2):
        leak = {"quiet": 0.1, "loud": 5.0}.get(second, 0.01)
        remember(found[first], found[second], leak, cosine=0.99 if {first, second} == {"own", "twin"} else 0.0)
    return found


def remember(one: Adapter, two: Adapter, leak: float, cosine: float = 0.0) -> None:
    first, second = sorted([one.current.artifact, two.current.artifact], key=lambda artifact: artifact.pk)
    measures = PairMeasures(shared=1, only=(0, 0), norms=(1.0, 1.0), cosine=cosine, leak=(leak, leak))
    values: dict[str, Any] = measures.model_dump(mode="json", exclude={"layers"})
    PairMeasure.objects.create(first=first, second=second, version=MEASURES_VERSION, measures=values)


def find(user: Any, *names: str) -> Partners:
    adapters = [Adapter.objects.get(name=name) for name in names]
    return find_partners(user=user, members=resolve_members(user=user, members=[(a, 1.0) for a in adapters]))


def names(found: Partners) -> list[str]:
    return [hit.adapter.name for hit in found.partners]


def test_ranked_by_the_prediction(known: None, library: dict[str, Adapter], ada: User) -> None:
    found = find(ada, "own")
    assert (found.ranked_by, found.method) == ("interference", "cat")
    assert names(found) == ["quiet", "loud"]  # The twin does the same again; the fresh one is unmeasured.
    assert found.waiting == 1
    quiet, loud = found.partners
    assert quiet.kept == pytest.approx((0.73, 0.73), abs=0.01)
    assert loud.interference == pytest.approx(1 - 0.339, abs=0.01)


def test_pairs_unlike_those_of_the_fit_are_counted_and_not_ranked(
    known: None, library: dict[str, Adapter], ada: User, client: Client
) -> None:
    remember(library["own"], library["fresh"], 50.0)
    found = find(ada, "own")
    assert (names(found), found.waiting, found.unpredicted) == (["quiet", "loud"], 0, 1)
    client.force_login(ada)
    page = client.get("/combine/fit?with=ada/own").content.decode()
    assert "Nothing is predicted of 1 more: it lies outside what was fitted." in page


def test_of_several_members_the_mean_counts(known: None, library: dict[str, Adapter], ada: User) -> None:
    found = find(ada, "own", "quiet")
    assert names(found) == ["loud"]
    assert found.partners[0].interference == pytest.approx(1 - 0.339, abs=0.01)


def test_what_is_private_stays_private(known: None, library: dict[str, Adapter], ada: User, bob: User) -> None:
    """A pair that its owner had measured tells others nothing, not even a number."""
    assert "hidden" in names(find(bob, "own"))
    assert names(find(bob, "own"))[0] == "hidden"
    for person in (ada, AnonymousUser()):
        found = find(person, "own")
        assert "hidden" not in names(found)
        assert found.waiting == 1


def test_what_cannot_be_used_is_no_partner(known: None, library: dict[str, Adapter], ada: User) -> None:
    Adapter.objects.filter(name="quiet").update(visibility="gated")
    library["loud"].current.artifact.summary = {"features": ["dora"]}
    library["loud"].current.artifact.save()
    assert names(find(ada, "own")) == []


def test_adapters_of_other_bases_are_no_partners(
    known: None, library: dict[str, Adapter], ada: User, make_adapter: MakeAdapter
) -> None:
    other = make_adapter(ada, "other", base="large")
    remember(library["own"], other, 0.001)
    assert "other" not in names(find(ada, "own"))


def test_without_a_measured_relation_nothing_is_ranked_by_numbers(
    unknown: None, library: dict[str, Adapter], ada: User
) -> None:
    dimensions = 4
    for place, name in enumerate(["own", "loud", "quiet"]):
        vector = [1.0, float(place) / 4, 0.0, 0.0][:dimensions]
        Embedding.objects.create(
            adapter=library[name], encoder=settings.ENCODER, kind=Embedding.Kind.DESCRIPTION, embedding=vector
        )
    found = find(ada, "own")
    assert (found.ranked_by, found.method, found.waiting) == ("meaning", "", 0)
    assert names(found) == ["loud", "quiet"]
    assert found.partners[0].interference is None


def test_candidates_are_compared_once(known: None, library: dict[str, Adapter], ada: User) -> None:
    members = resolve_members(user=ada, members=[(library["own"], 1.0)])
    job = compare_with_candidates(user=ada, members=members)
    assert job is not None
    assert [files["label"] for files in job.request["adapters"]] == ["ada/own", "bob/fresh"]
    assert compare_with_candidates(user=ada, members=members) == job
    remember(library["own"], library["fresh"], 0.5)
    Job.objects.all().delete()
    assert compare_with_candidates(user=ada, members=members) is None
    with pytest.raises(NotAuthenticated):
        compare_with_candidates(user=AnonymousUser(), members=members)  # type: ignore[arg-type]


def test_rest_and_page_show_the_ranking(known: None, library: dict[str, Adapter], ada: User, client: Client) -> None:
    answer = client.get("/api/v1/adapters/ada/own/partners/?limit=1").json()
    assert (answer["ranked_by"], answer["waiting"]) == ("interference", 1)
    assert [hit["adapter"] for hit in answer["partners"]] == ["bob/quiet"]
    assert client.get("/api/v1/adapters/ada/own/partners/?limit=0").status_code == 400
    client.force_login(ada)
    page = client.get("/combine/fit?with=ada/own").content.decode()
    assert page.index("bob/quiet") < page.index("bob/loud")
    assert "rank correlation 0.60, 0.40 to 0.70" in page
    assert "1 more has not been compared with it" in page
    sent = client.post("/combine/compare", {"with": "ada/own", "weight": "1", "compare": "partners"})
    assert sent.status_code == 302
    started = client.post("/api/v1/adapters/ada/own/partners/")
    assert started.status_code == 202
    assert Job.objects.count() == 1
