"""The site that the walk goes through: one adapter in every state, and somebody in every role to each of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import Token, User
from marketplace.accounts.services import digest_of
from marketplace.adapters.models import (
    AccessRequest,
    Adapter,
    Artifact,
    Blob,
    Collaborator,
    FormerName,
    PartialUpload,
    Transfer,
    Upload,
    Version,
    VersionFile,
)
from marketplace.bases.models import Base, BaseAlias
from marketplace.compositions.lab.previews import create_preview
from marketplace.compositions.lab.sweeps import Asked, Axes, create_sweep
from marketplace.compositions.models import Composition, CompositionMember
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.jobs.models import Job
from marketplace.moderation.groups import MODERATORS
from marketplace.moderation.models import Block
from marketplace.notifications.models import Kind, Notification
from marketplace.regressions.models import Watch

#: Visibility, moderation, state of the check, whether it is deleted.
STATES: dict[str, tuple[str, str, str, bool]] = {
    "public": ("public", "visible", "valid", False),
    "gated": ("gated", "visible", "valid", False),
    "private": ("private", "visible", "valid", False),
    "quarantined": ("public", "quarantined", "valid", False),
    "removed": ("public", "removed", "valid", False),
    "deleted": ("public", "visible", "valid", True),
    "invalid": ("public", "visible", "invalid", False),
    "pending": ("public", "visible", "pending", False),
    "yanked": ("public", "visible", "valid", False),
    # An address that the public adapter had before.
    "former": ("public", "visible", "valid", False),
}
#: Roles with a session. ``suspended`` owns nothing and is a write collaborator of everything.
PEOPLE = ["stranger", "waiting", "approved", "reader", "writer", "owner", "moderator", "superuser", "suspended"]
#: The owner's tokens, and one of the suspended account.
TOKENS = {"reading token": ("owner", "read"), "writing token": ("owner", "write"), "dead token": ("suspended", "write")}
ROLES = ["anonymous", *PEOPLE, *TOKENS]


@dataclass
class World:
    """``things`` are ids that addresses need: of jobs, uploads and tokens of the owner."""

    clients: dict[str, Client] = field(default_factory=dict)
    people: dict[str, User] = field(default_factory=dict)
    things: dict[str, str] = field(default_factory=dict)
    #: An upload that is ready to be published, by whose it is.
    uploads: dict[str, str] = field(default_factory=dict)

    def headers(self, role: str) -> dict[str, str]:
        token = {"Authorization": f"Bearer by_{role.replace(' ', '_')}"} if role in TOKENS else {}
        return {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", **token}

    def client(self, role: str) -> Client:
        return self.clients.get(role, self.clients["anonymous"])

    def person(self, role: str) -> str:
        """Whose account a role speaks for; empty for nobody."""
        return TOKENS[role][0] if role in TOKENS else role if role in PEOPLE else ""


def build() -> World:
    """Call inside a transaction that is rolled back."""
    world = World()
    _people(world)
    base = Base.objects.create(name="m1", source="/models/m1", state=Base.State.READY, license="apache-2.0")
    BaseAlias.objects.create(alias="another-m1", base=base)
    for state in STATES:
        if state != "former":
            _adapter(world, state, base)
    for name in world.people:
        world.uploads[name] = _upload(world.people[name], base)
    owner = world.people["owner"]
    job = Job.objects.create(owner=owner, kind="base_shapes", queue="embed", request={}, limits={}, state="failed")
    token = Token.objects.create(owner=owner, name="spare", prefix="by_spare", digest="0" * 64)
    offered = Adapter.objects.get(name="public")
    FormerName.objects.create(adapter=offered, owner=owner, name="former")
    part = PartialUpload.objects.create(
        owner=owner, path="README.md", length=9, expires_at=timezone.now() + timedelta(hours=1)
    )
    Block.objects.create(sha256="0" * 64, reason="Known")
    offer = Transfer.objects.create(adapter=offered, sender=owner, receiver=world.people["stranger"])
    mix = Composition.objects.create(owner=owner, name="of-one", base=base, visibility="public")
    CompositionMember.objects.create(composition=mix, position=0, adapter=offered, label="owner/public")
    notice = Notification.objects.create(user=owner, kind=Kind.ACCESS, title="Asked", address="/owner/public")
    world.things = {
        "mix": mix.name,
        "watch_id": str(Watch.objects.create(owner=owner, mix=mix).pk),
        "notification_id": str(notice.pk),
        "job_id": str(job.pk),
        "token_id": str(token.pk),
        "upload_id": world.uploads["owner"],
        "transfer_id": str(offer.pk),
        "offer_id": str(offer.pk),
        "part_id": str(part.pk),
        "export_id": str(export_of(owner, offered).pk),
        "preview_id": str(create_preview(user=owner, prompts=["x"], members=[(offered, 1.0)], method="cat").pk),
        "sweep_id": str(_sweep(owner, offered).pk),
        **_measured(owner, offered),
    }
    return world


def _measured(owner: User, adapter: Adapter) -> dict[str, str]:
    """A private suite of the owner's, and a run of the adapter on its own examples."""
    suite = EvaluationSuite.objects.create(owner=owner, name="Own", count=1, sha256=_blob("{}").sha256)
    examples = EvaluationSuite.objects.create(kind="examples", adapter=adapter, name="E", count=1, sha256="0" * 64)
    assert adapter.current is not None
    run = EvaluationRun.objects.create(
        key="k", artifact=adapter.current.artifact, base_id=adapter.base_id, suite=examples, state="failed"
    )
    return {"suite_id": str(suite.pk), "run_id": str(run.pk)}


def _people(world: World) -> None:
    password = make_password(None)
    for name in PEOPLE:
        staff = name in ("moderator", "superuser")
        person = User.objects.create(
            username=name,
            email=f"{name}@example.org",
            password=password,
            is_staff=staff,
            is_superuser=name == "superuser",
            is_active=name != "suspended",
        )
        world.people[name] = person
        world.clients[name] = Client(raise_request_exception=False)
        world.clients[name].force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    world.clients["anonymous"] = Client(raise_request_exception=False)
    world.people["moderator"].groups.add(Group.objects.get(name=MODERATORS))
    for name, (whose, scope) in TOKENS.items():
        secret = f"by_{name.replace(' ', '_')}"
        Token.objects.create(
            owner=world.people[whose], name=name, prefix=secret[:8], digest=digest_of(secret), scope=scope
        )


def _blob(text: str) -> Blob:
    info = blob_store().put_bytes(text.encode())
    return Blob.objects.get_or_create(sha256=info.sha256, defaults={"git_sha1": info.git_sha1, "size": info.size})[0]


def _artifact(name: str, base: Base, state: str) -> tuple[Artifact, dict[str, Blob]]:
    files = {
        "adapter_config.json": _blob(json.dumps({"name": name, "base_model_name_or_path": "m1"})),
        "adapter_model.safetensors": _blob(f"weights of {name}"),
        "README.md": _blob(f"---\ntitle: {name}\n---\n\nA card."),
    }
    artifact = Artifact.objects.create(
        config_blob=files["adapter_config.json"],
        weights_blob=files["adapter_model.safetensors"],
        state=state,
        rank=8,
        base=base,
    )
    return artifact, files


def _adapter(world: World, name: str, base: Base) -> None:
    visibility, moderation, state, deleted = STATES[name]
    owner = world.people["owner"]
    artifact, files = _artifact(name, base, state)
    adapter = Adapter.objects.create(
        owner=owner,
        name=name,
        base=base,
        base_name="m1",
        visibility=visibility,
        moderation=moderation,
        license="mit",
        title=name,
        deleted_at=timezone.now() if deleted else None,
    )
    version = Version.objects.create(
        adapter=adapter,
        artifact=artifact,
        commit=hashlib.sha1(name.encode()).hexdigest(),
        author=owner,
        message="First version",
        prompt_format=PromptFormat().model_dump(mode="json"),
        recipe={"kind": "other"},
    )
    VersionFile.objects.bulk_create(
        [VersionFile(version=version, path=path, blob=blob) for path, blob in files.items()]
    )
    if name == "yanked":
        version.yanked_at = timezone.now()
        version.save(update_fields=["yanked_at"])
    adapter.current = version
    adapter.save(update_fields=["current"])
    for person, role in [("reader", "read"), ("writer", "write"), ("suspended", "write")]:
        Collaborator.objects.create(adapter=adapter, user=world.people[person], role=role)
    for person in ("waiting", "approved"):
        AccessRequest.objects.create(adapter=adapter, user=world.people[person], state=person)


def _sweep(owner: User, adapter: Adapter) -> Job:
    asked = Asked(examples=[{"prompt": "x", "expected": "y"}])
    return create_sweep(user=owner, axes=Axes(), asked=asked, members=[(adapter, 1.0)], method="cat")


def export_of(owner: User, adapter: Adapter) -> Job:
    """A finished export of ``adapter`` that ``owner`` made, with one file."""
    blob = _blob(f"export of {adapter.name}")
    file = {"path": "adapter_config.json", "sha256": blob.sha256, "git_sha1": blob.git_sha1, "size": blob.size}
    return Job.objects.create(
        owner=owner,
        kind="export",
        queue="batch",
        request={"adapter": {"label": adapter.full_name}},
        limits={},
        subject={"adapter": adapter.pk, "version": adapter.current_id, "format": "merged", "dtype": "same"},
        result={"format": "merged", "files": [file], "size": blob.size},
        state=Job.State.SUCCEEDED,
        finished_at=timezone.now(),
    )


def _upload(owner: User, base: Base) -> str:
    artifact, files = _artifact(f"upload of {owner.username}", base, "valid")
    listed = [
        {"path": path, "sha256": blob.sha256, "git_sha1": blob.git_sha1, "size": blob.size}
        for path, blob in files.items()
    ]
    return str(Upload.objects.create(owner=owner, artifact=artifact, files=listed).pk)


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens inside is taken back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
