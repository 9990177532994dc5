"""Uploads: choose among the files, store what makes the adapter, have it checked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import Problem
from marketplace.accounts.models import User
from marketplace.adapters import cards
from marketplace.adapters.alerts import crash_refuses
from marketplace.adapters.models import Artifact, Upload
from marketplace.adapters.services import artifacts
from marketplace.adapters.services.used_parts import lock_parts, mark_parts
from marketplace.adapters.uploads import selection, zips
from marketplace.adapters.uploads.handler import too_large
from marketplace.adapters.uploads.incoming import Candidate, IncomingFile
from marketplace.adapters.uploads.problems import UploadFault, error
from marketplace.adapters.uploads.quota import check_quota
from marketplace.bases.suggestion import suggest_base
from marketplace.core.errors import Conflict, NotAuthenticated, NotFound, TooLarge
from marketplace.core.plain_text import storable
from marketplace.moderation import audit
from marketplace.moderation.selectors import refused_bytes


def create_upload(*, user: User, files: Iterable[IncomingFile], releasing: Collection[UUID] = ()) -> Upload:
    """Take in the files of one adapter (or one zip of them) and queue its check.

    Faults of the files give an upload in state ``refused`` with its problems, and nothing is stored. Raises
    ``TooLarge``, ``QuotaExceeded`` and ``StorageIsFull``. Files that were not picked are forgotten in any case.
    ``releasing``: files that arrived in pieces and become this upload, so that their room is counted once. Raises
    ``PartsUsed`` when another machine made an upload of them meanwhile.
    """
    received = list(files)
    taken: list[IncomingFile] = []
    try:
        if not user.is_authenticated:
            raise NotAuthenticated("Sign in to upload files.")
        _check_limits(received)
        try:
            with crash_refuses():
                chosen = selection.choose(_candidates(received))
                picked = {} if chosen.refused else _take(chosen, taken)
                problems = list(chosen.problems)
                config = _read_config(picked[selection.CONFIG], problems) if picked else {}
        except UploadFault as fault:
            return _refuse(user, [fault.problem], received, releasing)
        if any(problem.severity == "error" for problem in problems):
            return _refuse(user, problems, received, releasing)
        suggested = _suggestions(picked.get(selection.CARD), config, problems)
        if taken_down := _taken_down(picked):
            return _refuse(user, taken_down, received, releasing)
        return _store(user, picked, config, problems, suggested, releasing)
    finally:
        for file in [*received, *taken]:
            file.discard()


def _check_limits(files: list[IncomingFile]) -> None:
    if len(files) > settings.UPLOAD_MAX_FILES:
        raise TooLarge(f"An upload may have at most {settings.UPLOAD_MAX_FILES} files.", code="too_many_files")
    if sum(file.size for file in files) > settings.UPLOAD_MAX_BYTES:
        raise too_large()


def _candidates(files: list[IncomingFile]) -> list[Candidate]:
    """The files, or the entries of the zip if there is just one file and it is one."""
    if len(files) == 1 and zips.is_zip(files[0]):
        return zips.candidates_of(files[0], limit=settings.UPLOAD_MAX_BYTES)
    for file in files:
        if zips.is_zip(file):
            message = "A zip cannot be mixed with other files."
            raise UploadFault(error("zip_and_files", file.path, message, "Upload either the zip alone or the files."))
    return [Candidate.of(file) for file in files]


def _take(chosen: selection.Selection, taken: list[IncomingFile]) -> dict[str, IncomingFile]:
    """The picked files by their name in the version's tree; ``taken`` collects what has to be discarded."""
    picked: dict[str, IncomingFile] = {}
    for path, candidate in (
        (selection.CONFIG, chosen.config),
        (selection.WEIGHTS, chosen.weights),
        (selection.CARD, chosen.card),
    ):
        if candidate is not None:
            picked[path] = candidate.take()
            taken.append(picked[path])
    return picked


def _read_config(file: IncomingFile, problems: list[Problem]) -> dict[str, Any]:
    """A first look at the config; the worker checks it in full."""
    try:
        text = file.read(selection.MAX_CONFIG).decode("utf-8-sig")
        config = json.loads(text)
    except (ValueError, RecursionError) as fault:
        message = f"The file is not valid JSON: {str(fault)[:200]}."
        problems.append(error("config_not_json", file.path, message, selection.SAVE))
        return {}
    if not isinstance(config, dict):
        problems.append(error("config_not_json", file.path, "The file is not a JSON object.", selection.SAVE))
        return {}
    problems.extend(cards.secret_problems(text, file.path))
    return config


def _suggestions(card: IncomingFile | None, config: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    suggested: dict[str, Any] = {}
    if card is not None:
        text = card.read(selection.MAX_CARD).decode("utf-8", "replace")
        review = cards.review(text, base_name=_base_name(config))
        problems.extend(review.problems)
        if review.readable:
            suggested = cards.suggested(text)
    if isinstance(task := config.get("task_type"), str):
        suggested["task_type"] = task[:40]
    suggested = storable(suggested)
    if name := _base_name(config):
        suggested["base_model"] = name
    base = suggest_base(
        config_name=str(suggested.get("base_model", "")), card_names=suggested.get("base_models", ())
    ).base
    return {**suggested, "base": base.name} if base is not None else suggested


def _base_name(config: dict[str, Any]) -> str:
    """The base that the config names; empty when it names none."""
    name = config.get("base_model_name_or_path")
    return str(storable(name[:300])) if isinstance(name, str) else ""


def _dumped(problems: list[Problem]) -> list[dict[str, Any]]:
    return [storable(problem.model_dump(mode="json")) for problem in problems]


def _refuse(user: User, problems: list[Problem], files: list[IncomingFile], parts: Collection[UUID]) -> Upload:
    with transaction.atomic():
        lock_parts(parts)
        upload = Upload.objects.create(
            owner=user,
            state=Upload.State.REFUSED,
            problems=_dumped(problems),
        )
        mark_parts(parts, upload)
        audit.record(
            actor=user,
            action="upload.refuse",
            target=str(upload.pk),
            files=storable([file.path[:100] for file in files[:20]]),
            problems=[problem.code for problem in problems],
        )
    return upload


def _store(
    user: User,
    picked: dict[str, IncomingFile],
    config: dict[str, Any],
    problems: list[Problem],
    suggested: dict[str, Any],
    releasing: Collection[UUID],
) -> Upload:
    infos = {path: file.finish() for path, file in picked.items()}
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        lock_parts(releasing)
        check_quota(owner, infos.values(), releasing)
        rows = artifacts.keep_blobs(infos.values())
        for file in picked.values():
            file.commit()
        artifact, _ = artifacts.get_artifact(
            config=rows[infos[selection.CONFIG].sha256], weights=rows[infos[selection.WEIGHTS].sha256]
        )
        upload = Upload.objects.create(
            owner=owner,
            artifact=artifact,
            problems=_dumped(problems),
            files=[_listed(path, info) for path, info in infos.items()],
            suggested=suggested,
        )
        mark_parts(releasing, upload)
        if artifacts.needs_check(artifact):
            artifacts.request_inspection(owner=owner, artifact=artifact, label=_label(picked))
        audit.record(
            actor=owner,
            action="upload.create",
            target=str(upload.pk),
            artifact=artifact.pk,
            bytes=sum(info.size for info in infos.values()),
        )
    return upload


def _taken_down(picked: dict[str, IncomingFile]) -> list[Problem]:
    """A moderator's decision sticks to the bytes, whoever uploads them."""
    refused = refused_bytes([file.finish().sha256 for file in picked.values()])
    remedy = "If you think that this is wrong, answer the moderator's mail or ask the operator."
    return [
        error(
            "weights_taken_down" if path == selection.WEIGHTS else "bytes_blocked",
            file.path,
            "A moderator has taken down these very bytes, so they are not accepted again."
            + (f" The reason: {refused[file.finish().sha256]}" if refused[file.finish().sha256] else ""),
            remedy,
        )
        for path, file in picked.items()
        if file.finish().sha256 in refused
    ]


def _listed(path: str, info: BlobInfo) -> dict[str, Any]:
    return {"path": path, **asdict(info)}


def _label(picked: dict[str, IncomingFile]) -> str:
    folder = picked[selection.CONFIG].path.rpartition("/")[0]
    return folder.rpartition("/")[2] or "upload"


def _own(user: User, upload: Upload) -> Upload:
    """The upload's row, locked. Call inside a transaction."""
    row = Upload.objects.select_for_update(of=("self",)).filter(pk=upload.pk, owner_id=user.pk).first()
    if row is None:
        raise NotFound("There is no such upload, or it is not yours.")
    return row


def recheck_upload(*, user: User, upload: Upload) -> Upload:
    """Check an upload again whose check could not be finished, or that was not accepted under an older version."""
    with transaction.atomic():
        row = _own(user, upload)
        if row.artifact_id is None:
            raise Conflict("Nothing of this upload was stored. Mend the files and upload them again.")
        artifact = Artifact.objects.select_for_update().get(pk=row.artifact_id)
        if artifact.state == Artifact.State.VALID:
            raise Conflict("The upload was already accepted.")
        if artifacts.is_being_checked(artifact):
            raise Conflict("The upload is being checked already.")
        Artifact.objects.filter(pk=artifact.pk).update(state=Artifact.State.PENDING, problems=[])
        artifacts.request_inspection(owner=user, artifact=artifact, label="upload")
        audit.record(actor=user, action="upload.recheck", target=str(row.pk), artifact=artifact.pk)
    upload.refresh_from_db()
    return upload


def discard_upload(*, user: User, upload: Upload) -> None:
    """Give an upload up that was not published; its bytes no longer count against the quota."""
    with transaction.atomic():
        row = _own(user, upload)
        if row.state == Upload.State.PUBLISHED:
            raise Conflict("This upload is published. Delete the adapter instead.")
        audit.record(actor=user, action="upload.discard", target=str(row.pk))
        row.delete()
