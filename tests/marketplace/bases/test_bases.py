"""Registering bases, their names, and what happens to adapters when one becomes known."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from inference_worker.contracts.bases import BaseShapesResult
from inference_worker.contracts.jobs import JobFault, JobOutcome
from marketplace.accounts.models import User
from marketplace.bases import selectors, services
from marketplace.bases.models import Base, BaseAlias
from marketplace.core.errors import Conflict, Forbidden, Invalid
from marketplace.jobs.models import Job
from marketplace.jobs.services import record_outcome
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db

SHAPES = {"model.layers.0.self_attn.q_proj": (16, 8)}


@pytest.fixture
def staff(make_person: Any) -> User:
    return make_person("staff", is_staff=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def _report(job: Job, **outcome: Any) -> None:
    now = time.time()
    record_outcome(JobOutcome(job=str(job.pk), attempt=job.attempt, started_at=now, finished_at=now, **outcome))


def _read(job: Job) -> None:
    result = BaseShapesResult(
        config={"model_type": "llama"}, shapes=SHAPES, fingerprint="f" * 64, chat_template="{{ x }}", parameters=1234
    )
    _report(job, status="succeeded", result=result.model_dump(mode="json"))


def test_register_reads_shapes_once(staff: User, folder: Path) -> None:
    for _ in range(2):
        base = services.register_base(
            actor=staff, name="org/tiny", source=str(folder), license="mit", aliases=["Other/Tiny-4bit", ""]
        )
    assert base.state == Base.State.PENDING
    job = Job.objects.get()
    assert job.request["base"] == {"name": "org/tiny", "source": str(folder), "revision": None}
    assert list(BaseAlias.objects.filter(shipped=False).values_list("alias", flat=True)) == ["other/tiny-4bit"]
    assert AuditEntry.objects.filter(action="base.register").count() == 1
    _read(job)
    base.refresh_from_db()
    assert (base.state, base.parameters, base.config) == ("ready", 1234, {"model_type": "llama"})
    assert base.shapes == {"model.layers.0.self_attn.q_proj": [16, 8]}
    services.register_base(actor=staff, name="org/tiny", source=str(folder))
    assert Job.objects.count() == 1


def test_repeating_keeps_what_an_admin_switched(staff: User, folder: Path) -> None:
    wish = {"actor": staff, "name": "org/tiny", "source": str(folder)}
    assert services.register_base(**wish).served
    Base.objects.update(served=False)
    assert not services.register_base(**wish).served
    call_command("register_base", "org/tiny", str(folder), stdout=io.StringIO())
    assert not Base.objects.get().served
    assert AuditEntry.objects.filter(action="base.register").count() == 1
    parent = services.register_base(actor=staff, name="org/parent", served=False)
    assert not parent.served
    services.register_base(**wish, served=True, license="mit", parent=parent)
    base = Base.objects.get(name="org/tiny")
    assert (base.served, base.license, base.parent) == (True, "mit", parent)
    entry = AuditEntry.objects.filter(action="base.register", target="org/tiny").order_by("-pk")[0]
    assert entry.detail["changes"] == {
        "license": ["", "mit"], "parent": ["None", "org/parent"], "served": ["False", "True"],
    }  # fmt: skip
    call_command("register_base", "org/tiny", str(folder), "--not-served", stdout=io.StringIO())
    assert not Base.objects.get(name="org/tiny").served


def test_only_embeddings_may_be_transposed() -> None:
    base = Base(name="b", state=Base.State.READY, shapes={"c_attn": [48, 16], "wte": [16, 99]})
    module = {"name": "c_attn", "d_out": 48, "d_in": 16}
    assert selectors.shape_conflicts(base, [module]) == []
    for kind in ({}, {"kind": "linear"}):
        turned = {"name": "c_attn", "d_out": 16, "d_in": 48, **kind}
        assert selectors.shape_conflicts(base, [turned]) == ["c_attn is 16×48 in the adapter and 48×16 in b."]
        assert selectors.shape_conflicts(base, [{**turned, "name": "absent"}]) == ["b has no module absent."]
    for d_out, d_in in ((16, 99), (99, 16)):
        assert not selectors.shape_conflicts(base, [{"name": "wte", "kind": "embedding", "d_out": d_out, "d_in": d_in}])
    # Adapters come with tokens of their own, but not with another width.
    assert not selectors.shape_conflicts(base, [{"name": "wte", "kind": "embedding", "d_out": 16, "d_in": 98}])
    assert selectors.shape_conflicts(base, [{"name": "wte", "kind": "embedding", "d_out": 17, "d_in": 98}])
    assert not selectors.shape_conflicts(base, [{"name": "embed", "kind": "embedding", "d_out": 1, "d_in": 2}])


def test_moved_base_is_read_again_and_the_old_answer_is_dropped(staff: User, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    services.register_base(actor=staff, name="tiny", source=str(tmp_path / "a"))
    old = Job.objects.get()
    services.register_base(actor=staff, name="tiny", source=str(tmp_path / "b"))
    _read(old)
    assert Base.objects.get().state == Base.State.PENDING
    _read(Job.objects.get(state="queued"))
    assert Base.objects.get().state == Base.State.READY


def test_unreadable_base_says_why_and_is_tried_again(staff: User) -> None:
    base = services.register_base(actor=staff, name="org/none")
    assert base.source == "org/none"
    _report(
        Job.objects.get(), status="failed", fault=JobFault(code="bad_input", message="There is no such repository.")
    )
    base.refresh_from_db()
    assert (base.state, base.fault) == ("failed", "There is no such repository.")
    services.register_base(actor=staff, name="org/none")
    assert Job.objects.filter(state="queued").count() == 1


def test_faults(staff: User, ada: User, folder: Path) -> None:
    with pytest.raises(Forbidden):
        services.register_base(actor=ada, name="x")
    with pytest.raises(Invalid, match="at most one slash"):
        services.register_base(actor=staff, name="a/b/c")
    with pytest.raises(Invalid, match=r"no config\.json"):
        services.register_base(actor=staff, name="x", source="/nowhere")
    services.register_base(actor=staff, name="x", source=str(folder), aliases=["same"])
    with pytest.raises(Conflict, match="already another name of x"):
        services.register_base(actor=staff, name="y", source=str(folder), aliases=["Same"])
    assert list(Base.objects.values_list("name", flat=True)) == ["x"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("META-LLAMA/llama-3.2-1b", "meta-llama/Llama-3.2-1B"),
        ("unsloth/Llama-3.2-1B-bnb-4bit", "meta-llama/Llama-3.2-1B"),
        ("unsloth/llama-3.2-1b-unsloth-bnb-4bit", "meta-llama/Llama-3.2-1B"),
        ("/data/models/Llama-3.2-1B/", "meta-llama/Llama-3.2-1B"),
        ("C:\\models\\Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("old-name", "other/Model"),
        ("/srv/other-model", "other/Model"),
        ("Llama-3.2-1B-Instruct", None),
        ("", None),
        (".", None),
        ("/", None),
    ],
)
def test_names_in_configs(asked: str, found: str | None) -> None:
    Base.objects.create(name="meta-llama/Llama-3.2-1B", source="meta-llama/Llama-3.2-1B")
    other = Base.objects.create(name="other/Model", source="/srv/other-model")
    BaseAlias.objects.create(alias="old-name", base=other)
    base = selectors.resolve_base(asked)
    assert (base.name if base else None) == found


def test_last_part_counts_only_when_it_is_certain() -> None:
    Base.objects.create(name="a/model", source="a/model")
    Base.objects.create(name="b/model", source="b/model")
    assert selectors.resolve_base("c/model") is None


def test_rest(client: Client, staff: User, ada: User, folder: Path) -> None:
    body = {"name": "org/tiny", "source": str(folder), "license": "mit", "aliases": ["tiny-4bit"]}
    assert client.post("/api/v1/bases/", body, "application/json").status_code == 401
    client.force_login(ada)
    assert client.post("/api/v1/bases/", body, "application/json").status_code == 403
    client.force_login(staff)
    answer = client.post("/api/v1/bases/", body, "application/json")
    assert (answer.status_code, answer.json()["state"]) == (201, "pending")
    _read(Job.objects.get())
    client.logout()
    listed = client.get("/api/v1/bases/").json()
    assert [(row["name"], row["aliases"]) for row in listed["results"]] == [("org/tiny", ["tiny-4bit"])]
    assert "source" not in json.dumps(listed)
    found = client.get("/api/v1/bases/Org/Tiny/").json()
    assert found["shapes"] == {"model.layers.0.self_attn.q_proj": [16, 8]}
    assert client.get("/api/v1/bases/none/").status_code == 404


def test_command(staff: User, folder: Path) -> None:
    out = io.StringIO()
    call_command("register_base", "tiny", str(folder), "--alias", "x", stdout=out)
    assert "is being read" in out.getvalue()
    with pytest.raises(CommandError, match=r"no config\.json"):
        call_command("register_base", "other", "/nowhere")
    User.objects.update(is_staff=False)
    with pytest.raises(CommandError, match="createsuperuser"):
        call_command("register_base", "other", str(folder))
