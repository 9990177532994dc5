"""Names and addresses: renaming, what old addresses lead to, and who learns of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connections

from marketplace.accounts.models import User
from marketplace.adapters import selectors, services
from marketplace.adapters.models import Adapter, FormerName
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.services.renaming import with_new_name
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, incoming, run_inspection
from tests.marketplace.adapters.life.conftest import Publish, merge_of

pytestmark = pytest.mark.django_db

CARD = b"---\nlicense: mit\n---\n# plural\n\nLoad ada/plural, not ada/plural-2 or xada/plural.\n"


def _found(name: str, owner: str = "ada") -> Adapter:
    return selectors.get_adapter(user=AnonymousUser(), owner=owner, name=name)


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/ada/plural",
        "[repo](https://github.com/ada/plural)",
        "git@github.com:ada/plural",
        "huggingface.co/ada/plural/tree/main",
        "@ada/plural",
        "./ada/plural",
    ],
)
def test_links_to_other_sites_stay_theirs(text: str) -> None:
    assert with_new_name(text, "ada/plural", "ada/words") == text


@pytest.mark.parametrize("before", ["", "(", "`", "](/", "https://brickyard.test/", "see <https://brickyard.test/"])
def test_addresses_here_are_rewritten(before: str, settings: Any) -> None:
    settings.SITE_URL = "https://brickyard.test"
    text = before + "ada/plural, "
    assert with_new_name(text, "ada/plural", "bob/words") == before + "bob/words, "


def test_old_addresses_lead_to_the_adapter(ada: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    for name in ("plurals", "nouns"):
        adapter = services.rename_adapter(user=ada, adapter=adapter, name=name)
    assert adapter.full_name == "ada/nouns"
    assert [_found(name) for name in ("plural", "PLURALS", "nouns")] == [adapter] * 3
    assert _found("plural").full_name == "ada/nouns"
    entry = AuditEntry.objects.filter(action="adapter.rename").first()
    assert entry is not None
    assert (entry.target, entry.detail["before"]) == ("ada/nouns", "ada/plurals")


def test_card_and_recipe_that_show_the_own_name_are_rewritten(ada: User, bob: User, publish: Publish) -> None:
    adapter = publish(ada, "plural", files={**adapter_files(), "README.md": CARD})
    before = adapter.current
    assert before is not None
    child = merge_of(bob, "child", adapter)
    adapter = services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    assert adapter.current is not None
    assert adapter.current.parent == before
    assert adapter.current.artifact == before.artifact
    text = current_card(adapter)
    assert "# nouns\n\nLoad ada/nouns, not ada/plural-2 or xada/plural." in text
    # Lineage goes by versions; the child's card and recipe are its owner's, and their link still leads here.
    edge = selectors.lineage_of(user=bob, adapter=child)["parents"][0]
    assert (edge.parent, edge.parent.adapter.full_name) == (before, "ada/nouns")
    again = services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    assert (again.current, AuditEntry.objects.filter(action="adapter.rename").count()) == (adapter.current, 1)


def test_a_card_without_the_name_makes_no_commit(ada: User, publish: Publish) -> None:
    adapter = publish(ada, "plural", title="Plural of nouns")
    before = adapter.current
    assert services.rename_adapter(user=ada, adapter=adapter, name="nouns").current == before


def test_names_are_never_given_out_twice(ada: User, publish: Publish, make_upload: MakeUpload) -> None:
    adapter, other = publish(ada, "plural"), publish(ada, "past", seed=1)
    services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    with pytest.raises(Conflict, match="leads to an adapter that had this name"):
        services.rename_adapter(user=ada, adapter=other, name="Plural")
    with pytest.raises(Conflict, match="leads to an adapter that had this name"):
        services.publish_upload(user=ada, upload=make_upload(ada, seed=2), name="plural")
    with pytest.raises(Conflict, match="already have an adapter named nouns"):
        services.rename_adapter(user=ada, adapter=other, name="nouns")
    services.delete_adapter(user=ada, adapter=other)
    with pytest.raises(Conflict, match="deleted an adapter named past"):
        services.rename_adapter(user=ada, adapter=adapter, name="past")
    with pytest.raises(Invalid):
        services.rename_adapter(user=ada, adapter=adapter, name="no/name")


def test_renaming_back_and_by_capitals_alone(ada: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    adapter = services.rename_adapter(user=ada, adapter=adapter, name="plural")
    assert list(FormerName.objects.values_list("name", flat=True)) == ["nouns"]
    assert _found("nouns").name == "plural"
    adapter = services.rename_adapter(user=ada, adapter=adapter, name="Plural")
    assert list(FormerName.objects.values_list("name", flat=True)) == ["nouns"]
    assert (_found("plural"), _found("plural").name) == (adapter, "Plural")


def test_old_addresses_give_no_private_adapter_away(ada: User, bob: User, publish: Publish) -> None:
    adapter = publish(ada, "plural", visibility="private")
    with pytest.raises(NotFound):
        services.rename_adapter(user=bob, adapter=adapter, name="mine")
    services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    for name in ("plural", "nouns"):
        with pytest.raises(NotFound) as caught:
            selectors.get_adapter(user=bob, owner="ada", name=name)
        assert caught.value.message == f"There is no adapter ada/{name}, or it is not yours to see."
    assert selectors.get_adapter(user=ada, owner="ada", name="plural") == adapter


def test_only_the_owner_renames(ada: User, bob: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    adapter.collaborators.create(user=bob, role="write")
    with pytest.raises(Forbidden):
        services.rename_adapter(user=bob, adapter=adapter, name="mine")
    Adapter.objects.update(moderation="quarantined")
    with pytest.raises(Forbidden, match="quarantined by a moderator"):
        services.rename_adapter(user=ada, adapter=adapter, name="mine")


@pytest.mark.django_db(transaction=True)
def test_one_of_two_gets_a_name_at_the_same_time(ada: User, make_upload: MakeUpload) -> None:
    """Renaming away and back in, and publishing under either name, from several threads at once."""
    first = services.publish_upload(user=ada, upload=make_upload(ada), name="plural")
    second = services.publish_upload(user=ada, upload=make_upload(ada, seed=1), name="past")
    uploads = [services.create_upload(user=ada, files=incoming(adapter_files(seed=seed))) for seed in (2, 3)]
    for upload in uploads:
        run_inspection(Job.objects.get(kind="inspect", subject__artifact=upload.artifact_id, state="queued"))
    start, ended = threading.Barrier(4), []

    def run(what: object) -> None:
        try:
            start.wait(10)
            what()  # type: ignore[operator]
            ended.append("done")
        except Conflict as fault:
            ended.append(fault.code)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=run, args=[what])
        for what in (
            lambda: services.rename_adapter(user=ada, adapter=first, name="words"),
            lambda: services.rename_adapter(user=ada, adapter=second, name="words"),
            lambda: services.publish_upload(user=ada, upload=uploads[0], name="words"),
            lambda: services.publish_upload(user=ada, upload=uploads[1], name="plural"),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # "words" goes to one; "plural" stays the first one's, by its name or its former name.
    assert sorted(ended) == ["done", "name_taken", "name_taken", "name_taken"]
    current = {name.lower() for name in Adapter.objects.values_list("name", flat=True)}
    assert not current & {name.lower() for name in FormerName.objects.values_list("name", flat=True)}
