"""Keeping the vectors of adapters current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from inference_worker.contracts.embed import EmbedItem, EmbedRequest
from marketplace.adapters.models import Adapter, Artifact, Embedding
from marketplace.catalog.texts import digest_of, texts_of
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job

KIND = "embed"


def embeddable(adapters: QuerySet[Adapter]) -> QuerySet[Adapter]:
    """Those that somebody could find: accepted, not deleted, not removed."""
    return (
        adapters.filter(deleted_at=None, current__artifact__state=Artifact.State.VALID)
        .exclude(moderation=Adapter.Moderation.REMOVED)
        .select_related("owner")
    )


def request_embeddings(adapter: Adapter, *, encoder: str | None = None, force: bool = False) -> Job | None:
    """Ask a worker for the vectors that ``adapter`` lacks; None when all are current or on their way.

    Call it after every change of title, description, tags or examples. ``encoder`` None is the site's; ``force``
    embeds anew even what is current. The job belongs to the adapter's owner; lists of jobs leave the kind ``embed``
    out (``jobs.selectors.jobs_of``).
    """
    name = encoder or settings.ENCODER
    with transaction.atomic():
        texts = texts_of(adapter)
        digests = {kind: digest_of(kind_texts) for kind, kind_texts in texts.items()}
        Embedding.objects.filter(adapter=adapter, encoder=name).exclude(kind__in=texts).delete()
        current = dict(Embedding.objects.filter(adapter=adapter, encoder=name).values_list("kind", "text_digest"))
        wanted = {kind: digest for kind, digest in digests.items() if force or current.get(kind) != digest}
        subject = {"adapter": adapter.pk, "encoder": name, "digests": wanted}
        if not wanted or _is_under_way(subject):
            return None
        return create_job(
            owner=adapter.owner,
            kind=KIND,
            request=EmbedRequest(
                encoder=name, items=tuple(EmbedItem(key=kind, texts=texts[kind]) for kind in sorted(wanted))
            ),
            subject=subject,
            title=f"Vectors of {adapter.full_name}",
        )


def _is_under_way(subject: Mapping[str, object]) -> bool:
    return Job.objects.filter(kind=KIND, subject=subject).exclude(state__in=Job.ENDED).exists()


def store_embeddings(
    *, adapter: Adapter, encoder: str, vectors: Mapping[str, Sequence[float]], digests: Mapping[str, str]
) -> int:
    """Write vectors whose texts are still the adapter's; returns how many were. Vectors that come too late are
    dropped: the change that made them stale has asked for new ones.

    ``digests`` are those of the texts that were embedded, by kind.
    """
    with transaction.atomic():
        locked = Adapter.objects.select_for_update(of=("self",)).select_related("owner").get(pk=adapter.pk)
        current = {kind: digest_of(texts) for kind, texts in texts_of(locked).items()}
        fresh = [kind for kind in vectors if kind in current and digests.get(kind) == current[kind]]
        for kind in fresh:
            Embedding.objects.update_or_create(
                adapter=locked,
                encoder=encoder,
                kind=kind,
                defaults={"embedding": list(vectors[kind]), "text_digest": current[kind]},
            )
    return len(fresh)
