"""Publishing: an upload becomes a named adapter, or the next version of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import PromptFormat
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker, Example
from marketplace.adapters.models import Adapter, Artifact, Blob, ExamplePrompt, Upload, Version
from marketplace.adapters.services.advancing import set_base
from marketplace.adapters.services.card_files import (
    card_fields,
    current_card,
    follow_card,
    uploaded_card,
    write_card,
)
from marketplace.adapters.services.naming import check_name_free, lock_names
from marketplace.adapters.services.stated import STATED, Fields, check_fields, said_by_card
from marketplace.adapters.services.versions import MAX_MESSAGE, create_version, embed_when_valid
from marketplace.adapters.uploads.quota import check_quota
from marketplace.adapters.uploads.selection import CARD
from marketplace.bases.answers import base_of_upload, remember_answer
from marketplace.core.errors import Conflict, Forbidden, NotAuthenticated
from marketplace.moderation import audit
from marketplace.moderation.selectors import refused_bytes


def publish_upload(
    *,
    user: User,
    upload: Upload,
    name: str = "",
    visibility: str = Adapter.Visibility.PRIVATE,
    title: str | None = None,
    description: str | None = None,
    license: str | None = None,
    tags: Iterable[str] | None = None,
    prompt_format: PromptFormat | Mapping[str, Any] | None = None,
    examples: Sequence[Any] = (),
    base: str = "",
    adapter: Adapter | None = None,
    message: str = "",
) -> Adapter:
    """Publish an upload as ``user/name``, or with ``adapter`` as the next version of it.

    What is None is taken from the uploaded card. Possible while the check runs; others see the adapter once it was
    accepted. ``base`` is the uploader's answer to which base it is, ``-`` for none of those here; without one, what
    config and card name counts. With ``adapter`` its card is kept and only ``message`` counts; a README.md in the
    upload replaces it, and what its front matter says replaces the fields. Raises ``Invalid`` with every field at
    fault, ``Conflict`` for a taken name, an upload that was refused or is published already.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to publish an adapter.")
    if adapter is not None:
        return _publish_next(user, upload, adapter, message)
    checker = Checker()
    name = checker.name(name)
    if visibility not in Adapter.Visibility.values:
        checker.fault("visibility", f"Choose one of: {', '.join(Adapter.Visibility.values)}.")
    suggested = upload.suggested
    fields = check_fields(
        checker,
        title=suggested.get("title", "") if title is None else title,
        description=suggested.get("description", "") if description is None else description,
        license=suggested.get("license", "") if license is None else license,
        tags=suggested.get("tags", ()) if tags is None else tags,
        prompt_format=suggested.get("prompt_format") if prompt_format is None else prompt_format,
        examples=examples,
    )
    checker.finish()
    return _publish_first(user, upload, name, visibility, fields, base, message or "First version")


def _publish_first(
    user: User, upload: Upload, name: str, visibility: str, fields: Fields, base: str, message: str
) -> Adapter:
    """The adapter's row, examples, card and first version, from checked fields."""
    with transaction.atomic():
        lock_names(user)
        artifact = _claim(user, upload)
        chosen = base_of_upload(artifact, upload.suggested, base)
        created = insert_adapter(
            Adapter(
                owner=user,
                name=name,
                visibility=visibility,
                title=fields.title,
                description=fields.description,
                license=fields.license,
                tags=fields.tags,
                base=chosen,
                base_name=str(upload.suggested.get("base_model", ""))[:300],
            )
        )
        remember_answer(created, base, chosen)
        set_examples(created, fields.examples)
        stated = card_fields(created, fields.prompt_format, task_type=_task_of(upload))
        card = write_card(created, stated, uploaded=uploaded_card(upload))
        version = _commit(user, created, upload, artifact, card, fields.prompt_format, message)
        audit.record(
            actor=user,
            action="adapter.publish",
            target=created.full_name,
            upload=str(upload.pk),
            visibility=visibility,
            commit=version.commit,
        )
    return created


def insert_adapter(adapter: Adapter) -> Adapter:
    """Insert the row, or raise ``Conflict`` in words when the name is, or was, an address of another adapter.

    Call inside a transaction. ``lock_names`` comes first in every transaction that gives out a name.
    """
    lock_names(adapter.owner)
    check_name_free(adapter.owner, adapter.name)
    adapter.save(force_insert=True)
    return adapter


def set_examples(adapter: Adapter, examples: Sequence[Example]) -> None:
    adapter.examples.all().delete()
    ExamplePrompt.objects.bulk_create(
        [
            ExamplePrompt(
                adapter=adapter,
                position=position,
                prompt=example.prompt,
                expected=example.expected,
                public=example.public,
            )
            for position, example in enumerate(examples)
        ]
    )


def _claim(user: User, upload: Upload) -> Artifact:
    """Lock the upload for publishing and return its artefact; ``Conflict`` when it cannot be published."""
    row = Upload.objects.select_for_update(of=("self",)).filter(pk=upload.pk, owner_id=user.pk).first()
    if row is None:
        raise Forbidden("This upload belongs to somebody else.")
    if row.state == Upload.State.PUBLISHED:
        where = f" as {row.adapter.full_name}" if row.adapter else ""
        raise Conflict(f"This upload is already published{where}.", code="already_published")
    if row.state == Upload.State.REFUSED or row.artifact_id is None:
        raise Conflict(
            "The upload was refused. Mend its files and upload them again.",
            code="upload_refused",
            extra={"problems": row.problems},
        )
    # Locked against the recorder of the check: either it sees the new adapter, or we see its verdict.
    artifact = (
        Artifact.objects.select_for_update(of=("self",), no_key=True).select_related("base").get(pk=row.artifact_id)
    )
    if artifact.state == Artifact.State.INVALID:
        raise Conflict(
            "The adapter was not accepted, so it cannot be published. Its problems say what to mend.",
            code="artifact_invalid",
            extra={"problems": artifact.problems},
        )
    if refused_bytes([artifact.weights_blob_id]):
        raise Conflict(
            "A moderator has taken down an adapter with these very weights, so they cannot be published again.",
            code="weights_taken_down",
        )
    return artifact


def _commit(
    user: User,
    adapter: Adapter,
    upload: Upload,
    artifact: Artifact,
    card: Blob,
    prompt_format: PromptFormat | Mapping[str, Any],
    message: str,
) -> Version:
    blobs = {blob.sha256: blob for blob in Blob.objects.filter(sha256__in=[file["sha256"] for file in upload.files])}
    files = {file["path"]: blobs[file["sha256"]] for file in upload.files}
    version = create_version(
        author=user,
        adapter=adapter,
        artifact=artifact,
        files={**files, CARD: card},
        message=message[:MAX_MESSAGE],
        prompt_format=prompt_format,
    )
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.PUBLISHED, adapter=adapter)
    upload.state, upload.adapter = Upload.State.PUBLISHED, adapter
    embed_when_valid(adapter)
    return version


def _publish_next(user: User, upload: Upload, adapter: Adapter, message: str) -> Adapter:
    """The next version. Others go on with the accepted one until the new one is accepted too."""
    policy.require(user, policy.Action.EDIT, adapter)
    with transaction.atomic():
        # Before the adapter's row, as whoever renames it or hands it over does.
        lock_names(adapter.owner)
        artifact = _claim(user, upload)
        locked = Adapter.objects.select_for_update(of=("self",)).select_related("owner", "base").get(pk=adapter.pk)
        if locked.owner_id != adapter.owner_id:
            raise Conflict(f"{adapter.full_name} is {locked.full_name} now. Try again there.", code="handed_over")
        policy.require(user, policy.Action.EDIT, locked)
        if locked.current_id is None:
            raise Conflict(f"{locked.full_name} has no version yet.")
        if not policy.owns(user, locked):
            # While it was an upload it counted towards whoever sent it; from now on its owner stores it.
            check_owner_quota(locked.owner, _sizes(upload))
        previous = locked.versions.select_related("artifact").get(pk=locked.current_id)
        if previous.artifact_id == artifact.pk and uploaded_card(upload) is None:
            raise Conflict("The upload has the same bytes as the current version.", code="nothing_changed")
        base_name = str(upload.suggested.get("base_model", ""))[:300]
        prompt_format = PromptFormat.model_validate(previous.prompt_format)
        uploaded = uploaded_card(upload)
        said = None if uploaded is None else said_by_card(locked, uploaded, prompt_format)
        stated = card_fields(locked, prompt_format, base_name=base_name, task_type=_task_of(upload), said=said)
        card = write_card(locked, stated, uploaded=current_card(locked) if uploaded is None else uploaded)
        version = _commit(user, locked, upload, artifact, card, stated.prompt_format, message or "New version")
        if locked.current == version:
            set_base(locked, artifact, found=base_of_upload(artifact, upload.suggested, ""), name=base_name)
            follow_card(locked)
            locked.save(update_fields=["base", "base_name", *STATED])
        audit.record(
            actor=user,
            action="adapter.version",
            target=locked.full_name,
            upload=str(upload.pk),
            commit=version.commit,
        )
    return locked


def _task_of(upload: Upload) -> str:
    return str(upload.suggested.get("task_type", ""))


def _sizes(upload: Upload) -> list[BlobInfo]:
    return [BlobInfo(file["sha256"], file["git_sha1"], file["size"]) for file in upload.files]


def check_owner_quota(owner: User, added: Iterable[BlobInfo]) -> None:
    """Lock the owner's row and check that more bytes fit. Call inside a transaction."""
    locked = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    check_quota(locked, added)
