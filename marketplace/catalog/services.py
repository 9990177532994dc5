"""Keeping the vectors of adapters current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from inference_worker.contracts.embed import EmbedItem, EmbedRequest
from marketplace.adapters.models import Adapter, Artifact, Embedding
from marketplace.catalog.texts import digest_of, texts_of
from marketplace.core.errors import Conflict
from marketplace.jobs import dispatch
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import cancel_now
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


def forget_texts(job: Job) -> None:
    """Drop the texts of a locked job that has ended, unsaved: private examples are among them, and may be deleted."""
    job.request = {**job.request, "items": []}


def take_texts_again(job: Job) -> None:
    """Give a job that is tried again the texts as they are now, unsaved. Raises ``Conflict`` where there are none."""
    adapter = embeddable(Adapter.objects.filter(pk=job.subject["adapter"])).first()
    texts = texts_of(adapter) if adapter is not None else {}
    wanted = sorted(set(job.subject["digests"]) & set(texts))
    if not wanted:
        raise Conflict("There is nothing left to make vectors of.", code="nothing_to_embed")
    job.subject = {**job.subject, "digests": {kind: digest_of(texts[kind]) for kind in wanted}}
    items = tuple(EmbedItem(key=kind, texts=texts[kind]) for kind in wanted)
    job.request = EmbedRequest(encoder=job.request["encoder"], items=items).model_dump(mode="json")


def forget_adapter(adapter: Adapter) -> None:
    """Of an adapter that was emptied: what waits or runs with its texts ends. Call inside a transaction."""
    jobs = Job.objects.select_for_update(of=("self",)).select_related("owner").exclude(state__in=Job.ENDED)
    for job in jobs.filter(kind=KIND, subject__adapter=adapter.pk):
        transaction.on_commit(partial(dispatch.request_stop, str(job.pk), job.attempt))
        cancel_now(job)


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
