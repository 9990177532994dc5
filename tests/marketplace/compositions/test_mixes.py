"""Saved compositions: who sees and uses them, what becomes of members, pages and REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter
from marketplace.bases.models import Base
from marketplace.compositions import mixes
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_selectors import find_members, get_mix, listed_mixes, seen_mixes, standing_of
from marketplace.compositions.models import Composition
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated, NotFound
from marketplace.moderation.models import AuditEntry
from marketplace.playground.services import start_generation

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db
NOBODY: Any = AnonymousUser()


@pytest.fixture
def plural(make_adapter: MakeAdapter, ada: User) -> Adapter:
    return make_adapter(ada, "plural", base="tiny")


@pytest.fixture
def past(make_adapter: MakeAdapter, bob: User) -> Adapter:
    return make_adapter(bob, "past", base="tiny")


@pytest.fixture
def mix(plural: Adapter, past: Adapter, ada: User) -> Composition:
    members = [Choice(plural, 0.5), Choice(past, -2.0)]
    return mixes.create_mix(user=ada, name="both", members=members, visibility="public", description="Both at once.")


def _publish(adapter: Adapter, commit: str) -> None:
    """Another version, which becomes the current one."""
    current = adapter.current
    assert current is not None
    current.pk, current.commit = None, commit
    current.save()
    Adapter.objects.filter(pk=adapter.pk).update(current=current)


def test_it_is_saved_with_base_and_audit(mix: Composition, ada: User) -> None:
    found = get_mix(user=ada, owner="Ada", name="BOTH")
    assert (found.full_name, found.base and found.base.name) == ("mix/ada/both", "tiny")
    assert [(row.label, row.weight) for row in found.members.all()] == [("ada/plural", 0.5), ("bob/past", -2.0)]
    entry = AuditEntry.objects.get(action="mix.create")
    assert (entry.target, entry.detail["members"][1]) == ("mix/ada/both", ["bob/past", -2.0, False])


def test_what_cannot_be_saved_is_said(plural: Adapter, ada: User, make_adapter: MakeAdapter, mix: Composition) -> None:
    def save(*members: Choice, name: str = "x", **more: Any) -> None:
        mixes.create_mix(user=ada, name=name, members=members, **more)

    with pytest.raises(Conflict, match="a mix named both already"):
        save(Choice(plural, 1.0), name="both")
    with pytest.raises(Conflict):
        save(Choice(plural, 1.0), name="BOTH")
    with pytest.raises(Invalid, match="1 to 8 members"):
        save()
    with pytest.raises(Invalid, match="in it twice"):
        save(Choice(plural, 1.0), Choice(plural, 2.0))
    for weight in (0.0, float("nan"), float("inf"), -101.0):
        with pytest.raises(Invalid, match="The weight of ada/plural"):
            save(Choice(plural, weight))
    with pytest.raises(Invalid, match="one base"):
        save(Choice(plural, 1.0), Choice(make_adapter(ada, "other", base="wide"), 1.0))
    with pytest.raises(Invalid, match="not registered"):
        save(Choice(make_adapter(ada, "lost"), 1.0))
    with pytest.raises(Invalid, match="letters, digits"):
        save(Choice(plural, 1.0), name="a b")
    with pytest.raises(Invalid, match="A mix is public or private"):
        save(Choice(plural, 1.0), visibility="gated")
    with pytest.raises(NotAuthenticated):
        mixes.create_mix(user=NOBODY, name="x", members=[Choice(plural, 1.0)])
    assert Composition.objects.count() == 1


def test_only_its_owner_changes_it(mix: Composition, plural: Adapter, ada: User, bob: User) -> None:
    for act in (
        lambda: mixes.edit_mix(user=bob, mix=mix, description="x"),
        lambda: mixes.delete_mix(user=bob, mix=mix),
    ):
        with pytest.raises(Forbidden, match="Only ada"):
            act()
    changed = mixes.edit_mix(user=ada, mix=mix, members=[Choice(plural, 3.0)], visibility="private")
    assert [row.weight for row in changed.members.all()] == [3.0]
    assert changed.description == "Both at once."
    assert list(seen_mixes(bob)) == []
    mixes.delete_mix(user=ada, mix=changed)
    assert Adapter.objects.count() == 2
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")][-3:] == [
        "mix.create",
        "mix.edit",
        "mix.delete",
    ]


def test_a_private_member_hides_it_from_others(mix: Composition, past: Adapter, ada: User, bob: User) -> None:
    assert list(listed_mixes(NOBODY)) == [mix]
    Adapter.objects.filter(pk=past.pk).update(visibility="private")
    for person in (NOBODY, *User.objects.exclude(pk__in=[ada.pk, bob.pk])):
        assert list(seen_mixes(person)) == list(listed_mixes(person)) == []
        with pytest.raises(NotFound):
            get_mix(user=person, owner="ada", name="both")
    assert list(seen_mixes(bob)) == [mix]
    # Its own owner sees it, and which member is no longer theirs, by the name that they knew.
    Adapter.objects.filter(pk=past.pk).update(name="secret")
    rows = standing_of(user=ada, mix=get_mix(user=ada, owner="ada", name="both"))
    assert [row.fault for row in rows] == ["", "bob/past is no longer yours to use."]
    assert "secret" not in str(rows[1].name)


def test_a_gated_member_is_seen_and_not_listed(mix: Composition, past: Adapter, ada: User, make_person: Any) -> None:
    Adapter.objects.filter(pk=past.pk).update(visibility="gated")
    cy = make_person("cy")
    assert list(seen_mixes(cy)) == [mix]
    assert list(listed_mixes(cy)) == []
    with pytest.raises(Conflict, match="bob/past is gated") as caught:
        find_members(user=cy, named=[("mix/ada/both", 1.0)])
    assert (caught.value.code, caught.value.extra) == ("member_gone", {"members": ["bob/past"]})
    AccessRequest.objects.create(adapter=past, user=cy, state="approved")
    assert list(listed_mixes(cy)) == [mix]
    assert len(find_members(user=cy, named=[("mix/ada/both", 1.0)])) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deleted_at": timezone.now()}, "bob/past was deleted by its owner."),
        ({"moderation": "quarantined"}, "bob/past is no longer yours to use."),
        ({"visibility": "private"}, "bob/past is no longer yours to use."),
    ],
)
def test_members_that_vanish_are_named(
    change: dict[str, Any], words: str, mix: Composition, past: Adapter, ada: User, client: Client
) -> None:
    Adapter.objects.filter(pk=past.pk).update(**change)
    with pytest.raises(Conflict) as caught:
        find_members(user=ada, named=[("mix/ada/both", 1.0)])
    assert caught.value.message == f"mix/ada/both cannot answer. {words} Edit the mix to leave it out."
    client.force_login(ada)
    page = client.get("/mix/ada/both").content.decode()
    assert words in page
    assert "Try it" not in page
    form = client.get("/mix/ada/both/edit").content.decode()
    assert f"{words} Saving leaves it out." in form
    assert "ada/plural" in form


def test_versions_are_followed_or_pinned(mix: Composition, plural: Adapter, past: Adapter, ada: User) -> None:
    assert plural.current is not None
    first = plural.current.commit
    mixes.edit_mix(user=ada, mix=mix, members=[Choice(plural, 1.0, plural.current), Choice(past, 1.0)])
    for place, adapter in enumerate([plural, past], 1):
        _publish(adapter, f"{place}" * 40)
    generation = start_generation(user=ada, members=find_members(user=ada, named=[("mix/ada/both", 2.0)]), prompt="x")
    assert [member.version.commit for member in generation.members] == [first, "2" * 40]
    assert [row.weight for row in generation.request.adapters] == [2.0, 2.0]


def test_the_strongest_members_prompt_format_is_shown(mix: Composition, past: Adapter, client: Client) -> None:
    assert past.current is not None
    past.current.prompt_format = {"kind": "plain", "template": "Q: {prompt}\nA:", "system": "", "stop": ["\n"]}
    past.current.save()
    answer = client.get("/api/v1/mixes/ada/both/").json()
    assert answer["prompt_format"]["template"] == "Q: {prompt}\nA:"
    assert (answer["usable"], answer["warnings"]) == (True, [])


def test_rest_makes_reads_changes_deletes(plural: Adapter, past: Adapter, ada: User, client: Client) -> None:
    members = [{"adapter": "ada/plural", "weight": 0.7}, {"adapter": "bob/past", "weight": -0.3, "version": "main"}]
    body = {"name": "rest", "members": members, "visibility": "public"}
    assert client.post("/api/v1/mixes/", body, content_type="application/json").status_code in (401, 403)
    client.force_login(ada)
    made = client.post("/api/v1/mixes/", body, content_type="application/json")
    assert made.status_code == 201, made.content
    assert past.current is not None
    assert [(row["weight"], row["version"]) for row in made.json()["members"]] == [
        (0.7, ""),
        (-0.3, past.current.commit),
    ]
    for query in ("", "?owner=ada", "?adapter=bob/past"):
        found = client.get(f"/api/v1/mixes/{query}").json()["results"]
        assert [row["full_name"] for row in found] == ["mix/ada/rest"], query
    assert client.get("/api/v1/mixes/?owner=bob").json()["results"] == []
    changed = client.patch("/api/v1/mixes/ada/rest/", {"description": "Now."}, content_type="application/json").json()
    assert (changed["description"], len(changed["members"])) == ("Now.", 2)
    asked = client.post(
        "/api/v1/generations/",
        {"prompt": "cat", "members": [{"adapter": "mix/ada/nothing"}]},
        content_type="application/json",
    )
    assert (asked.status_code, asked.json()["message"]) == (
        404,
        "There is no mix/ada/nothing, or it is not yours to see.",
    )
    assert client.delete("/api/v1/mixes/ada/rest/").status_code == 204
    assert client.get("/api/v1/mixes/ada/rest/").status_code == 404


def test_pages_work_without_scripts(plural: Adapter, past: Adapter, ada: User, client: Client) -> None:
    client.force_login(ada)
    form = client.get("/mixes/new?with=ada/plural&weight=0.4&add=bob/past").content.decode()
    assert 'value="0.4"' in form
    assert 'value="bob/past"' in form
    wrong = {"name": "paged", "with": ["ada/plural", "bob/past"], "weight": ["x", "1"], "version": ["", ""]}
    refused = client.post("/mixes/new", wrong)
    assert refused.status_code == 422
    assert "The weight of ada/plural is “x”" in refused.content.decode()
    saved = client.post("/mixes/new", {**wrong, "weight": ["0,4", "−1"], "visibility": "public"})
    assert saved.headers["Location"] == "/mix/ada/paged"
    page = client.get("/mix/ada/paged").content.decode()
    assert "0.4" in page
    assert "−1" in page
    assert "mix/ada/paged" in client.get("/mixes/").content.decode().replace("</span>", "").replace(
        '<span class="owner">', ""
    )
    dropped = client.get("/mix/ada/paged/edit?with=ada/plural&with=bob/past&weight=1&weight=2&drop=ada/plural")
    assert 'value="bob/past"' in dropped.content.decode()
    assert 'value="ada/plural"' not in dropped.content.decode().split("candidates")[0]
    assert client.post("/mix/ada/paged/delete").headers["Location"] == "/mixes/"
    assert client.get("/mix/ada/paged").status_code == 404


def test_what_people_write_is_escaped(plural: Adapter, ada: User, client: Client) -> None:
    members = [Choice(plural, 1.0)]
    mixes.create_mix(user=ada, name="x", members=members, visibility="public", description="<script>alert(1)</script>")
    for path in ("/mix/ada/x", "/mixes/"):
        assert "<script>alert" not in client.get(path).content.decode()


def test_the_playground_takes_it_as_a_column(mix: Composition, client: Client) -> None:
    Base.objects.filter(name="tiny").update(served=True)
    page = client.get("/playground/?with=mix/ada/both").content.decode()
    assert 'data-member="mix/ada/both"' in page
    assert "mix of 2, ada" in page


def test_lists_cost_the_same_however_many(
    plural: Adapter, ada: User, client: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        mixes.create_mix(user=ada, name=f"m{number}", members=[Choice(plural, 1.0)], visibility="public")
    with django_assert_max_num_queries(8):
        assert client.get("/mixes/").status_code == 200
    with django_assert_max_num_queries(8):
        assert len(client.get("/api/v1/mixes/").json()["results"]) == 12


def test_a_leaving_owner_takes_them_along(mix: Composition, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(closing_at=timezone.now())
    assert list(seen_mixes(NOBODY)) == []
