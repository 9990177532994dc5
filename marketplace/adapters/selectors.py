"""Reading adapters, always through what the asker may see."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from pgvector.django import CosineDistance

from marketplace import policy
from marketplace.adapters import tombstones
from marketplace.adapters.models import (
    AccessRequest,
    Adapter,
    Artifact,
    Embedding,
    ExamplePrompt,
    Lineage,
    Upload,
    Version,
    VersionFile,
)
from marketplace.catalog import meaning
from marketplace.core.errors import NotAuthenticated, NotFound

#: A commit is found by this many leading digits or more.
MIN_PREFIX = 7


def visible_adapters(user: policy.Person) -> QuerySet[Adapter]:
    """Every adapter that ``user`` may see, with its owner, base, current version and artefact."""
    return Adapter.objects.filter(policy.viewable(user)).select_related("owner", "base", "current__artifact")


def listed_adapters(user: policy.Person) -> QuerySet[Adapter]:
    """What belongs into lists, searches and counts for ``user``: what they may see, without what moderators see only as
    such. Without the columns that pages of one adapter alone show: hundreds of rows of measurements would be read and
    parsed for nothing."""
    listed = Adapter.objects.filter(policy.allowed(user, policy.Action.LIST))
    return listed.select_related("owner", "base", "current__artifact", "standing").defer(
        "current__artifact__modules", "current__artifact__problems"
    )


def shared_with(user: policy.Person) -> QuerySet[Adapter]:
    """Other people's adapters that ``user`` works on, or was given access to."""
    granted = Q(collaborators__user=user.pk)
    granted |= Q(access_requests__user=user.pk, access_requests__state=AccessRequest.State.APPROVED)
    shared = Adapter.objects.filter(granted).values("pk")
    return listed_adapters(user).filter(pk__in=shared)


def public_examples(user: policy.Person) -> QuerySet[ExamplePrompt]:
    """The examples that owners show, of adapters that ``user`` may load."""
    loadable = Adapter.objects.filter(policy.downloadable(user)).values("pk")
    return ExamplePrompt.objects.filter(public=True, adapter__in=loadable)


def examples_of(*, user: policy.Person, adapter: Adapter) -> QuerySet[ExamplePrompt]:
    """All examples for those who write them, the public ones for those who may load the adapter, else none."""
    if policy.may(user, policy.Action.SEE_DRAFTS, adapter):
        return adapter.examples.all()
    if policy.may_download(user, adapter):
        return adapter.examples.filter(public=True)
    return adapter.examples.none()


def get_adapter(*, user: policy.Person, owner: str, name: str) -> Adapter:
    """``owner/name`` in any spelling of capitals, also by a name that the adapter had before.

    Raises ``Gone`` where one was deleted that ``user`` could see, ``NotFound`` where there is none for them.
    """
    visible = visible_adapters(user)
    here, before = tombstones.named(owner, name), tombstones.formerly_named(owner, name)
    adapter = visible.filter(here).first() or visible.filter(before).first()
    if adapter is not None:
        return adapter
    deleted = tombstones.tombstones(user).filter(here | before).first()
    if deleted is not None:
        raise tombstones.gone(user, deleted)
    raise NotFound(f"There is no adapter {owner}/{name}, or it is not yours to see.")


def get_upload(*, user: policy.Person, upload_id: str | uuid.UUID) -> Upload:
    """An upload of ``user``'s own. Raises ``NotFound``."""
    fault = NotFound("There is no such upload, or it is not yours.")
    try:
        key = uuid.UUID(str(upload_id))
    except ValueError as error:
        raise fault from error
    upload = (
        Upload.objects.filter(policy.owned_by(user), pk=key).select_related("artifact__base", "adapter__owner").first()
    )
    if upload is None:
        raise fault
    return upload


def get_version(*, adapter: Adapter, revision: str = "main") -> Version:
    """A version by ``main``, its commit, or seven or more leading digits of it. Raises ``NotFound``."""
    versions = adapter.versions.select_related("artifact", "author")
    if revision == "main":
        found = versions.filter(pk=adapter.current_id or 0).first()
        if found is not None:
            return found
    elif len(revision) >= MIN_PREFIX and all(digit in "0123456789abcdef" for digit in revision.lower()):
        matches = list(versions.filter(commit__startswith=revision.lower())[:2])
        if len(matches) == 1:
            return matches[0]
    raise no_revision(adapter, revision)


def no_revision(adapter: Adapter, revision: str) -> NotFound:
    """The answer for a revision that is not there, and for one that somebody may not know of."""
    return NotFound(
        f"{adapter.full_name} has no revision “{revision}”. Use main, a commit, or at least {MIN_PREFIX} digits of one."
    )


def files_of(version: Version) -> QuerySet[VersionFile]:
    """The version's tree with its blobs, by path."""
    return version.files.select_related("blob")


@dataclass(frozen=True)
class SimilarAdapter:
    """``meaning`` compares cards or examples, ``weights`` the signatures of Δ; cosines, None where unknown."""

    adapter: Adapter
    meaning: float | None
    weights: float | None

    @property
    def near_duplicate(self) -> bool:
        return self.weights is not None and self.weights >= NEAR_DUPLICATE


#: From this cosine of signatures on, two adapters are near-duplicates (architecture, "Data").
NEAR_DUPLICATE = 0.98


def similar_adapters(*, user: policy.Person, adapter: Adapter, limit: int = 6) -> list[SimilarAdapter]:
    """Adapters whose description is nearest in meaning and, before them, near-duplicates by their weights."""
    others = listed_adapters(user).exclude(pk=adapter.pk)
    by_meaning = _by_meaning(others, adapter, limit)
    by_weights = _by_weights(others, adapter, limit)
    rows = {row.pk: row for row in others.filter(pk__in={*by_weights, *by_meaning})}
    found = [
        SimilarAdapter(
            adapter=row,
            meaning=by_meaning.get(pk),
            weights=_cosine(by_weights[pk]) if pk in by_weights else None,
        )
        for pk, row in rows.items()
    ]
    found = [hit for hit in found if hit.meaning is not None or hit.near_duplicate]
    found.sort(key=lambda hit: (not hit.near_duplicate, -(hit.meaning or 0.0), hit.adapter.pk))
    return found[:limit]


def _cosine(row: Any) -> float:
    return 1.0 - float(row.distance)


def _by_meaning(others: QuerySet[Adapter], adapter: Adapter, limit: int) -> dict[int, float]:
    """Primary key → cosine of the descriptions."""
    own = adapter.embeddings.filter(kind=Embedding.Kind.DESCRIPTION, encoder=settings.ENCODER).first()
    if own is None:
        return {}
    return meaning.closest(others, list(own.embedding), own.encoder, limit, kind=own.kind, floor=meaning.ALIKE)


def _by_weights(others: QuerySet[Adapter], adapter: Adapter, limit: int) -> dict[int, Adapter]:
    if adapter.current is None or adapter.current.artifact.signature is None:
        return {}
    nearest = (
        others.filter(current__artifact__signature__isnull=False)
        .annotate(distance=CosineDistance("current__artifact__signature", adapter.current.artifact.signature))
        .order_by("distance")
    )
    return {row.pk: row for row in nearest[:limit]}


def nameable_adapters(user: policy.Person) -> QuerySet[Adapter]:
    """What lineage and recipes may name to ``user``: what they see, and what they saw before it was deleted."""
    known = policy.allowed(user, policy.Action.VIEW) | policy.allowed(user, policy.Action.SEE_TOMBSTONE)
    return Adapter.objects.filter(known)


def lineage_of(*, user: policy.Person, adapter: Adapter) -> dict[str, Any]:
    """``parents`` of the current version and ``children`` made from any version (lists of ``Lineage``), as far as
    ``user`` may see them; ``hidden_parents`` counts those that they may not. A parent that was deleted is still a
    parent for whoever could see it."""
    visible = visible_adapters(user).values("pk")
    edges = Lineage.objects.select_related("parent__adapter__owner", "child__adapter__owner")
    all_parents = edges.filter(child_id=adapter.current_id)
    parents = list(all_parents.filter(parent__adapter__in=nameable_adapters(user)))
    # Every edit of a child's card repeats its parents; the current version speaks for all.
    children = edges.filter(
        parent__adapter=adapter, child__adapter__in=visible, child__adapter__current=F("child")
    ).order_by("-child__created_at", "pk")
    return {
        "parents": parents,
        "hidden_parents": all_parents.count() - len(parents),
        "children": list(children[:50]),
    }


#: Measurements of thousands of modules, which lists of versions would read and parse for nothing.
_MEASURED = ("artifact__modules", "artifact__summary", "artifact__signature")


def versions_of(*, user: policy.Person, adapter: Adapter) -> QuerySet[Version]:
    """The commits that ``user`` may see: its authors all of them, others the accepted ones."""
    people = ("artifact", "author", "parent", "superseded_by__adapter__owner")
    versions = adapter.versions.select_related(*people).prefetch_related("files__blob").defer(*_MEASURED)
    if policy.may(user, policy.Action.SEE_DRAFTS, adapter):
        return versions
    return versions.filter(artifact__state=Artifact.State.VALID)


def waiting_version(*, user: policy.Person, adapter: Adapter) -> Version | None:
    """The newest version beside the current one that is being checked or was not accepted, for its authors; None for
    others."""
    if adapter.current is None or not policy.may(user, policy.Action.SEE_DRAFTS, adapter):
        return None
    later = Q(artifact__state=Artifact.State.INVALID, pk__gt=adapter.current.pk)
    later |= Q(artifact__state__in=[Artifact.State.PENDING, Artifact.State.VALIDATING])
    others = adapter.versions.select_related("artifact").exclude(artifact=adapter.current.artifact_id)
    return others.filter(later).order_by("-pk").first()


def recipe_of(*, user: policy.Person, adapter: Adapter) -> dict[str, Any] | None:
    """The current version's recipe. Parents that ``user`` may not see lose their names and keep their digests."""
    recipe = adapter.current.recipe if adapter.current else None
    if not recipe or not recipe.get("parents"):
        return recipe
    edges = Lineage.objects.filter(child_id=adapter.current_id)
    seen = set(edges.filter(parent__adapter__in=nameable_adapters(user)).values_list("position", flat=True))
    shown = [
        parent if position in seen else {**parent, "label": ""} for position, parent in enumerate(recipe["parents"])
    ]
    return {**recipe, "parents": shown}


def uploads_of(user: policy.Person) -> QuerySet[Upload]:
    """The user's own uploads. Raises ``NotAuthenticated`` for strangers."""
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to see your uploads.")
    return Upload.objects.filter(policy.owned_by(user)).select_related("artifact__base", "adapter__owner")
