"""What staff does to bases: change, name, read again, delete; by services, REST and the command."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from inference_worker.contracts.jobs import JobFault
from marketplace.accounts.models import User
from marketplace.bases import services
from marketplace.bases.aliases import add_alias, remove_alias
from marketplace.bases.models import Base, BaseAlias, BaseChoice
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.bases.conftest import MakeBase, finish_reading, report

pytestmark = pytest.mark.django_db

LLAMA = "meta-llama/Llama-3.2-1B"


def test_well_known_names_and_parents_come_by_themselves(staff: User) -> None:
    tuned = services.register_base(actor=staff, name=f"{LLAMA}-Instruct")
    assert tuned.parent is None
    root = services.register_base(actor=staff, name=LLAMA)
    tuned.refresh_from_db()
    assert tuned.parent == root
    assert "unsloth/llama-3.2-1b-bnb-4bit" in set(root.aliases.values_list("alias", flat=True))
    mirror = services.register_base(actor=staff, name="house/gemma", source="google/gemma-2-2b")
    assert mirror.aliases.filter(alias="unsloth/gemma-2-2b").exists()


def test_aliases_are_added_and_taken_away(staff: User, ada: User, make_base: MakeBase) -> None:
    base, other = make_base("org/tiny"), make_base("org/other")
    row = add_alias(actor=staff, base=base, alias=" House/Tiny-4bit ")
    assert (row.alias, row.canonical, row.shipped) == ("house/tiny-4bit", "org/tiny", False)
    assert Base.objects.get(pk=base.pk).linking
    assert add_alias(actor=staff, base=base, alias="house/tiny-4bit") == row
    assert AuditEntry.objects.filter(action="base.add_alias").count() == 1
    with pytest.raises(Conflict, match="already another name of org/tiny"):
        add_alias(actor=staff, base=other, alias="house/tiny-4bit")
    with pytest.raises(Conflict, match="is itself a base here"):
        add_alias(actor=staff, base=base, alias="Org/Other")
    for bad in ("", "   ", "x" * 201, "a\0b", "a\nb"):
        with pytest.raises(Invalid):
            add_alias(actor=staff, base=base, alias=bad)
    taken = add_alias(actor=staff, base=other, alias="unsloth/Llama-3.2-1B")
    assert (taken.base, taken.canonical) == (other, "org/other")
    remove_alias(actor=staff, base=other, alias="unsloth/Llama-3.2-1B")
    assert not BaseAlias.objects.get(alias="unsloth/llama-3.2-1b").active
    remove_alias(actor=staff, base=base, alias="house/tiny-4bit")
    assert not BaseAlias.objects.filter(alias="house/tiny-4bit").exists()
    with pytest.raises(NotFound):
        remove_alias(actor=staff, base=base, alias="house/tiny-4bit")
    for call in (add_alias, remove_alias):
        with pytest.raises(Forbidden):
            call(actor=ada, base=base, alias="x")


def test_changes_are_audited_and_circles_refused(staff: User, ada: User, make_base: MakeBase) -> None:
    root, child = make_base("root"), make_base("child")
    services.change_base(actor=staff, base=child, parent=root, license="mit", served=False)
    child.refresh_from_db()
    assert (child.parent, child.license, child.served, child.generates) == (root, "mit", False, False)
    assert AuditEntry.objects.get(action="base.change").detail["changes"]["parent"] == ["None", "root"]
    with pytest.raises(Invalid, match="descends from it"):
        services.change_base(actor=staff, base=root, parent=child)
    with pytest.raises(Invalid, match="cannot descend"):
        services.change_base(actor=staff, base=root, parent=root)
    services.change_base(actor=staff, base=child, orphan=True)
    assert Base.objects.get(pk=child.pk).parent is None
    services.change_base(actor=staff, base=child, license="mit")
    assert AuditEntry.objects.filter(action="base.change").count() == 2
    with pytest.raises(Forbidden):
        services.change_base(actor=ada, base=child, license="x")


def test_only_what_nothing_refers_to_is_deleted(staff: User, ada: User, make_base: MakeBase, make_adapter: Any) -> None:
    root = make_base("root")
    child = make_base("child", parent=root)
    adapter = make_adapter(ada, "a", base=child)
    free = make_adapter(ada, "b")
    BaseChoice.objects.create(adapter=free, base=child)
    with pytest.raises(Forbidden):
        services.delete_base(actor=ada, base=root)
    with pytest.raises(Conflict, match="parent of child"):
        services.delete_base(actor=staff, base=root)
    with pytest.raises(Conflict, match="has 1 adapter"):
        services.delete_base(actor=staff, base=child)
    adapter.current.artifact.base = None
    adapter.current.artifact.save()
    adapter.base = None
    adapter.save()
    add_alias(actor=staff, base=child, alias="house/child")
    add_alias(actor=staff, base=child, alias="unsloth/gemma-2-2b")
    services.delete_base(actor=staff, base=child)
    assert not BaseAlias.objects.filter(alias="house/child").exists()
    assert BaseAlias.objects.get(alias="unsloth/gemma-2-2b").base is None
    assert not BaseChoice.objects.exists()
    services.delete_base(actor=staff, base=root)
    assert AuditEntry.objects.filter(action="base.delete").count() == 2


def test_reading_again_keeps_what_is_ready(staff: User, make_base: MakeBase) -> None:
    base = make_base("org/tiny")
    job = services.reread_base(actor=staff, base=base)
    with pytest.raises(Conflict, match="being read already"):
        services.reread_base(actor=staff, base=base)
    report(job, status="failed", fault=JobFault(code="bad_input", message="The hub is away."))
    base.refresh_from_db()
    assert (base.state, base.fault) == ("ready", "")
    finish_reading(services.reread_base(actor=staff, base=base), width=32, layers=3, task="SEQ_CLS", notes=("Note.",))
    base.refresh_from_db()
    assert (base.layers, base.task, base.notes, base.generates) == (3, "SEQ_CLS", ["Note."], False)


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "x/y/z"}, {"source": "../etc"}, {"source": "https://evil.example/x"}, {"source": "a b"},
        {"revision": "a b"}, {"revision": "../../x"}, {"license": "x" * 41}, {"name": "a/aliases"},
        {"name": "register"}, {"name": "-"}, {"name": "a//b"},
    ],
)  # fmt: skip
def test_hostile_registrations(staff: User, fields: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        services.register_base(actor=staff, **{"name": "org/tiny", **fields})
    assert list(caught.value.extra["fields"]) == [next(iter(fields))]
    assert not Base.objects.exists()


def test_rest_for_staff(client: Client, staff: User, ada: User, make_base: MakeBase) -> None:
    make_base("org/tiny")
    address = "/api/v1/bases/org/tiny/"
    json = "application/json"
    calls = [
        ("patch", address, {"license": "mit"}),
        ("post", f"{address}aliases/", {"alias": "house/tiny"}),
        ("post", f"{address}reading/", {}),
        ("delete", f"{address}aliases/house/tiny/", {}),
        ("delete", address, {}),
    ]
    for method, url, body in calls:
        assert getattr(client, method)(url, body, json).status_code == 401
    client.force_login(ada)
    for method, url, body in calls:
        assert getattr(client, method)(url, body, json).status_code == 403
    client.force_login(staff)
    answers = [getattr(client, method)(url, body, json) for method, url, body in calls[:4]]
    assert [answer.status_code for answer in answers] == [200, 200, 202, 204]
    assert answers[0].json()["license"] == "mit"
    assert answers[1].json()["aliases"] == ["house/tiny"]
    assert answers[2].json() == {"job": str(Job.objects.get().pk)}
    make_base("org/child")
    client.patch("/api/v1/bases/org/child/", {"parent": "org/tiny"}, json)
    assert client.delete(address).json()["code"] == "base_in_use"
    assert client.patch("/api/v1/bases/org/child/", {"parent": ""}, json).json()["parent"] is None
    assert client.patch("/api/v1/bases/org/child/", {"parent": "none"}, json).status_code == 404
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_rest_says_what_a_name_means(client: Client, make_base: MakeBase) -> None:
    make_base("google/gemma-2-2b")

    def ask(name: str) -> Any:
        return client.get("/api/v1/base-names/", {"name": name}).json()

    assert ask("unsloth/gemma-2-2b-bnb-4bit") == {
        "base": "google/gemma-2-2b", "canonical": "google/gemma-2-2b", "certain": True,
    }  # fmt: skip
    assert ask("/models/gemma-2-2b")["certain"] is False
    assert ask("unsloth/gemma-2-9b") == {"base": None, "canonical": "google/gemma-2-9b", "certain": True}
    assert client.get("/api/v1/base-names/").status_code == 400


def test_the_admin_edits_the_table(client: Client, make_person: Any, make_base: MakeBase) -> None:
    client.force_login(make_person("root", is_staff=True, is_superuser=True))
    base = make_base("org/tiny")
    form = {"alias": " House/Tiny ", "canonical": "", "base": base.pk, "active": "on"}
    assert client.post("/admin/bases/basealias/add/", form).status_code == 302
    row = BaseAlias.objects.get(alias="house/tiny")
    assert (row.base, row.canonical, row.shipped) == (base, "org/tiny", False)
    assert Base.objects.get().linking
    assert AuditEntry.objects.filter(action="basealias.admin_add").exists()
    shipped = BaseAlias.objects.get(alias="unsloth/llama-3.2-1b")
    assert client.post(f"/admin/bases/basealias/{shipped.pk}/delete/", {"post": "yes"}).status_code == 403
    change = {"alias": shipped.alias, "canonical": shipped.canonical, "base": ""}
    assert client.post(f"/admin/bases/basealias/{shipped.pk}/change/", change).status_code == 302
    assert not BaseAlias.objects.get(pk=shipped.pk).active
    assert "house/tiny" in client.get("/admin/bases/basealias/?q=house").content.decode()
    assert client.get(f"/admin/bases/base/{base.pk}/change/").status_code == 200


def test_the_command_waits_and_says_what_it_found(staff: User, folder: Path, transactional_db: None) -> None:
    def read() -> None:
        until = time.monotonic() + 60
        while not (job := Job.objects.filter(state="queued").first()):
            assert time.monotonic() < until
            time.sleep(0.01)
        finish_reading(job, notes=("This is a quantised copy.",))
        connection.close()

    worker = threading.Thread(target=read)
    worker.start()
    out = io.StringIO()
    call_command("register_base", "org/tiny", str(folder), "--alias", "x/y", "--wait", "30", stdout=out)
    worker.join()
    assert "is ready. 8 modules, 1,234 parameters.\nThis is a quantised copy." in out.getvalue()
    with pytest.raises(CommandError, match="no base none"):
        call_command("register_base", "other", str(folder), "--parent", "none")
    with pytest.raises(CommandError, match="Does an inspect worker run"):
        call_command("register_base", "org/tiny", "--again", "--wait", "0", stdout=out)
