"""Files that arrive in pieces: begin one, take in more of it, give it up, make an upload of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from inference_worker.blobs import Partial, PartialBusy, PartialState
from inference_worker.errors import BlobMissing
from marketplace.accounts.models import User
from marketplace.adapters.models import PartialUpload, Upload
from marketplace.adapters.services.uploading import create_upload
from marketplace.adapters.services.used_parts import PartsUsed, upload_of
from marketplace.adapters.uploads import digests
from marketplace.adapters.uploads.handler import too_large
from marketplace.adapters.uploads.incoming import IncomingFile, room_in_store
from marketplace.adapters.uploads.parts import ArrivedPart, partial_of
from marketplace.adapters.uploads.quota import check_room
from marketplace.adapters.uploads.tus import Busy, Checksum, Gone, Metadata, Mismatch, OffsetConflict, TooSlow
from marketplace.core.connections import release_connections
from marketplace.core.errors import Conflict, Invalid, NotFound, TooLarge, TooManyRequests
from marketplace.core.plain_text import storable
from marketplace.core.store import blob_store
from marketplace.moderation import audit

log = structlog.get_logger(__name__)

CHUNK = 1 << 18


class Body(Protocol):
    """Where the bytes come from. Raises ``OSError`` when the sender has gone or is too slow."""

    def read(self, size: int) -> bytes: ...


def begin_partial_upload(*, user: User, length: int, metadata: Metadata) -> PartialUpload:
    """Announce a file of ``length`` bytes; they count against the quota from now on.

    Raises ``TooLarge``, ``QuotaExceeded``, and ``TooManyRequests`` when too many files are under way.
    """
    if length > settings.UPLOAD_MAX_BYTES:
        raise too_large()
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if PartialUpload.objects.filter(owner=owner, used_at=None).count() >= settings.UPLOAD_MAX_PARTIALS:
            raise TooManyRequests(
                f"You have {settings.UPLOAD_MAX_PARTIALS} unfinished files already. Finish or discard some.",
                code="too_many_partials",
                extra={"limit": settings.UPLOAD_MAX_PARTIALS},
            )
        check_room(owner, length)
        row = PartialUpload.objects.create(
            owner=owner,
            path=storable(metadata.path),
            length=length,
            metadata=metadata.header,
            group=storable(metadata.group),
            fingerprint=storable(metadata.fingerprint),
            declared_sha256=metadata.sha256,
            expires_at=_expiry(),
        )
        audit.record(actor=owner, action="upload.part_begin", target=str(row.pk), bytes=length)
    if length == 0:
        with _locked(user, row.pk) as (row, partial):
            _complete(row, partial, digests.Digests(0))
    return row


def receive_piece(
    *, user: User, part: UUID, offset: int, body: Body, checksum: Checksum | None = None
) -> PartialUpload:
    """Append the bytes of ``body``, which begin at ``offset``, and keep whatever arrives.

    Raises ``OffsetConflict``, ``Busy``, ``Gone``, ``TooLarge`` behind the announced length, ``StorageIsFull``,
    ``TooSlow`` when the sender goes or lags, ``Mismatch`` for a wrong checksum (of the piece, which is forgotten, or
    of the whole file, which then begins anew).
    """
    with _locked(user, part) as (row, partial):
        state = partial.current(row.state)
        _keep(row, state)
        if offset != state.offset:
            raise OffsetConflict(
                f"{state.offset:,} bytes have arrived; go on from there.", extra={"offset": state.offset}
            )
        known = digests.take(row.pk, offset, row.length)
        before = known.copy() if known is not None and checksum is not None else None
        try:
            after, fault = _append(row, partial, state, body, known, checksum)
        finally:
            # On a fault of the store the file is ahead of the digests, which is then noticed by their offset.
            if known is not None:
                digests.keep(row.pk, known)
        if checksum is not None and (fault is not None or not checksum.matches):
            partial.undo(after, state)
            if before is not None:
                digests.keep(row.pk, before)
            raise fault or Mismatch("These bytes do not have the checksum that was sent with them; send them again.")
        _keep(row, after)
        if fault is not None:
            raise fault
        if after.offset == row.length:
            _complete(row, partial, known)
        return row


def _append(
    row: PartialUpload,
    partial: Partial,
    state: PartialState,
    body: Body,
    known: digests.Digests | None,
    checksum: Checksum | None,
) -> tuple[PartialState, TooSlow | TooLarge | None]:
    """What arrived, and what is to be said to the sender when it was not all well. The database is left alone."""
    fault: TooSlow | TooLarge | None = None
    release_connections()
    checkpoint = None if checksum is not None else lambda reached: _keep(row, reached)
    left = row.length - state.offset
    with room_in_store(), partial.append(state, checkpoint) as sink:
        while left:
            try:
                chunk = body.read(min(CHUNK, left))
            except OSError:
                fault = TooSlow("The sender broke off or was too slow. What arrived is kept; go on from there.")
                break
            if not chunk:
                break
            sink.write(chunk)
            left -= len(chunk)
            if known is not None:
                known.update(chunk)
            if checksum is not None:
                checksum.update(chunk)
    if not left and _has_more(body):
        fault = TooLarge(f"More bytes came than the {row.length:,} that were announced.", code="too_long")
    return sink.state, fault


def _has_more(body: Body) -> bool:
    try:
        return bool(body.read(1))
    except OSError:
        return False


def _keep(row: PartialUpload, state: PartialState) -> None:
    """Write down what arrived. A request on another machine that got further meanwhile ends this one."""
    multipart = {"upload": state.upload, "parts": state.parts, "tail": state.tail} if state.upload or state.tail else {}
    if row.offset == state.offset and row.state == state:
        return
    changed = PartialUpload.objects.filter(pk=row.pk, offset=row.offset, used_at=None).update(
        offset=state.offset, multipart=multipart, expires_at=_expiry()
    )
    release_connections()
    if not changed:
        raise OffsetConflict("Another request went on with this file.")
    row.offset, row.multipart = state.offset, multipart


def _complete(row: PartialUpload, partial: Partial, known: digests.Digests | None) -> None:
    """Everything arrived: make it readable and say what it is."""
    partial.seal(row.state)
    if known is None or known.offset != row.length:
        release_connections()
        with partial.open() as file:
            known = digests.Digests.of(file, row.length)
    if row.declared_sha256 and known.sha256 != row.declared_sha256:
        partial.delete(row.state)
        PartialUpload.objects.filter(pk=row.pk).update(offset=0, multipart={})
        raise Mismatch(
            f"{row.path} arrived with the sha256 {known.sha256}, but {row.declared_sha256} was announced. "
            "It begins anew: send it again, or discard it and announce the right one.",
            code="sha256_mismatch",
            extra={"sha256": known.sha256, "declared": row.declared_sha256},
        )
    row.sha256, row.git_sha1 = known.sha256, known.git_sha1
    PartialUpload.objects.filter(pk=row.pk).update(sha256=row.sha256, git_sha1=row.git_sha1, expires_at=_expiry())


def arrived(row: PartialUpload) -> int:
    """How much of a file arrived, as far as can be said without waiting for whoever writes to it."""
    if row.is_complete:
        return row.length
    try:
        return partial_of(row).current(row.state).offset
    except FileNotFoundError:
        return 0


def discard_partial_uploads(*, user: User, parts: Sequence[UUID]) -> None:
    """Give files up; their bytes are deleted and no longer count. Raises ``NotFound`` and ``Busy``."""
    for part in parts:
        with _locked(user, part, used=True) as (row, partial):
            partial.delete(row.state)
            with transaction.atomic():
                audit.record(actor=user, action="upload.part_discard", target=str(row.pk), bytes=row.length)
                row.delete()


def create_upload_from_parts(*, user: User, parts: Sequence[UUID]) -> Upload:
    """``create_upload`` of files that arrived in pieces; asked twice, it answers with the same upload.

    Raises ``NotFound``, ``Conflict`` when a part has not arrived whole or went into another upload, and what
    ``create_upload`` raises; then the parts stay as they are, for another try.
    """
    if not parts or len(set(parts)) != len(parts):
        raise Invalid("“parts” has to list at least one file, and each once.")
    with ExitStack() as locks:
        # In an order of their own, so that two requests for the same files do not wait for each other.
        locked = {part: locks.enter_context(_locked(user, part, used=True)) for part in sorted(parts)}
        rows = [locked[part][0] for part in parts]
        if any(row.used_at for row in rows):
            return upload_of(rows)
        for row, partial in locked.values():
            # Killed between the last byte and the digests.
            if not row.is_complete and partial.current(row.state).offset == row.length:
                _keep(row, partial.current(row.state))
                _complete(row, partial, None)
        if missing := [str(row.pk) for row in rows if not row.is_complete]:
            words = f"{len(missing)} of {len(rows)} files have not arrived whole."
            raise Conflict(words, code="part_incomplete", extra={"parts": missing})
        files = [IncomingFile(row.path, ArrivedPart(row)) for row in rows]
        try:
            upload = create_upload(user=user, files=files, releasing=parts)
        except (PartsUsed, BlobMissing, FileNotFoundError):
            # Locks do not reach other machines: one of them was quicker, and may have deleted the pieces already.
            if not (now := list(PartialUpload.objects.filter(pk__in=parts, used_at__isnull=False))):
                raise
            return upload_of(now)
        for row in rows:
            partial_of(row).delete(row.state)
    return upload


def collect_partial_uploads(now: datetime | None = None) -> int:
    """Forget files that nobody went on with until they expired, and bytes without a row; how many."""
    now = now or timezone.now()
    collected = 0
    for row in PartialUpload.objects.filter(expires_at__lt=now):
        try:
            with partial_of(row).locked(), transaction.atomic():
                # Somebody may have gone on with it meanwhile: the row says so, and goes before its bytes.
                if PartialUpload.objects.filter(pk=row.pk, expires_at__lt=now).delete()[0]:
                    partial_of(row).delete(row.state)
                    collected += 1
        except PartialBusy:
            continue
    known = {pk.hex for pk in PartialUpload.objects.values_list("pk", flat=True)}
    from_before = now - timedelta(hours=settings.UPLOAD_PARTIAL_HOURS)
    collected += blob_store().sweep_partials(known, from_before.timestamp())
    if collected:
        log.info("partial_uploads_collected", files=collected)
    return collected


@contextmanager
def _locked(user: User, part: UUID, *, used: bool = False) -> Iterator[tuple[PartialUpload, Partial]]:
    """The row of ``user``'s own and its bytes, alone with them. Only with ``used`` one that an upload was made of."""
    row = own_partial_upload(user=user, part=part, used=used)
    partial = partial_of(row)
    try:
        with room_in_store(), ExitStack() as lock:
            lock.enter_context(partial.locked())
            # Who held the lock before may have gone further, or deleted it.
            yield own_partial_upload(user=user, part=part, used=used), partial
    except PartialBusy as busy:
        raise Busy("Another request is writing to this file. Wait until it has ended, then go on.") from busy
    except BlobMissing as missing:
        raise Gone("The bytes of this file are gone. Begin it anew.") from missing


def own_partial_upload(*, user: User, part: UUID, used: bool = False) -> PartialUpload:
    """A file of ``user``'s own. Raises ``NotFound``, and ``Gone`` for an expired one."""
    row = PartialUpload.objects.filter(owner_id=user.pk, pk=part).first()
    if row is None:
        raise NotFound("There is no such upload, or it is not yours.")
    if row.expires_at < timezone.now():
        raise Gone("Nothing came for this file for too long. Begin it anew.")
    if row.used_at and not used:
        raise Gone("This file went into an upload already.")
    return row


def open_partial_uploads(*, user: User) -> QuerySet[PartialUpload]:
    """The user's files that are no upload yet and can be gone on with."""
    return PartialUpload.objects.filter(owner_id=user.pk, used_at=None, expires_at__gte=timezone.now())


def _expiry() -> datetime:
    return timezone.now() + timedelta(hours=settings.UPLOAD_PARTIAL_HOURS)
