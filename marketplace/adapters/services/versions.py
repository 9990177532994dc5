"""Commits: a tree of files on an artefact, and the adapter's columns that follow from the newest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import commits
from marketplace.adapters.models import Adapter, Artifact, Blob, Lineage, Version, VersionFile
from marketplace.catalog.services import request_embeddings

MAX_MESSAGE = 300

Follower = Callable[[Adapter], object]
_followers: list[Follower] = []


def register_follower(follower: Follower) -> Follower:
    """Decorator: call ``follower(adapter)`` after the commit whenever an accepted adapter is new or has changed.

    For other parts of the site that keep something about adapters; register in the app's ``ready``.
    """
    if follower not in _followers:
        _followers.append(follower)
    return follower


def create_version(
    *,
    author: User,
    adapter: Adapter,
    artifact: Artifact,
    files: Mapping[str, Blob],
    message: str,
    prompt_format: PromptFormat | Mapping[str, Any],
    recipe: Mapping[str, Any] | None = None,
    parents: Sequence[tuple[Version, float]] = (),
    operation: str = "",
) -> Version:
    """Commit ``files`` (path → blob) to the adapter. Call inside a transaction, permission checked.

    The version is current at once, unless the adapter has an accepted one and the new artefact is still unchecked:
    ``advancing.advance`` follows then. ``parents`` are the versions that it was made from by ``operation``, with their
    weights; the commit's own parent is the version that was current until now.
    """
    previous = Adapter.objects.select_for_update(of=("self",)).get(pk=adapter.pk).current
    now = timezone.now()
    message = " ".join(message.split())[:MAX_MESSAGE] or "Update"
    version = Version.objects.create(
        adapter=adapter,
        artifact=artifact,
        commit=commits.commit_id(
            files={path: blob.git_sha1 for path, blob in files.items()},
            parents=[previous.commit] if previous else [],
            author=author.username,
            at=now,
            message=message,
        ),
        parent=previous,
        author=author,
        message=message,
        prompt_format=PromptFormat.model_validate(prompt_format).model_dump(mode="json"),
        recipe=recipe,
        created_at=now,
        **_standing(previous, artifact),
    )
    _attach(version, files, parents, operation)
    if previous is None or _in_force(artifact, previous.artifact):
        adapter.current = version
        adapter.updated_at = now
        adapter.save(update_fields=["current", "updated_at"])
    return version


def _attach(
    version: Version, files: Mapping[str, Blob], parents: Sequence[tuple[Version, float]], operation: str
) -> None:
    """The version's tree and its lineage."""
    VersionFile.objects.bulk_create(
        [VersionFile(version=version, path=path, blob=blob) for path, blob in sorted(files.items())]
    )
    Lineage.objects.bulk_create(
        [
            Lineage(child=version, parent=parent, weight=weight, operation=operation[:40], position=position)
            for position, (parent, weight) in enumerate(parents)
        ]
    )


def _standing(previous: Version | None, artifact: Artifact) -> dict[str, Any]:
    """What is known of these weights stays, and what the owner said of them: a new card does not bring back what was
    yanked."""
    if previous is None or previous.artifact_id != artifact.pk:
        return {}
    fields = ("yanked_at", "yank_reason", "deprecated_at", "deprecation", "superseded_by", "fitted_on_half")
    return {field: getattr(previous, field) for field in fields}


def _in_force(artifact: Artifact, previous: Artifact) -> bool:
    """Whether a version on ``artifact`` replaces one on ``previous`` at once: nobody may lose an accepted one by it."""
    valid = Artifact.State.VALID
    return artifact.pk == previous.pk or artifact.state == valid or previous.state != valid


def embed_when_valid(adapter: Adapter) -> None:
    """Ask for the vectors of an accepted adapter, and whatever follows it, once the transaction is committed; the check
    asks for the others."""
    if adapter.current is not None and adapter.current.artifact.state == Artifact.State.VALID:
        followers: list[Follower] = [request_embeddings, *_followers]
        for follower in followers:
            transaction.on_commit(partial(follower, adapter), robust=True)
