"""Editing README.md as it is, by page and REST, and looking at it before."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters import cards, services
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.uploads.quota import stored_bytes
from marketplace.core.errors import Conflict, Forbidden, Invalid, QuotaExceeded
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import adapter_files, run_inspection

CARD = """---
title: Sorter
license: mit
tags: [ordering, lists]
language: en
prompt_format: {kind: plain, template: "Sort: {prompt}", stop: ["\\n"]}
own_key: kept
---

# Sorter

Sorts words by their letters.
"""


@pytest.fixture
def adapter(make_upload: Any, base: Any, ada: User) -> Adapter:
    return services.publish_upload(user=ada, upload=make_upload(ada), name="sorter", visibility="public")


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.org", "pw")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.org", "pw")


def test_the_card_is_kept_as_written_and_the_columns_follow(ada: User, adapter: Adapter) -> None:
    before = adapter.current
    edited = services.edit_card(user=ada, adapter=adapter, text=CARD.replace("\n", "\r\n"), message="Say more")
    assert current_card(edited) == CARD
    assert (edited.title, edited.license, edited.tags) == ("Sorter", "mit", ["ordering", "lists"])
    assert edited.description == "Sorts words by their letters."
    assert edited.current is not None
    assert before is not None
    assert edited.current.prompt_format["template"] == "Sort: {prompt}"
    assert (edited.current.parent, edited.current.message) == (before, "Say more")
    assert edited.current.artifact == before.artifact
    assert AuditEntry.objects.filter(action="adapter.edit_card", target="ada/sorter").count() == 1


def test_fields_edited_later_leave_the_rest_of_the_card_alone(ada: User, adapter: Adapter) -> None:
    services.edit_card(user=ada, adapter=adapter, text=CARD)
    adapter.refresh_from_db()
    edited = services.edit_adapter(user=ada, adapter=adapter, license="apache-2.0")
    front, body = cards.split(current_card(edited))
    assert (front["license"], front["own_key"], front["language"]) == ("apache-2.0", "kept", "en")
    assert "Sorts words by their letters." in body


def test_a_silent_card_keeps_the_prompt_format(ada: User, adapter: Adapter) -> None:
    services.edit_card(user=ada, adapter=adapter, text=CARD)
    edited = services.edit_card(user=ada, adapter=adapter, text="# Other\n\nText.\n")
    assert edited.current is not None
    assert edited.current.prompt_format["template"] == "Sort: {prompt}"
    assert (edited.title, edited.license, edited.tags) == ("Other", "", [])


def test_the_same_text_makes_no_version(ada: User, adapter: Adapter) -> None:
    once = services.edit_card(user=ada, adapter=adapter, text=CARD)
    assert services.edit_card(user=ada, adapter=adapter, text=CARD).current == once.current


def test_two_authors_do_not_overwrite_each_other(ada: User, adapter: Adapter) -> None:
    seen = adapter.current.commit if adapter.current else ""
    services.edit_card(user=ada, adapter=adapter, text=CARD, parent=seen)
    with pytest.raises(Conflict, match="changed meanwhile") as caught:
        services.edit_card(user=ada, adapter=adapter, text="# Mine\n", parent=seen)
    assert caught.value.code == "card_changed"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("---\na: *b\n---\n", "text"),
        ("---\n- list\n---\n", "text"),
        ("# A\0B", "text"),
        ("x" * 1_000_001, "text"),
        ("---\nlicense: 'no licence!'\n---\n", "license"),
        ("---\nprompt_format: {template: none}\n---\n", "prompt_format"),
        ("---\nprompt_format: {secret: 1}\n---\n", "prompt_format"),
    ],
)
def test_faults_are_named_and_nothing_changes(ada: User, adapter: Adapter, text: str, field: str) -> None:
    before = current_card(adapter)
    with pytest.raises(Invalid) as caught:
        services.edit_card(user=ada, adapter=adapter, text=text)
    assert list(caught.value.extra["fields"]) == [field]
    adapter.refresh_from_db()
    assert current_card(adapter) == before


def test_strangers_may_not(bob: User, adapter: Adapter, client: Client) -> None:
    with pytest.raises(Forbidden):
        services.edit_card(user=bob, adapter=adapter, text=CARD)
    client.force_login(bob)
    assert client.get("/ada/sorter/card").status_code == 403
    Adapter.objects.update(visibility="private")
    assert client.get("/ada/sorter/card").status_code == 404
    client.logout()
    assert client.get("/ada/sorter/card").status_code == 302


def test_the_page_previews_without_keeping_and_saves(ada: User, adapter: Adapter, client: Client) -> None:
    client.force_login(ada)
    page = client.get("/ada/sorter/card").content.decode()
    assert 'name="parent" value="' in page
    sent = {"text": CARD + "\n<script>alert(1)</script> hf_" + "aB3d" * 9, "message": ""}
    shown = client.post("/ada/sorter/card", {**sent, "preview": "1"})
    html = shown.content.decode()
    assert shown.status_code == 200
    assert "<script>alert" not in html
    assert "Sorts words by their letters." in html
    assert "looks like a secret" in html
    adapter.refresh_from_db()
    assert "Sorts words" not in current_card(adapter)
    assert client.post("/ada/sorter/card", sent).status_code == 302
    adapter.refresh_from_db()
    assert "Sorts words" in current_card(adapter)


def test_the_page_keeps_a_text_that_cannot_be_saved(ada: User, adapter: Adapter, client: Client) -> None:
    client.force_login(ada)
    answer = client.post("/ada/sorter/card", {"text": "---\na: *b\n---\nMine", "parent": "0" * 40})
    assert answer.status_code == 422
    assert "Mine" in answer.content.decode()
    assert "changed meanwhile" in answer.content.decode()


def test_the_fragment_is_for_people_alone(ada: User, client: Client) -> None:
    assert client.post("/upload/card-preview", {"text": "# A"}).status_code == 302
    client.force_login(ada)
    answer = client.post("/upload/card-preview", {"text": "---\nlanguage: en\n---\n# A\n\n**b**"})
    html = answer.content.decode()
    assert "<strong>b</strong>" in html
    assert "<html" not in html
    assert "Language" in html


def test_rest_reads_previews_and_replaces(ada: User, adapter: Adapter, client: Client) -> None:
    address = "/api/v1/adapters/ada/sorter/card/"
    before = client.get(address).json()
    assert before["text"] == current_card(adapter)
    assert client.put(address, {"text": CARD}, "application/json").status_code == 401
    client.force_login(ada)
    body = {"text": CARD, "parent": before["commit"], "message": "By REST"}
    after = client.put(address, body, "application/json").json()
    assert after["text"] == CARD
    assert after["metadata"]["languages"] == ["en"]
    assert after["problems"] == []
    conflict = client.put(address, {**body, "text": "# B"}, "application/json")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "card_changed")
    preview = client.post("/api/v1/cards/preview/", {"text": "---\nlicense: odd\n---\n_x_"}, "application/json").json()
    assert preview["html"].strip() == "<p><em>x</em></p>"
    assert [problem["code"] for problem in preview["problems"]] == ["card_licence_unknown"]


def test_only_authors_are_told_where_a_secret_lies(ada: User, bob: User, adapter: Adapter, client: Client) -> None:
    services.edit_card(user=ada, adapter=adapter, text="# A\n\nhf_" + "aB3d" * 9 + "\n")
    address = "/api/v1/adapters/ada/sorter/card/"
    assert client.get(address).json()["problems"] == []
    client.force_login(bob)
    assert client.get(address).json()["problems"] == []
    client.force_login(ada)
    assert [problem["code"] for problem in client.get(address).json()["problems"]] == ["secret_found"]


def test_cards_count_towards_the_quota(ada: User, adapter: Adapter) -> None:
    User.objects.filter(pk=ada.pk).update(quota_bytes=stored_bytes(ada) + 2000)
    services.edit_card(user=ada, adapter=adapter, text="# Small\n")
    with pytest.raises(QuotaExceeded):
        services.edit_card(user=ada, adapter=adapter, text="# Large\n" + "x" * 5000)
    with pytest.raises(QuotaExceeded):
        services.edit_adapter(user=ada, adapter=adapter, description="y" * 5000)
    adapter.refresh_from_db()
    assert current_card(adapter) == "# Small\n"


UPLOADED = """---
title: Antonyms
license: apache-2.0
tags: [words, english]
base_model: [brickyard/wordsmith-v1, other/base]
library_name: transformers
language: en
prompt_format: {kind: plain, template: "Q: {prompt}"}
---

# Antonyms

Swaps adjectives.
"""


def test_what_nobody_said_comes_from_the_uploaded_card(make_upload: Any, base: Any, ada: User, client: Client) -> None:
    upload = make_upload(ada, {**adapter_files(), "README.md": UPLOADED.encode()})
    client.force_login(ada)
    body = {"upload": str(upload.pk), "name": "antonyms"}
    answer = client.post("/api/v1/adapters/", body, "application/json").json()
    assert (answer["title"], answer["license"], answer["tags"]) == ("Antonyms", "apache-2.0", ["words", "english"])
    assert answer["description"] == "Swaps adjectives."
    assert answer["prompt_format"]["template"] == "Q: {prompt}"
    front, body_text = cards.split(client.get("/api/v1/adapters/ada/antonyms/card/").json()["text"])
    assert front["base_model"] == ["brickyard/wordsmith-v1", "other/base"]
    assert (front["library_name"], front["pipeline_tag"], front["language"]) == (
        "transformers",
        "text-generation",
        "en",
    )
    assert body_text.strip() == "# Antonyms\n\nSwaps adjectives."


def test_the_card_of_a_next_version_replaces_what_its_front_matter_says(
    make_upload: Any, base: Any, ada: User, adapter: Adapter
) -> None:
    services.edit_adapter(user=ada, adapter=adapter, title="Old", license="mit", tags=["old"], description="Old words.")
    text = "---\nlicense: apache-2.0\ndescription: New words.\n---\n\n# New\n"
    upload = make_upload(ada, {**adapter_files(seed=3), "README.md": text.encode()}, check=False)
    services.publish_upload(user=ada, upload=upload, adapter=adapter)
    adapter.refresh_from_db()
    assert (adapter.license, adapter.description) == ("mit", "Old words.")  # Until the new version is accepted.
    run_inspection(Job.objects.get(kind="inspect", state="queued"))
    adapter.refresh_from_db()
    assert (adapter.title, adapter.license, adapter.tags) == ("Old", "apache-2.0", ["old"])
    assert adapter.description == "New words."
    front, _ = cards.split(current_card(adapter))
    assert (front["license"], front["description"], front["title"]) == ("apache-2.0", "New words.", "Old")


def test_a_next_version_whose_front_matter_cannot_be_read_keeps_the_fields(
    make_upload: Any, base: Any, ada: User, adapter: Adapter
) -> None:
    services.edit_adapter(user=ada, adapter=adapter, title="Old", license="mit")
    upload = make_upload(ada, {**adapter_files(seed=3), "README.md": b"---\na: *b\n---\n# New\n"})
    services.publish_upload(user=ada, upload=upload, adapter=adapter)
    adapter.refresh_from_db()
    assert (adapter.title, adapter.license) == ("Old", "mit")
    assert "# New" in current_card(adapter)


@pytest.mark.parametrize(
    ("task", "tag", "loader"),
    [
        ("SEQ_CLS", "text-classification", "AutoModelForSequenceClassification"),
        ("CAUSAL_LM", "text-generation", "AutoModelForCausalLM"),
        (None, None, "AutoModelForCausalLM"),
    ],
)
def test_the_generated_card_names_the_task(
    task: str | None, tag: str | None, loader: str, make_upload: Any, base: Any, ada: User
) -> None:
    published = services.publish_upload(user=ada, upload=make_upload(ada, task_type=task), name="one")
    front, body = cards.split(current_card(published))
    assert front.get("pipeline_tag") == tag
    assert f"base = {loader}.from_pretrained" in body
