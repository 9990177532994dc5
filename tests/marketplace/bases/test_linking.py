"""Adapters whose base was unknown, and a base, or another name, that becomes known later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact
from marketplace.adapters.services.editing import edit_adapter
from marketplace.bases import services
from marketplace.bases.aliases import add_alias
from marketplace.bases.linking import link_waiting
from marketplace.bases.models import Base, BaseChoice
from marketplace.core.errors import Invalid
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.bases.conftest import MakeBase, finish_reading

pytestmark = pytest.mark.django_db

Waiting = Callable[..., Adapter]


def _problems(adapter: Adapter) -> list[str]:
    assert adapter.current is not None
    return [problem["code"] for problem in Artifact.objects.get(pk=adapter.current.artifact_id).problems]


def test_a_base_that_was_read_asks_for_its_adapters(
    staff: User, folder: Path, waiting: Waiting, django_capture_on_commit_callbacks: Any
) -> None:
    fits, other = waiting(staff, "fits", "/home/me/tiny"), waiting(staff, "other", "/home/me/tiny", width=99)
    services.register_base(actor=staff, name="org/tiny", source=str(folder))
    finish_reading(Job.objects.get())
    base = Base.objects.get()
    assert (base.linking, base.layers) == (True, 2)
    assert link_waiting() == 1
    fits.refresh_from_db()
    other.refresh_from_db()
    assert (fits.base, other.base) == (base, None)
    assert _problems(fits) == ["kept"]
    assert _problems(other) == ["base_unknown", "kept"]
    entry = AuditEntry.objects.get(action="adapter.link_base")
    assert (entry.actor, entry.target, entry.detail) == (None, "staff/fits", {"base": "org/tiny", "by": "config"})
    assert not Base.objects.get().linking
    assert link_waiting() == 0


def test_another_name_links_what_waits_under_it(staff: User, waiting: Waiting, make_base: MakeBase) -> None:
    base = make_base("org/tiny")
    make_base("org/twin")
    adapter = waiting(staff, "a", "house/copy-of-tiny")
    Base.objects.update(linking=True)
    assert link_waiting() == 0  # Two bases of the same shapes: nothing says which.
    add_alias(actor=staff, base=base, alias="House/Copy-of-Tiny")
    assert link_waiting() == 1
    adapter.refresh_from_db()
    assert adapter.base == base
    assert adapter.current is not None
    assert Artifact.objects.get(pk=adapter.current.artifact_id).base == base


def test_shapes_link_where_they_leave_one_lineage(staff: User, waiting: Waiting, make_base: MakeBase) -> None:
    adapter = waiting(staff, "a", "./out")
    root = make_base("org/root", linking=True)
    make_base("org/tuned", parent=root, linking=True)
    assert link_waiting() == 1
    adapter.refresh_from_db()
    assert adapter.base == root
    assert AuditEntry.objects.get(action="adapter.link_base").detail["by"] == "shapes"
    assert adapter.current is not None
    # The bytes say nothing of it: the same file of somebody else waits for an answer of its own.
    assert Artifact.objects.get(pk=adapter.current.artifact_id).base is None


def test_a_certain_name_whose_shapes_disagree_stays_accepted(
    staff: User, waiting: Waiting, make_base: MakeBase
) -> None:
    adapter = waiting(staff, "a", "org/named", width=16)
    make_base("org/named", 8, linking=True)
    # Its features would leave it out; another base brings it up.
    other = make_base("org/other", 16, linking=True)
    assert link_waiting() == 1
    adapter.refresh_from_db()
    assert adapter.base == other
    assert adapter.current is not None
    artifact = Artifact.objects.get(pk=adapter.current.artifact_id)
    assert (artifact.state, artifact.base) == (Artifact.State.VALID, None)
    unknown = next(problem for problem in artifact.problems if problem["code"] == "base_unknown")
    assert "looks like org/named, but the tensors do not fit it. These tensors fit org/other" in unknown["message"]


def test_owners_keep_the_last_word(ada: User, staff: User, waiting: Waiting, make_base: MakeBase) -> None:
    adapter = waiting(ada, "a", "./out")
    edit_adapter(user=ada, adapter=adapter, base="-")
    base = make_base("org/root", linking=True)
    assert link_waiting() == 0
    edit_adapter(user=ada, adapter=adapter, base="org/root")
    adapter.refresh_from_db()
    assert (adapter.base, BaseChoice.objects.get().base) == (base, base)
    edit_adapter(user=ada, adapter=adapter, base="-")
    adapter.refresh_from_db()
    assert adapter.base is None
    edit_adapter(user=ada, adapter=adapter, base="")
    assert not BaseChoice.objects.exists()
    Base.objects.update(linking=True)
    assert link_waiting() == 1
    make_base("org/wide", 64)
    with pytest.raises(Invalid, match=r"does not fit org/wide\. model\.layers\.0\.self_attn\.q_proj is 16×16"):
        edit_adapter(user=ada, adapter=adapter, base="org/wide")


def test_deleted_and_refused_adapters_stay_as_they_are(ada: User, waiting: Waiting, make_base: MakeBase) -> None:
    gone, refused = waiting(ada, "gone", "org/root"), waiting(ada, "refused", "org/root")
    Adapter.objects.filter(pk=gone.pk).update(deleted_at="2026-01-01T00:00:00Z")
    assert refused.current is not None
    Artifact.objects.filter(pk=refused.current.artifact_id).update(state=Artifact.State.INVALID)
    make_base("org/root", linking=True)
    assert link_waiting() == 0


def test_a_base_that_was_not_read_yet_links_nothing(ada: User, waiting: Waiting, make_base: MakeBase) -> None:
    waiting(ada, "a", "org/root")
    base = make_base("org/root", linking=True)
    Base.objects.filter(pk=base.pk).update(state=Base.State.PENDING)
    assert link_waiting() == 0
    assert not Base.objects.get().linking
