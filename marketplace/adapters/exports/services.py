"""Exports: check the adapter, its base and the terms, write a closed plan, enqueue it."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.export import FORMATS, SHARD_BYTES, ExportRequest, foreign_features
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.adapters.exports.selectors import KIND, live_exports, used_bytes
from marketplace.adapters.licences import LICENCES, Obligation, parts_of
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, TooLarge
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

#: Format → the types that it is written in.
DTYPES = {"merged": ("same", "float32", "float16", "bfloat16"), "gguf": ("same", "float32", "float16")}
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
MIN_SHARD, MAX_SHARD = 10**8, 50 * 10**9


@dataclass(frozen=True)
class Offer:
    """Whether a version can be exported in a format: ``reason`` says why not, ``size`` estimates the bytes."""

    format: str
    title: str
    purpose: str
    dtypes: tuple[str, ...]
    size: int = 0
    reason: str = ""


def offers_of(version: Version, base: Base | None) -> list[Offer]:
    """What the page of an adapter offers; for everybody alike. ``base`` counts where the artefact has none."""
    return [_offer(version, version.artifact.base or base, name) for name in FORMATS]


def _offer(version: Version, base: Base | None, name: str, dtype: str = "same") -> Offer:
    title, purpose = FORMATS[name]
    reason = _reason(version, base, name)
    size = 0 if reason or base is None else _estimate(version, base, name, dtype)
    return Offer(name, title, purpose, DTYPES[name], size, reason)


def _reason(version: Version, base: Base | None, name: str) -> str:
    """Why this cannot be exported, as a sentence; empty when it can."""
    summary = version.artifact.summary
    if base is None:
        return "Its base is unknown here. The operator can register it."
    if base.state != Base.State.READY or not base.served:
        return f"Its base {base.name} is not at hand here."
    if name == "merged":
        if (task := summary.get("task_type") or "CAUSAL_LM") != "CAUSAL_LM":
            return f"It is an adapter for {task}; merged models are made for text generation."
        for whose, license in ((f"The base {base.name}", base.license), ("The adapter", version.adapter.license)):
            if any(
                part in LICENCES and Obligation.NO_DERIVATIVES in LICENCES[part].obligations
                for part in parts_of(license)
            ):
                return f"{whose} is under {license}, which forbids adaptations, and a merged model is one."
    if foreign := foreign_features(name, summary.get("features", [])):
        return f"A {FORMATS[name][0]} cannot hold what it uses: {', '.join(foreign)}."
    return ""


def _estimate(version: Version, base: Base, name: str, dtype: str) -> int:
    """Bytes of the result: parameters times the width of the type."""
    if name == "gguf":
        return int(version.artifact.summary.get("parameters", 0)) * _ITEM_BYTES.get(dtype, 4)
    written = dtype if dtype != "same" else str(base.config.get("dtype") or base.config.get("torch_dtype") or "")
    return base.parameters * _ITEM_BYTES.get(written, 4)


def _check_known(user: User, adapter: Adapter, version: Version, revision: str) -> None:
    """What was not accepted is no revision to whoever does not work on the adapter, as for downloads."""
    draft = version.artifact.state != Artifact.State.VALID
    if revision != "main" and draft and not policy.may(user, policy.Action.SEE_DRAFTS, adapter):
        raise adapters.no_revision(adapter, revision)


def create_export(
    *,
    user: User,
    adapter: Adapter,
    format: str,
    revision: str = "main",
    dtype: str = "same",
    shard_bytes: int = SHARD_BYTES,
) -> Job:
    """Queue an export for ``user``; the same one that is under way or still kept is returned instead.

    Raises what the policy raises, ``Invalid`` for unknown formats and types, ``Conflict`` (``not_exportable``) with the
    reason, and ``TooLarge`` when it would not fit beside the user's other exports.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to export adapters.")
    _check_options(format, dtype, shard_bytes)
    version = adapters.get_version(adapter=adapter, revision=revision)
    _check_known(user, adapter, version, revision)
    policy.require(user, policy.Action.USE, adapter, version=None if revision == "main" else version)
    version.adapter = adapter
    base = version.artifact.base or adapter.base
    offer = _offer(version, base, format, dtype)
    if offer.reason or base is None:
        raise Conflict(f"{adapter.full_name} cannot be exported. {offer.reason}", code="not_exportable")
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        subject = {
            "adapter": adapter.pk,
            "version": version.pk,
            "format": format,
            "dtype": dtype,
            "shard_bytes": shard_bytes,
            "base": base.pk,
        }
        known = live_exports().filter(owner=owner, subject__contains=subject).first()
        if known is not None:
            return known
        left = _room_for(owner, offer.size)
        job = jobs.create_job(
            owner=owner,
            kind=KIND,
            request=_request(version, base, format, dtype, shard_bytes, left),
            subject={**subject, "estimate": offer.size},
            title=f"{offer.title} of {adapter.full_name}",
        )
        audit.record(
            actor=owner,
            action="export.create",
            target=adapter.full_name,
            job=str(job.pk),
            commit=version.commit,
            format=format,
            dtype=dtype,
        )
    return job


def _check_options(format: str, dtype: str, shard_bytes: int) -> None:
    fields: dict[str, list[str]] = {}
    if format not in FORMATS:
        fields["format"] = [f"Choose one of: {', '.join(FORMATS)}. The adapter itself is its archive."]
    elif dtype not in DTYPES[format]:
        fields["dtype"] = [f"Choose one of: {', '.join(DTYPES[format])}."]
    if not MIN_SHARD <= shard_bytes <= MAX_SHARD:
        fields["shard_bytes"] = [f"Choose between {MIN_SHARD:,} and {MAX_SHARD:,} bytes."]
    if fields:
        words = " ".join(f"{name}: {' '.join(sentences)}" for name, sentences in fields.items())
        raise Invalid(words, extra={"fields": fields})


def _request(version: Version, base: Base, format: str, dtype: str, shard_bytes: int, max_bytes: int) -> ExportRequest:
    artifact = version.artifact
    return ExportRequest(
        format=format,  # type: ignore[arg-type]
        adapter=AdapterFiles(
            label=version.adapter.full_name, config=artifact.config_blob_id, weights=artifact.weights_blob_id
        ),
        base=BaseFiles(name=base.name, source=base.source, revision=base.revision or None),
        dtype=dtype,  # type: ignore[arg-type]
        shard_bytes=shard_bytes,
        max_bytes=max_bytes,
        license=version.adapter.license,
    )


def renew_room(job: Job) -> None:
    """Count an export that is tried again beside the others. Raises ``TooLarge``."""
    owner = User.objects.select_for_update(no_key=True).get(pk=job.owner_id)
    job.request = {**job.request, "max_bytes": _room_for(owner, int(job.subject.get("estimate", 0)))}


def _room_for(owner: User, size: int) -> int:
    """Bytes left for exports of ``owner``, whose row is locked. Raises ``TooLarge`` when ``size`` does not fit."""
    left = settings.EXPORT_MAX_BYTES - used_bytes(owner)
    if 0 < left >= size:
        return left
    left = max(0, left)
    raise TooLarge(
        f"The export takes about {size:,} bytes, and {left:,} of {settings.EXPORT_MAX_BYTES:,} are left for exports of "
        "yours. Delete exports that you no longer need, or choose a smaller type.",
        code="export_too_large",
        extra={"needed": size, "left": left, "limit": settings.EXPORT_MAX_BYTES},
    )


def discard_export(*, user: User, job: Job) -> None:
    """Give the files of a finished export up before their time; the room is free at once."""
    with transaction.atomic():
        row = Job.objects.select_for_update().filter(pk=job.pk, owner_id=user.pk, kind=KIND).first()
        if row is None or row.state != Job.State.SUCCEEDED:
            raise Conflict("This export is not finished. Cancel its job instead.")
        audit.record(actor=user, action="export.discard", target=str(row.pk))
        row.result = {"discarded": True}
        row.save(update_fields=["result"])
